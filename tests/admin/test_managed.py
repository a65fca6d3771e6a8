"""Upstreams, routes and credentials by the admin API of a running gateway; no model is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.gateway_process import Answer, GatewayProcess, gateway_process

CONFIG = """
[upstreams.filed]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
api_keys = ["sk-of-the-file-000000000000000000"]

[[routes]]
model = "filed-model"
candidates = [{ upstream = "filed" }]
"""

VENDOR = {"name": "vendor", "kind": "openai", "base_url": "http://127.0.0.1:9/v1/"}
TALK = {"kind": "conversation", "base_url": "http://127.0.0.1:9/backend-api/conversation"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    data = tmp_path_factory.mktemp("managed") / "data"
    data.mkdir()
    (data / "config.toml").write_text(CONFIG)
    with gateway_process(data, OPENAI_BASE_URL="http://127.0.0.1:9/v1") as running:
        yield running


@pytest.fixture(autouse=True)
def _empty(gateway: GatewayProcess) -> None:
    """Every test begins with nothing managed."""
    assert gateway.admin("PUT", "/admin/routes", []).status == 200
    for upstream in gateway.admin("GET", "/admin/upstreams").json["upstreams"]:
        if upstream["origin"] == "store":
            deleted = gateway.admin("DELETE", f"/admin/upstreams/{upstream['name']}")
            assert deleted.status == 200, deleted.text


def test_tokens_without_a_backend_tell_where_they_go(tmp_path: Path) -> None:
    """The example of the README, typed on a gateway with nothing configured, moves every name."""
    with gateway_process(tmp_path / "data", EMBEDDED_MODEL="off") as running:
        for method in ("PATCH", "POST"):
            answer = running.admin(method, "/admin/tokens", ["eyJhbXXX"])
            assert answer.status == 200, answer.text
            assert "https://chatgpt.com/backend-api/conversation" in answer.json["note"]
            assert "API_REVERSE_PROXY" in answer.json["note"]
            assert "embedded" not in answer.json["note"]
        assert "note" not in running.admin("PATCH", "/admin/tokens", []).json
        assert running.admin("PUT", "/admin/upstreams/talk", TALK).status in (200, 201)
        named = running.admin("PATCH", "/admin/tokens?upstream=talk", ["eyJhbXXX"])
        assert named.status == 200 and "note" not in named.json


def test_tokens_of_a_configured_backend_tell_nothing_more(tmp_path: Path) -> None:
    """They go where the operator said."""
    url = TALK["base_url"]
    with gateway_process(tmp_path / "data", API_REVERSE_PROXY=url) as running:
        answer = running.admin("PATCH", "/admin/tokens", ["eyJhbXXX"])
        assert answer.status == 200 and "note" not in answer.json


def error(answer: Answer) -> tuple[int, str, str]:
    found = answer.json["error"]
    return answer.status, found["code"], found["param"]


def upstream(gateway: GatewayProcess, name: str) -> dict[str, Any]:
    found: dict[str, Any] = gateway.admin("GET", f"/admin/upstreams/{name}").json
    return found


def ids(gateway: GatewayProcess) -> list[str]:
    return [route["id"] for route in gateway.admin("GET", "/admin/routes").json["routes"]]


# Upstreams


def test_an_upstream_is_made_shown_changed_and_removed(gateway: GatewayProcess) -> None:
    """POST, GET, PATCH, PUT, DELETE; every value with its origin, the URL tidied as in the file."""
    made = gateway.admin("POST", "/admin/upstreams", {**VENDOR, "models": ["v-*"]})
    assert made.status == 200, made.text
    assert made.json["message"] == "upstream added"
    shown = upstream(gateway, "vendor")
    assert (shown["origin"], shown["in_force"], shown["credentials"]) == ("store", True, 0)
    assert shown["settings"]["base_url"] == {"value": "http://127.0.0.1:9/v1", "origin": "store"}
    assert shown["settings"]["models"] == {"value": ["v-*"], "origin": "store"}
    assert shown["settings"]["include_usage"] == {"value": True, "origin": "default"}
    assert shown["state"]["open"] is True
    changed = gateway.admin(
        "PATCH", "/admin/upstreams/vendor", {"max_concurrency": 3, "models": None}
    )
    assert changed.json["settings"]["max_concurrency"] == {"value": 3, "origin": "store"}
    assert changed.json["settings"]["models"] == {"value": None, "origin": "default"}
    rest = {name: value for name, value in VENDOR.items() if name != "name"}
    replaced = gateway.admin("PUT", "/admin/upstreams/vendor", rest)
    assert replaced.json["settings"]["max_concurrency"]["origin"] == "default"
    assert gateway.admin("PUT", "/admin/upstreams/other", rest).status == 200  # made by it
    names = [u["name"] for u in gateway.admin("GET", "/admin/upstreams").json["upstreams"]]
    assert names == ["filed", "openai", "vendor", "other"]
    assert gateway.admin("DELETE", "/admin/upstreams/vendor").status == 200
    assert error(gateway.admin("GET", "/admin/upstreams/vendor")) == (
        404,
        "upstream_not_found",
        "name",
    )


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        ({"base_url": "ftp://x"}, "base_url", "http"),
        ({"base_url": None}, "base_url", "missing"),
        ({"base_url": ""}, "base_url", "missing"),
        ({"base_url": 5}, "base_url", "expected text"),
        ({"kind": "smtp"}, "kind", "expected anthropic, conversation, "),
        ({"kind": "local", "base_url": None}, "kind", "EMBEDDED_MODEL"),
        ({"max_concurrency": 0}, "max_concurrency", ">= 1"),
        ({"max_concurrency": True}, "max_concurrency", "whole number"),
        ({"rate_limits": ["often"]}, "rate_limits", "5/10s"),
        ({"models": ["[x"]}, "models", "never closed"),
        ({"modles": ["x"]}, "modles", "did you mean models?"),
        ({"history": True}, "history", "belongs to an upstream of kind conversation"),
        ({"api_keys": ["sk-secret-in-the-wrong-place"]}, "api_keys", "/admin/credentials"),
        ({"proxy": "http://user:hunter2…@h:1"}, "proxy", "masked"),
        ({"proxy": "file:/etc/passwd"}, "proxy", "references"),
        ({"proxy": "gopher://user:hunter2@h"}, "proxy", "expected"),
    ],
)
def test_a_bad_field_is_named_as_it_was_sent(
    gateway: GatewayProcess, change: dict[str, Any], param: str, says: str
) -> None:
    """The file's own checks; the path is the body's, no secret is repeated, nothing is changed."""
    before = gateway.admin("GET", "/admin/upstreams").json["version"]
    answer = gateway.admin("POST", "/admin/upstreams", {**VENDOR, **change})
    assert error(answer) == (400, "invalid_value", param), answer.text
    assert answer.json["error"]["message"].startswith(f"{param}: ")
    assert says in answer.text
    assert "hunter2" not in answer.text and "sk-secret" not in answer.text
    after = gateway.admin("GET", "/admin/upstreams").json
    assert after["version"] == before
    assert [one["name"] for one in after["upstreams"]] == ["filed", "openai"]


def test_every_problem_of_a_body_is_told_at_once(gateway: GatewayProcess) -> None:
    """Two slips are one answer."""
    body = {**VENDOR, "max_concurrency": 0, "rate_limits": ["x"]}
    answer = gateway.admin("POST", "/admin/upstreams", body)
    assert "max_concurrency: " in answer.text and "rate_limits: " in answer.text


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"kind": "openai"}, "name"),
        ({**VENDOR, "name": 7}, "name"),
        ({**VENDOR, "name": "a b"}, ""),
    ],
)
def test_a_name_has_to_be_one(gateway: GatewayProcess, body: dict[str, Any], param: str) -> None:
    """It goes into headers, logs and paths."""
    answer = gateway.admin("POST", "/admin/upstreams", body)
    assert answer.status == 400
    assert param in answer.json["error"]["param"]


@pytest.mark.parametrize("body", [b"[]", b"{", b"", b"null", b'"x"', b"[" * 5000])
def test_a_body_that_is_no_object_is_refused(gateway: GatewayProcess, body: bytes) -> None:
    """It says what was expected."""
    for method, path in (("POST", "/admin/upstreams"), ("POST", "/admin/routes")):
        answer = gateway.admin(method, path, body.decode())
        assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("name", ["filed", "openai", "local", "official"])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
def test_what_stands_in_the_configuration_is_changed_there(
    gateway: GatewayProcess, method: str, name: str
) -> None:
    """The refusal says where: the file, a variable, or another request."""
    path = "/admin/upstreams" if method == "POST" else f"/admin/upstreams/{name}"
    body = {"base_url": "http://127.0.0.1:1", "kind": "openai", "name": name}
    answer = gateway.admin(method, path, None if method == "DELETE" else body)
    assert error(answer) == (409, "set_in_configuration", "name")
    place = {
        "filed": str(gateway.data_dir / "config.toml"),
        "openai": "environment OPENAI_BASE_URL",
        "local": "EMBEDDED_MODEL",
        "official": "PATCH /admin/openai",
    }
    assert place[name] in answer.json["error"]["message"]


def test_an_upstream_in_use_stays(gateway: GatewayProcess) -> None:
    """The refusal names the route; without the route it goes."""
    gateway.admin("POST", "/admin/upstreams", VENDOR)
    route = {"model": "v-1", "candidates": [{"upstream": "filed"}, {"upstream": "vendor"}]}
    id = gateway.admin("POST", "/admin/routes", route).json["id"]
    answer = gateway.admin("DELETE", "/admin/upstreams/vendor")
    assert error(answer) == (409, "upstream_in_use", "name")
    assert id in answer.text and "v-1" in answer.text
    assert gateway.admin("DELETE", f"/admin/routes/{id}").status == 200
    assert gateway.admin("DELETE", "/admin/upstreams/vendor").status == 200


def test_an_upstream_keeps_its_name_and_kind(gateway: GatewayProcess) -> None:
    """Its credentials would be of another kind; a second one of the name is refused."""
    gateway.admin("POST", "/admin/upstreams", VENDOR)
    again = gateway.admin("POST", "/admin/upstreams", VENDOR)
    assert error(again) == (409, "upstream_exists", "name")
    assert error(gateway.admin("PUT", "/admin/upstreams/vendor", TALK)) == (409, "conflict", "kind")
    renamed = gateway.admin("PATCH", "/admin/upstreams/vendor", {"name": "other"})
    assert error(renamed) == (400, "invalid_value", "name")
    unknown = gateway.admin("PATCH", "/admin/upstreams/nobody", {"models": ["x"]})
    assert error(unknown) == (404, "upstream_not_found", "name")


def test_headers_and_proxy_are_shown_masked_and_refused_masked(gateway: GatewayProcess) -> None:
    """What GET shows cannot be stored by accident."""
    secret = "planted-header-secret-0123456789"
    made = gateway.admin(
        "PUT", "/admin/upstreams/talk", {**TALK, "headers": {"X-Key": secret}, "history": True}
    )
    assert made.status == 200 and secret not in made.text
    headers = upstream(gateway, "talk")["settings"]["headers"]["value"]
    assert headers == {"x-key": "plan…6789"}
    back = gateway.admin("PATCH", "/admin/upstreams/talk", {"headers": headers})
    assert error(back) == (400, "invalid_value", "headers")
    assert "masked" in back.text
    # A change of something else keeps them.
    assert gateway.admin("PATCH", "/admin/upstreams/talk", {"history": None}).status == 200
    assert upstream(gateway, "talk")["settings"]["headers"]["origin"] == "store"


def test_a_change_for_another_version_is_refused(gateway: GatewayProcess) -> None:
    """If-Match holds a change to what its maker has seen."""
    seen = gateway.admin("GET", "/admin/upstreams")
    version = seen.json["version"]
    assert seen.headers["etag"] == f'"{version}"'

    def add(name: str, tag: str) -> Answer:
        headers = {"Authorization": "TotallySecurePassword", "If-Match": tag}
        body = json.dumps({**VENDOR, "name": name})
        return gateway.fetch("/admin/upstreams", method="POST", body=body, headers=headers)

    assert add("one", f'"{version}"').json["version"] == version + 1
    late = add("two", f'"{version}"')
    assert (late.status, late.json["error"]["code"]) == (412, "version_changed")
    assert add("three", "*").status == 200
    assert add("four", "yesterday").status == 400
    names = [u["name"] for u in gateway.admin("GET", "/admin/upstreams").json["upstreams"]]
    assert names == ["filed", "openai", "one", "three"]


# Routes


def test_routes_are_one_list_that_is_replaced_as_it_was_shown(gateway: GatewayProcess) -> None:
    """The file's first; GET's list can be sent back reordered, an id keeps its route."""
    gateway.admin("POST", "/admin/upstreams", VENDOR)
    for model in ("a-*", "b"):
        answer = gateway.admin(
            "POST", "/admin/routes", {"model": model, "candidates": [{"upstream": "vendor"}]}
        )
        assert answer.json["message"] == "route added"
    listed = gateway.admin("GET", "/admin/routes").json["routes"]
    assert [route["model"] for route in listed] == ["filed-model", "a-*", "b"]
    assert [route["origin"] for route in listed] == [
        str(gateway.data_dir / "config.toml"),
        "store",
        "store",
    ]
    first, a, b = listed
    put = gateway.admin("PUT", "/admin/routes", {"routes": [first, b, a]})
    assert put.status == 200, put.text
    assert put.json["routes"] == [first, b, a]  # untouched ones keep their id and their time
    assert gateway.admin("PUT", "/admin/routes", [b]).status == 200  # the file's may be left out
    assert ids(gateway) == ["config:0", b["id"]]
    assert gateway.admin("GET", f"/admin/routes/{b['id']}").json["model"] == "b"
    changed = gateway.admin("PATCH", f"/admin/routes/{b['id']}", {"strategy": "least_busy"})
    assert changed.json["strategy"] == "least_busy" and changed.json["id"] == b["id"]
    back = gateway.admin("PATCH", f"/admin/routes/{b['id']}", {"strategy": None})
    assert "strategy" not in back.json


@pytest.mark.parametrize(
    ("route", "param"),
    [
        ({"model": "x", "candidates": [{"upstream": "nobody"}]}, "candidates[0].upstream"),
        ({"model": "x", "candidates": []}, "candidates"),
        ({"model": "x"}, "candidates"),
        ({"model": "", "candidates": [{"upstream": "filed"}]}, "model"),
        ({"model": "[z-a]", "candidates": [{"upstream": "filed"}]}, "model"),
        ({"model": "filed-model", "candidates": [{"upstream": "filed"}]}, "model"),
        ({"model": "x", "candidates": [{"upstream": "filed", "weight": -1}]}, ".weight"),
        ({"model": "x", "candidates": [{"upstream": "filed", "colour": 1}]}, "candidates[0]"),
        ({"model": "x", "aliases": ["y", ""], "candidates": [{"upstream": "filed"}]}, "aliases[1]"),
        ({"model": "x", "candidates": [{"route": "x"}]}, "candidates[0].route"),
        ({"model": "x", "candidates": [{"route": "nowhere"}]}, "candidates[0].route"),
    ],
)
def test_a_bad_route_is_named_by_its_part(
    gateway: GatewayProcess, route: dict[str, Any], param: str
) -> None:
    """Alone by its own path, in a list with its place there; nothing is changed by it."""
    good = {"model": "good", "candidates": [{"upstream": "filed"}]}
    alone = gateway.admin("POST", "/admin/routes", route)
    assert alone.status == 400 and param in alone.json["error"]["param"], alone.text
    assert "routes[" not in alone.json["error"]["param"]
    listed = gateway.admin("PUT", "/admin/routes", [good, route])
    assert listed.status == 400
    assert listed.json["error"]["param"].startswith("routes[1]"), listed.text
    whole = [*gateway.admin("GET", "/admin/routes").json["routes"], good, route]
    assert (
        gateway.admin("PUT", "/admin/routes", whole).json["error"]["param"].startswith("routes[2]")
    )
    assert ids(gateway) == ["config:0"]


def test_routes_of_the_file_are_changed_there(gateway: GatewayProcess) -> None:
    """By id, or in the list: changed, moved behind others, or left half out."""
    listed = gateway.admin("GET", "/admin/routes").json["routes"]
    assert error(gateway.admin("DELETE", "/admin/routes/config:0")) == (
        409,
        "set_in_configuration",
        "id",
    )
    changed = gateway.admin("PATCH", "/admin/routes/config:0", {"model": "mine"})
    assert "config.toml" in changed.json["error"]["message"] and changed.status == 409
    listed[0]["model"] = "mine"
    assert error(gateway.admin("PUT", "/admin/routes", listed)) == (
        409,
        "set_in_configuration",
        "routes[0]",
    )
    good = {"model": "good", "candidates": [{"upstream": "filed"}]}
    whole = gateway.admin("GET", "/admin/routes").json["routes"]
    assert gateway.admin("PUT", "/admin/routes", [good, *whole]).status == 409


def test_ids_of_routes_are_the_gateways(gateway: GatewayProcess) -> None:
    """An unknown one, one that stands twice, one that is no text."""
    good = {"model": "good", "candidates": [{"upstream": "filed"}]}
    unknown = gateway.admin("PUT", "/admin/routes", [{**good, "id": "mine"}])
    assert error(unknown) == (404, "route_not_found", "routes[0].id")
    id = gateway.admin("POST", "/admin/routes", good).json["id"]
    twice = gateway.admin("PUT", "/admin/routes", [{**good, "id": id}, {**good, "id": id}])
    assert error(twice) == (400, "invalid_value", "routes[1].id")
    assert gateway.admin("PUT", "/admin/routes", [{**good, "id": 5}]).status == 400
    assert gateway.admin("PUT", "/admin/routes", {"routes": 5}).status == 400
    assert error(gateway.admin("DELETE", "/admin/routes/nothing")) == (404, "route_not_found", "id")


def test_a_route_that_others_lead_to_stays(gateway: GatewayProcess) -> None:
    """Removing it would leave another one nowhere to go."""
    good = {"model": "good", "candidates": [{"upstream": "filed"}]}
    id = gateway.admin("POST", "/admin/routes", good).json["id"]
    by = {"model": "by", "candidates": [{"route": "good"}]}
    assert gateway.admin("POST", "/admin/routes", by).status == 200
    answer = gateway.admin("DELETE", f"/admin/routes/{id}")
    assert error(answer) == (409, "route_in_use", "id")
    assert len(ids(gateway)) == 3


# Credentials


def test_a_key_is_added_labelled_disabled_and_removed(gateway: GatewayProcess) -> None:
    """Masked everywhere; what the pool knows of it beside it."""
    gateway.admin("POST", "/admin/upstreams", VENDOR)
    key = "sk-planted-key-0123456789abcdef"
    body = {"upstream": "vendor", "api_key": key, "label": "mine"}
    added = gateway.admin("POST", "/admin/credentials", body)
    assert added.status == 200 and key not in added.text
    id = added.json["id"]
    assert (added.json["api_key"], added.json["label"]) == ("sk-p…cdef", "mine")
    assert (added.json["origin"], added.json["state"]) == ("store", "ready")
    assert upstream(gateway, "vendor")["credentials"] == 1
    again = gateway.admin("POST", "/admin/credentials", body)
    assert (again.status, again.json["error"]["code"]) == (409, "credential_exists")
    for change, field, value in (
        ({"label": "yours"}, "label", "yours"),
        ({"disabled": True}, "state", "disabled"),
        ({"disabled": False, "reset": True}, "state", "ready"),
    ):
        changed = gateway.admin("PATCH", f"/admin/credentials/{id}", change)
        assert changed.json[field] == value, changed.text
    listed = gateway.admin("GET", "/admin/credentials?upstream=vendor").json
    assert [one["id"] for one in listed["credentials"]] == [id]
    assert gateway.admin("GET", f"/admin/credentials/{id}").json["label"] == "yours"
    assert gateway.admin("DELETE", f"/admin/credentials/{id}").status == 200
    assert error(gateway.admin("GET", f"/admin/credentials/{id}")) == (
        404,
        "credential_not_found",
        "id",
    )


def test_a_token_is_a_credential_too(gateway: GatewayProcess) -> None:
    """A managed conversation backend takes tokens here and by /admin/tokens."""
    gateway.admin("PUT", "/admin/upstreams/talk", TALK)
    body = {"upstream": "talk", "token": "eyJhbGciOi-a-planted-token", "puid": "user-x"}
    added = gateway.admin("POST", "/admin/credentials", body)
    assert added.status == 200, added.text
    tokens = gateway.admin("GET", "/admin/tokens?upstream=talk").json["tokens"]
    assert [one["id"] for one in tokens] == [added.json["id"]]
    replaced = gateway.admin("PATCH", "/admin/tokens?upstream=talk", ["eyJ-another"])
    assert replaced.json["total"] == 1
    assert gateway.admin("PATCH", "/admin/puid?upstream=talk", {"puid": "user-y"}).status == 200
    # A new address keeps them; a new start of the upstream does not.
    moved = {"base_url": "http://127.0.0.1:9/other/conversation"}
    assert gateway.admin("PATCH", "/admin/upstreams/talk", moved).json["credentials"] == 1
    gateway.admin("DELETE", "/admin/upstreams/talk")
    assert gateway.admin("GET", "/admin/tokens?upstream=talk").status == 404
    gateway.admin("PUT", "/admin/upstreams/talk", TALK)
    assert upstream(gateway, "talk")["credentials"] == 0


def test_keys_of_the_file_stay_and_others_stand_beside_them(gateway: GatewayProcess) -> None:
    """They can be disabled, not changed; the same key cannot be stored again."""
    (filed,) = gateway.admin("GET", "/admin/credentials?upstream=filed").json["credentials"]
    assert filed["origin"] == str(gateway.data_dir / "config.toml")
    path = f"/admin/credentials/{filed['id']}"
    assert error(gateway.admin("DELETE", path)) == (409, "set_in_configuration", "id")
    assert gateway.admin("PATCH", path, {"label": "x"}).status == 409
    assert gateway.admin("PATCH", path, {"disabled": True}).json["state"] == "disabled"
    assert gateway.admin("PATCH", path, {"disabled": False}).json["state"] == "ready"
    same = {"upstream": "filed", "api_key": "sk-of-the-file-000000000000000000"}
    assert gateway.admin("POST", "/admin/credentials", same).status == 409
    more = {"upstream": "filed", "api_key": "sk-of-the-store"}
    id = gateway.admin("POST", "/admin/credentials", more).json["id"]
    origins = [
        one["origin"]
        for one in gateway.admin("GET", "/admin/credentials?upstream=filed").json["credentials"]
    ]
    assert origins == [str(gateway.data_dir / "config.toml"), "store"]
    assert gateway.admin("DELETE", f"/admin/credentials/{id}").status == 200


def test_one_key_at_two_upstreams_needs_the_upstreams_name(gateway: GatewayProcess) -> None:
    """An id is the secret's; which of them is meant has to be said. Pages walk over all."""
    for name in ("one", "two"):
        gateway.admin("POST", "/admin/upstreams", {**VENDOR, "name": name})
        body = {"upstream": name, "api_key": "sk-shared"}
        id = gateway.admin("POST", "/admin/credentials", body).json["id"]
    assert error(gateway.admin("DELETE", f"/admin/credentials/{id}")) == (
        409,
        "credential_ambiguous",
        "upstream",
    )
    seen: list[str] = []
    after = ""
    while True:
        page = gateway.admin("GET", f"/admin/credentials?limit=1{after}").json
        seen += [one["upstream"] for one in page["credentials"]]
        if not page["has_more"]:
            break
        after = f"&after={seen[-1]}/{page['credentials'][-1]['id']}"
    assert seen == ["filed", "one", "two"]
    assert gateway.admin("DELETE", f"/admin/credentials/{id}?upstream=one").status == 200
    assert gateway.admin("GET", f"/admin/credentials/{id}").json["upstream"] == "two"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"upstream": "nobody", "api_key": "k"}, "upstream"),
        ({"api_key": "k"}, "upstream"),
        ({"upstream": "filed"}, "api_key"),
        ({"upstream": "filed", "api_key": ""}, "api_key"),
        ({"upstream": "filed", "api_key": "sk-p…cdef"}, "api_key"),
        ({"upstream": "filed", "api_key": "with space"}, "api_key"),
        ({"upstream": "filed", "api_key": 5}, "api_key"),
        ({"upstream": "filed", "token": "planted-token"}, "token"),
        ({"upstream": "filed", "api_key": "planted", "label": "a\nb"}, "label"),
        ({"upstream": "local", "api_key": "planted"}, "upstream"),
    ],
)
def test_a_bad_credential_is_named_and_not_repeated(
    gateway: GatewayProcess, body: dict[str, Any], param: str
) -> None:
    """What is wrong, not what was sent."""
    answer = gateway.admin("POST", "/admin/credentials", body)
    assert answer.status in (400, 404) and answer.json["error"]["param"] == param, answer.text
    assert "planted" not in answer.text


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "label"),
        ({"state": "ready"}, "state"),
        ({"disabled": "yes"}, "disabled"),
        ({"reset": False}, "reset"),
        ({"label": 5}, "label"),
    ],
)
def test_a_bad_change_of_a_credential_changes_nothing(
    gateway: GatewayProcess, body: dict[str, Any], param: str
) -> None:
    """The field is named."""
    gateway.admin("POST", "/admin/upstreams", VENDOR)
    key = {"upstream": "vendor", "api_key": "sk-one"}
    id = gateway.admin("POST", "/admin/credentials", key).json["id"]
    answer = gateway.admin("PATCH", f"/admin/credentials/{id}", body)
    assert answer.status == 400 and answer.json["error"]["param"] == param
    assert gateway.admin("GET", f"/admin/credentials/{id}").json["state"] == "ready"


def test_the_password_comes_first(gateway: GatewayProcess) -> None:
    """None of the routes tells or does anything without it."""
    for path in ("upstreams", "upstreams/filed", "routes", "credentials", "config"):
        assert gateway.fetch(f"/admin/{path}").status == 401
    assert gateway.fetch("/admin/config/reload", method="POST", body="").status == 401
    listed = gateway.admin("GET", "/admin/upstreams")
    assert "sk-of-the-file" not in listed.text + gateway.admin("GET", "/admin/config").text
