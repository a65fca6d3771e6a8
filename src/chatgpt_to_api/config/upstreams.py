"""Read the upstreams: the file's ``[upstreams.NAME]`` tables, and those that variables make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final, get_args

from msgspec.structs import replace

from chatgpt_to_api.config.catalogue import Setting, describe, upstream_catalogue
from chatgpt_to_api.config.checks import (
    api_url,
    check_upstream_name,
    conversation_url,
    points_at,
)
from chatgpt_to_api.config.reading import Reading
from chatgpt_to_api.config.settings import (
    CONVERSATION,
    OFFICIAL_CONVERSATION_URL,
    OPENAI,
    ServerSettings,
)
from chatgpt_to_api.config.sources import DEFAULT, Found
from chatgpt_to_api.config.upstream_settings import Kind, UpstreamSettings
from chatgpt_to_api.wire.refresh import seed_of

_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_ENDS: Final = ("/chat/completions", "/responses", "/v1/messages", "/models", "/api/chat")
"""What stands at the end of a URL that is an endpoint's own, and no base of a vendor's API."""

_FIELDS: Final = {setting.name: setting for setting in upstream_catalogue()}


def read_upstreams(
    reading: Reading, server: ServerSettings
) -> tuple[dict[str, UpstreamSettings], UpstreamSettings]:
    """Return the upstreams that have an address, and the conversation backend for mere tokens."""
    written = reading.table("upstreams")
    if not isinstance(reading.toml.get("upstreams", {}), dict):
        reading.file_problem("upstreams", "expected tables [upstreams.NAME]")
    found: dict[str, UpstreamSettings] = {}
    default = UpstreamSettings(CONVERSATION)
    # What only variables make comes after the file's own, whose order means something.
    for name in [*written, *(name for name in (CONVERSATION, OPENAI) if name not in written)]:
        upstream = read_table(reading, name, written.get(name, {}))
        if upstream is None:
            continue
        if name == CONVERSATION == upstream.kind:
            default = upstream
        _warn_of_idle_history(reading, name, upstream)
        _check_renewal(reading, name, upstream)
        addressed = with_address(reading, name, upstream, server)
        if addressed is not None:
            found[name] = addressed
    _warn_of_idle_variables(reading, found)
    return found, replace(default, base_url=default.base_url or OFFICIAL_CONVERSATION_URL)


def read_table(reading: Reading, name: str, table: object) -> UpstreamSettings | None:
    """Read one upstream, whose table may be empty; None if it is not even one."""
    where = f"upstreams.{name}"
    try:
        check_upstream_name(name)
    except ValueError as error:
        reading.file_problem(f"upstreams.{name!r:.80}", str(error))
        return None
    if not isinstance(table, dict):
        reading.file_problem(where, "expected a table")
        return None
    kind = table.get("kind", name)
    if kind not in _KINDS:
        got = f"got {kind!r:.40}" if "kind" in table else "it is missing"
        expected = describe(_FIELDS["kind"].type)
        close = get_close_matches(str(kind), _KINDS, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        reading.file_problem(f"{where}.kind", f"expected {expected}; {got}{hint}")
        return None
    reading.origins[f"{where}.kind"] = reading.origin if "kind" in table else DEFAULT
    fields = [f for f in _FIELDS.values() if f.name != "kind" and kind in (f.kinds or _KINDS)]
    for name_there in sorted(table.keys() - {"kind"} - {f.name for f in fields}):
        if name_there in _FIELDS:
            kinds = " or ".join(_FIELDS[name_there].kinds)
            what = f"belongs to an upstream of kind {kinds}, not {kind}"
            reading.file_problem(f"{where}.{name_there}", what)
        else:
            reading.unknown_key(f"{where}.{name_there}", [f"{where}.{f.name}" for f in fields])
    values: dict[str, Any] = {
        field.name: reading.value(
            field, f"{where}.{field.name}", table, _outside(reading, field, name, kind)
        )
        for field in fields
    }
    return UpstreamSettings(kind, **values)


def _outside(reading: Reading, field: Setting, name: str, kind: str) -> Found | None:
    """Return what a variable says of this field of the upstream ``name``, if there is one."""
    for variable, upstream in zip(field.env, field.env_upstream, strict=True):
        found = reading.variables.find(variable) if upstream == name else None
        if found is not None and kind == name:
            return found
        if found is not None:
            what = f"speaks of [upstreams.{name}], which {reading.file} gives the kind {kind}"
            reading.problem(variable, what)
    return None


def with_address(
    reading: Reading, name: str, upstream: UpstreamSettings, server: ServerSettings
) -> UpstreamSettings | None:
    """Return the upstream with its base URL checked and tidied, None if it has none."""
    if upstream.kind == "local":
        return upstream
    key = f"upstreams.{name}.base_url"
    table = reading.table("upstreams").get(name)
    if not upstream.base_url:
        if table is not None and "base_url" not in table and name != CONVERSATION:
            reading.file_problem(key, "expected a URL; it is missing")
        return None
    problem: Callable[[str, str], None] = reading.problem
    where = reading.origins[key].rpartition(" ")[2]
    if reading.origins[key] == reading.origin:
        where, problem = key, reading.file_problem
    try:
        tidy = conversation_url if upstream.kind == CONVERSATION else api_url
        url = tidy(upstream.base_url)
        itself = points_at(url, server)
    except ValueError as error:
        problem(where, str(error))
        return None
    if itself and where == "OPENAI_BASE_URL":
        # Clients of this gateway set it too, and may be started from the same shell.
        reading.warnings.append(f"{where} points at this gateway itself and is left out.")
        return None
    if itself:
        problem(where, "points at this gateway itself")
        return None
    if upstream.kind == CONVERSATION and not url.rstrip("/").endswith("/conversation"):
        reading.warnings.append(
            f"{where} does not end in /conversation; it has to be the whole URL that "
            "conversations are posted to."
        )
    elif upstream.kind == "ollama" and url.endswith("/v1"):
        reading.warnings.append(
            f"{where} ends in /v1, where Ollama has its OpenAI-compatible API: leave that out, or "
            "make it an upstream of kind openai."
        )
    elif end := next((end for end in _ENDS if url.endswith(end)), None):
        reading.warnings.append(
            f"{where} ends in {end}, which the gateway adds itself: leave that out."
        )
    return replace(upstream, base_url=url)


def _check_renewal(reading: Reading, name: str, upstream: UpstreamSettings) -> None:
    """Tell who gives refresh tokens and not where they are spent."""
    if upstream.token_url or not any(map(seed_of, upstream.api_keys)):
        return
    key = f"upstreams.{name}.api_keys"
    what = "holds a refresh token, which takes token_url"
    if reading.origins[key] == reading.origin:
        reading.file_problem(key, what)
    else:
        reading.problem(reading.origins[key].rpartition(" ")[2], what)


def _warn_of_idle_history(reading: Reading, name: str, upstream: UpstreamSettings) -> None:
    """Tell who asks for something that takes history that there is none."""
    if upstream.kind != CONVERSATION or upstream.history:
        return
    for field in ("continue_conversations", "continue_for", "hide_conversations"):
        idle = getattr(upstream, field) in (False, "never")
        if reading.origins[f"upstreams.{name}.{field}"] != DEFAULT and not idle:
            reading.warnings.append(
                f"{field} of [upstreams.{name}] has no effect without history: set history there, "
                "or ENABLE_HISTORY=true."
            )


def _warn_of_idle_variables(reading: Reading, found: Mapping[str, UpstreamSettings]) -> None:
    others = [name for name, upstream in found.items() if upstream.kind == CONVERSATION]
    if others and CONVERSATION not in found:
        for field in _FIELDS.values():
            for variable, upstream in zip(field.env, field.env_upstream, strict=True):
                if upstream == CONVERSATION and reading.variables.find(variable):
                    reading.warnings.append(
                        f"{variable} has no effect: it speaks of [upstreams.{CONVERSATION}]; "
                        f"set {field.name} in [upstreams.{others[0]}]."
                    )
    if OPENAI not in found:
        for key in [key for key in reading.origins if key.startswith(f"upstreams.{OPENAI}.")]:
            del reading.origins[key]
        named = reading.variables.find("OPENAI_API_KEY")
        if named and not reading.variables.find("OPENAI_BASE_URL"):
            reading.warnings.append(
                "OPENAI_API_KEY is not used: set OPENAI_BASE_URL too for an upstream with it."
            )
