"""The dialect of the Anthropic messages API, both of its sides."""
