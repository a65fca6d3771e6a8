"""The part of the administration API that changes upstreams, routes and credentials."""

from __future__ import annotations

from chatgpt_to_api.config.managed import ELSEWHERE
from chatgpt_to_api.config.route_settings import RouteSettings
from chatgpt_to_api.config.upstream_settings import KEYED, UpstreamSettings
from chatgpt_to_api.openapi.admin import administers
from chatgpt_to_api.openapi.parts import (
    ANYTHING,
    BOOLEAN,
    INTEGER,
    NUMBER,
    STRING,
    Operation,
    Schema,
    array,
    constant,
    in_path,
    in_query,
    nullable,
    record,
    ref,
)
from chatgpt_to_api.openapi.structs import Structs

_IF_MATCH: Schema = {
    "name": "If-Match",
    "in": "header",
    "description": "The version the change was made for.",
    "schema": {"type": "string", "pattern": '^"[0-9]{1,9}"$'},
}


def schemas(structs: Structs) -> dict[str, Schema]:
    """Return the schemas these paths refer to."""
    structs.schema(RouteSettings, "Route")
    structs.schema(UpstreamSettings)
    upstream = structs.components.pop("UpstreamSettings")
    fields = {
        name: shown for name, shown in upstream["properties"].items() if name not in ELSEWHERE
    }
    fields["kind"] = constant("conversation", *KEYED)
    value = record({"value": ANYTHING, "origin": STRING})
    shown_upstream = {
        "name": STRING,
        "origin": STRING,
        "changed": nullable(NUMBER),
        "in_force": BOOLEAN,
        "settings": {"type": "object", "additionalProperties": value},
        "credentials": INTEGER,
        "state": nullable(ref("UpstreamView")),
    }
    shown_route = {
        "id": STRING,
        "origin": STRING,
        "changed": nullable(NUMBER),
        "model": STRING,
        "candidates": array({"type": "object"}, minItems=1),
    }
    shown_credential = {"id": STRING, "upstream": STRING, "origin": STRING, "state": STRING}
    rejected = record({"at": NUMBER, "because": array(STRING)})
    state = {
        "version": INTEGER,
        "file": nullable(STRING),
        "applied_at": NUMBER,
        "rejected": nullable(rejected),
        "needs_restart": array(STRING),
        "warnings": array(STRING),
    }
    setting = record({"key": STRING, "value": STRING, "origin": STRING})
    return {
        "UpstreamFields": {"type": "object", "properties": fields},
        "NewUpstream": {"allOf": [record({"name": STRING}), ref("UpstreamFields")]},
        "ShownUpstream": record(shown_upstream, version=INTEGER, message=STRING),
        "ShownUpstreams": record(
            {"version": INTEGER, "upstreams": array(ref("ShownUpstream"))}, message=STRING
        ),
        "ShownRoute": record(shown_route, version=INTEGER, message=STRING),
        "ShownRoutes": record(
            {"version": INTEGER, "routes": array(ref("ShownRoute"))}, message=STRING
        ),
        "Deleted": record({"message": STRING}, version=INTEGER, name=STRING, id=STRING),
        "NewCredential": record(
            {"upstream": STRING},
            api_key=STRING,
            token=STRING,
            puid=STRING,
            account=STRING,
            label=STRING,
        ),
        "ShownCredential": record(shown_credential, message=STRING, label=STRING),
        "ShownCredentials": record(
            {
                "total": INTEGER,
                "credentials": array(ref("ShownCredential")),
                "has_more": BOOLEAN,
            }
        ),
        "ConfigurationState": record(state, message=STRING),
        "ShownConfiguration": record({**state, "settings": array(setting)}),
    }


def paths() -> dict[str, dict[str, Operation]]:
    """Return the operations by path and method."""
    name = [in_path("name", "The upstream's name.")]
    route = [in_path("id", "The route's id.")]
    upstream = in_query("upstream", "Only of this upstream.")
    credential = [in_path("id", "The credential's id."), upstream]
    fields, shown_upstream = ref("UpstreamFields"), ref("ShownUpstream")
    shown_route, deleted = ref("ShownRoute"), ref("Deleted")
    pages = [
        in_query("limit", "How many, 1000 if not said.", {"type": "integer", "minimum": 1}),
        in_query("after", "UPSTREAM/ID after which the page begins."),
    ]
    change = record({}, label=STRING, disabled=BOOLEAN, reset={"const": True})
    return {
        "/admin/upstreams": {
            "get": administers("Every upstream there is", ref("ShownUpstreams")),
            "post": administers(
                "Make an upstream", shown_upstream, ref("NewUpstream"), [_IF_MATCH]
            ),
        },
        "/admin/upstreams/{name}": {
            "get": administers("Show an upstream", shown_upstream, parameters=name),
            "put": administers(
                "Replace or make an upstream", shown_upstream, fields, [*name, _IF_MATCH]
            ),
            "patch": administers(
                "Change fields of an upstream", shown_upstream, fields, [*name, _IF_MATCH]
            ),
            "delete": administers("Remove an upstream", deleted, parameters=[*name, _IF_MATCH]),
        },
        "/admin/routes": {
            "get": administers("All routes in order", ref("ShownRoutes")),
            "put": administers(
                "Replace all routes", ref("ShownRoutes"), array(ref("Route")), [_IF_MATCH]
            ),
            "post": administers("Add a route", shown_route, ref("Route"), [_IF_MATCH]),
        },
        "/admin/routes/{id}": {
            "get": administers("Show a route", shown_route, parameters=route),
            "patch": administers(
                "Change fields of a route", shown_route, {"type": "object"}, [*route, _IF_MATCH]
            ),
            "delete": administers("Remove a route", deleted, parameters=[*route, _IF_MATCH]),
        },
        "/admin/credentials": {
            "get": administers(
                "List credentials", ref("ShownCredentials"), parameters=[upstream, *pages]
            ),
            "post": administers("Add a credential", ref("ShownCredential"), ref("NewCredential")),
        },
        "/admin/credentials/{id}": {
            "get": administers("Show a credential", ref("ShownCredential"), parameters=credential),
            "patch": administers("Change a credential", ref("ShownCredential"), change, credential),
            "delete": administers("Remove a credential", deleted, parameters=credential),
        },
        "/admin/config": {
            "get": administers("Every setting and its origin", ref("ShownConfiguration"))
        },
        "/admin/config/reload": {
            "post": administers("Read the configuration again", ref("ConfigurationState"))
        },
    }
