"""The administration API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, get_args

from chatgpt_to_api.chat.needs import Need
from chatgpt_to_api.gateway.explain import Explanation
from chatgpt_to_api.openapi.parts import (
    INTEGER,
    STRING,
    Operation,
    Schema,
    array,
    in_path,
    in_query,
    json,
    nullable,
    record,
    ref,
)
from chatgpt_to_api.openapi.structs import Structs
from chatgpt_to_api.pool.contract import CredentialView, UpstreamView

_PASSWORD: Final = ("adminPassword", "adminPasswordBearer")
_ERRORS: Final = (400, 401, 403, 404, 405, 408, 409, 412, 413, 429, 431, 500, 503)
_UPSTREAM: Final = in_query("upstream", "Which upstream's; without it the first conversation one.")


def schemas(structs: Structs) -> dict[str, Schema]:
    """Return the schemas these paths refer to."""
    structs.schema(UpstreamView)
    structs.schema(CredentialView)
    structs.schema(Explanation)
    one = {"anyOf": [STRING, record({"token": STRING}, puid=STRING, account=STRING, label=STRING)]}
    shown = structs.components["CredentialView"]
    token = {
        **shown,
        "properties": {"token": STRING}
        | {name: value for name, value in shown["properties"].items() if name != "masked"},
        "required": ["id", "token", "label", "state"],
    }
    del structs.components["CredentialView"]
    return {
        "TokenSet": array(one),
        "Token": token,
        "Tokens": record(
            {
                "upstream": STRING,
                "total": INTEGER,
                "states": {"type": "object", "additionalProperties": INTEGER},
                "tokens": array(ref("Token")),
                "has_more": {"type": "boolean"},
            }
        ),
        "Message": record({"message": STRING}, upstream=STRING, id=STRING),
        "Counted": record(
            {
                "message": STRING,
                "upstream": STRING,
                "total": INTEGER,
                "added": INTEGER,
                "removed": INTEGER,
            },
            note=STRING,
        ),
        "AdminStatus": record({"upstreams": array(ref("UpstreamView")), "warnings": array(STRING)}),
    }


def paths() -> dict[str, dict[str, Operation]]:
    """Return the operations by path and method."""
    one = [in_path("id", "The token's id."), _UPSTREAM]
    pages = [
        in_query("limit", "How many, 1000 if not said.", {"type": "integer", "minimum": 1}),
        in_query("after", "The id after which the page begins."),
    ]
    message, counted = ref("Message"), ref("Counted")
    deleted = record({}, id=STRING, ids=array(STRING, minItems=1))
    found = {
        "/admin/status": {"get": administers("Every upstream at a glance", ref("AdminStatus"))},
        "/admin/explain": {
            "get": administers(
                "Where a model's name leads, and why",
                ref("Explanation"),
                parameters=[
                    {**in_query("model", "The name a client would ask for."), "required": True},
                    in_query("needs", f"What the request needs: {', '.join(get_args(Need))}."),
                    in_query(
                        "tokens", "How long its prompt is.", {"type": "integer", "minimum": 1}
                    ),
                ],
            )
        },
        "/admin/tokens": {
            "get": administers("List the tokens", ref("Tokens"), parameters=[_UPSTREAM, *pages]),
            "patch": administers("Replace the tokens", counted, ref("TokenSet"), [_UPSTREAM]),
            "post": administers("Add tokens", counted, ref("TokenSet"), [_UPSTREAM]),
            "delete": administers(
                "Remove one token, several, or all",
                counted,
                deleted,
                [_UPSTREAM, in_query("id", "The one to remove.")],
                body_required=False,
            ),
        },
        "/admin/tokens/reset": {
            "post": administers("End every cool-down", message, parameters=[_UPSTREAM])
        },
        "/admin/tokens/{id}": {
            "get": administers("Show a token", ref("Token"), parameters=one),
            "delete": administers("Remove a token", counted, parameters=one),
        },
        "/admin/password": {
            "patch": administers("Change the password", message, record({"password": STRING}))
        },
        "/admin/puid": {
            "patch": administers(
                "Change the PUID", message, record({"puid": nullable(STRING)}), [_UPSTREAM]
            )
        },
        "/admin/openai": {
            "patch": administers(
                "Change the official API key",
                message,
                record({"official_api_key": nullable(STRING)}),
            )
        },
    }
    for word in ("reset", "disable", "enable"):
        summary = f"{word.capitalize()} a token"
        found[f"/admin/tokens/{{id}}/{word}"] = {
            "post": administers(summary, message, parameters=one)
        }
    return found


def administers(
    summary: str,
    shown: Schema,
    body: Schema | None = None,
    parameters: Sequence[Schema] = (),
    *,
    body_required: bool = True,
) -> Operation:
    """Return an operation that wants the admin password."""
    return Operation(
        summary=summary,
        tag="Administration",
        body=body,
        body_required=body_required,
        replies={"200": json(shown)},
        errors=_ERRORS,
        parameters=parameters,
        security=_PASSWORD,
    )
