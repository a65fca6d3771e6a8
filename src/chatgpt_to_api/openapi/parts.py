"""What descriptions are made of: operations, bodies, replies, errors.

Schemas of requests come from the structs that decode them, so a description cannot say one thing
and the code another. Source: https://spec.openapis.org/oas/v3.1.1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

Schema: TypeAlias = dict[str, Any]
"""A JSON Schema (2020-12), as OpenAPI 3.1 takes it."""

REFERENCES: Final = "#/components/schemas/{name}"

_MEANINGS: Final = {
    400: "The request is wrong; `param` says where.",
    401: "No key, or not a valid one.",
    402: "The upstream wants to be paid.",
    403: "Not allowed: by the gateway's rules, or by the upstream.",
    404: "There is no such thing.",
    405: "The path does not take this method.",
    408: "The request did not come whole in time.",
    409: "It does not fit what is there.",
    412: "Somebody else changed it since.",
    413: "The body is too large.",
    422: "The request is well-formed and wrong.",
    429: "Everything is busy or resting; `Retry-After` says when to come back.",
    431: "The request's head is too large.",
    500: "The gateway failed; its log has the reason under the request's id.",
    502: "The upstream failed.",
    503: "Nothing can answer now.",
    504: "The upstream did not answer in time.",
    529: "Everything is overloaded or out of service.",
}

NOTHING: Final = ""
"""Stands among security schemes for needing none."""

STRING: Final[Schema] = {"type": "string"}
INTEGER: Final[Schema] = {"type": "integer"}
NUMBER: Final[Schema] = {"type": "number"}
BOOLEAN: Final[Schema] = {"type": "boolean"}
ANYTHING: Final[Schema] = {}


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path.

    ``replies``: by status, what each means and its schemas by media type. ``errors``: the other
    statuses it can answer with, all in the shape of the schema ``error``. ``security``: names of
    security schemes, any one of which will do; NOTHING among them where none will do too.
    """

    summary: str
    tag: str
    replies: Mapping[str, tuple[str, Mapping[str, Schema]]]
    errors: Sequence[int] = ()
    error: str = "Error"
    body: Schema | None = None
    body_required: bool = True
    media_type: str = "application/json"
    parameters: Sequence[Schema] = ()
    security: Sequence[str] = ()

    def described(self) -> Schema:
        """Return the operation object."""
        shown: Schema = {"summary": self.summary, "tags": [self.tag]}
        if self.parameters:
            shown["parameters"] = list(self.parameters)
        if self.body is not None:
            shown["requestBody"] = {
                "required": self.body_required,
                "content": {self.media_type: {"schema": self.body}},
            }
        responses: Schema = {
            status: {
                "description": meaning,
                **({"content": {t: {"schema": s} for t, s in media.items()}} if media else {}),
            }
            for status, (meaning, media) in self.replies.items()
        }
        for status in self.errors:
            shape = {"application/json": {"schema": ref(self.error)}}
            responses.setdefault(str(status), {"description": _MEANINGS[status], "content": shape})
        shown["responses"] = dict(sorted(responses.items()))
        shown["security"] = [{name: []} if name else {} for name in self.security]
        return shown


def json(schema: Schema, meaning: str = "Done.") -> tuple[str, Mapping[str, Schema]]:
    """A JSON reply."""
    return meaning, {"application/json": schema}


def ref(name: str) -> Schema:
    """A reference to a schema of the components."""
    return {"$ref": REFERENCES.format(name=name)}


def record(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    """An object with these properties; more may come."""
    shown: Schema = {"type": "object", "properties": {**required, **optional}}
    if required:
        shown["required"] = list(required)
    return shown


def array(items: Schema, **more: Any) -> Schema:
    """An array."""
    return {"type": "array", "items": items, **more}


def nullable(schema: Schema) -> Schema:
    """A value or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def constant(*values: str) -> Schema:
    """One of some words."""
    return {"enum": list(values)}


def in_path(name: str, meaning: str) -> Schema:
    """A parameter of the path."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": meaning,
        "schema": {"type": "string", "minLength": 1},
    }


def in_query(name: str, meaning: str, schema: Schema = STRING) -> Schema:
    """A parameter of the query."""
    return {"name": name, "in": "query", "description": meaning, "schema": schema}
