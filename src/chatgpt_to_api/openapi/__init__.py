"""The description of every route this gateway serves, as OpenAPI 3.1."""
