"""The whole description."""

from __future__ import annotations

from typing import Any

from chatgpt_to_api import __version__
from chatgpt_to_api.openapi import (
    admin,
    anthropic,
    conversation,
    gemini,
    managed,
    ollama,
    openai,
    responses,
)
from chatgpt_to_api.openapi.parts import INTEGER, STRING, Schema, nullable, record
from chatgpt_to_api.openapi.structs import Structs


def document() -> dict[str, Any]:
    """Return the description of every route, as a JSON value."""
    structs = Structs()
    pages = (openai, responses, anthropic, gemini, ollama, conversation, admin, managed)
    schemas: dict[str, Schema] = {"Error": _error()}
    for page in pages:
        schemas |= page.schemas(structs)
    schemas |= structs.components
    paths = {
        path: {method: operation.described() for method, operation in operations.items()}
        for page in pages
        for path, operations in page.paths().items()
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ChatGPT-to-API",
            "version": __version__,
            "description": "A self-hosted gateway between the API dialects your apps speak and "
            "the model access you own. Every other path under `/v1/` is relayed as it is to an "
            "OpenAI-compatible upstream that offers it, where there is one.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _security()},
    }


def _error() -> Schema:
    return record(
        {
            "error": record(
                {
                    "message": STRING,
                    "type": STRING,
                    "param": nullable(STRING),
                    "code": nullable({"anyOf": [STRING, INTEGER]}),
                }
            )
        }
    )


def _security() -> dict[str, Schema]:
    return {
        "clientKey": {
            "type": "http",
            "scheme": "bearer",
            "description": "A client key (a line of api_keys.txt).",
        },
        "clientKeyHeader": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        "googleKeyHeader": {"type": "apiKey", "in": "header", "name": "x-goog-api-key"},
        "googleKeyQuery": {"type": "apiKey", "in": "query", "name": "key"},
        "accessToken": {
            "type": "http",
            "scheme": "bearer",
            "description": "An access token, or anything that names you: conversations are its.",
        },
        "adminPassword": {"type": "apiKey", "in": "header", "name": "Authorization"},
        "adminPasswordBearer": {"type": "http", "scheme": "bearer"},
    }
