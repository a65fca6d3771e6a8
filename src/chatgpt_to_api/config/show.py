"""Settings as rows of text: for ``config show``, and for the table in the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import structs

from chatgpt_to_api.config.catalogue import (
    ANY_NAME,
    Setting,
    catalogue,
    describe,
    plain,
    struct_fields,
    upstream_catalogue,
)
from chatgpt_to_api.config.load import Loaded
from chatgpt_to_api.config.route_settings import CandidateSettings, RouteSettings
from chatgpt_to_api.config.settings import CONVERSATION, Settings
from chatgpt_to_api.config.sources import DEFAULT
from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.wire.secret import Secret


class Row(msgspec.Struct, frozen=True):
    """One setting as a person reads it; secrets are masked, "" is a value that is not set."""

    key: str
    env: tuple[str, ...]
    value: str
    origin: str
    description: str
    expected: str
    default: str


def rows(loaded: Loaded) -> list[Row]:
    """Return every setting in force: those with one place, each upstream's fields, the routes."""
    settings = loaded.settings
    found = [
        _row(setting, setting.key, _at(settings, setting.key), loaded.origins, setting.env)
        for setting in catalogue()
    ]
    upstreams = dict(settings.upstreams)
    mentioned = {k for k, origin in loaded.origins.items() if origin != DEFAULT}
    if any(key.startswith(f"upstreams.{CONVERSATION}.") for key in mentioned):
        upstreams.setdefault(CONVERSATION, settings.conversation_default)
    for name, upstream in upstreams.items():
        found += _upstream_rows(name, upstream, loaded.origins)
    for place, route in enumerate(settings.routes):
        found.append(
            Row(
                f"routes[{place}]",
                (),
                shown_route(route),
                loaded.origins.get(f"routes[{place}]", loaded.origins["routes"]),
                (RouteSettings.__doc__ or "").partition(": ")[2],
                "a table",
                "",
            )
        )
    return found


def reference() -> list[Row]:
    """Return every setting there is with its default, for the documentation; no values."""
    found = [_row(s, s.key, msgspec.UNSET, {}, s.env) for s in catalogue() + upstream_catalogue()]
    for struct, prefix in ((RouteSettings, "routes[]."), (CandidateSettings, "candidates[].")):
        prefix = prefix if struct is RouteSettings else f"routes[].{prefix}"
        for field in struct_fields(struct):
            described = field.type
            assert isinstance(described, msgspec.inspect.Metadata)
            text = str((described.extra_json_schema or {})["description"])
            expected = describe(plain(described))
            found.append(Row(prefix + field.name, (), "", "", text, expected, shown(field.default)))
    return found


def shown_route(route: RouteSettings) -> str:
    """Return a route in one line: the names that mean it, and what they lead to."""
    ways = ", ".join(
        f"route {c.route}" if c.route else f"{c.upstream}: {c.model}" if c.model else c.upstream
        for c in route.candidates
    )
    how = "" if route.strategy == "priority" else f" ({route.strategy})"
    return f"{', '.join(route.names)} → {ways}{how}"


def shown(value: Any) -> str:
    """Return a setting's value as text, secrets masked."""
    match value:
        case None | msgspec.UNSET | msgspec.NODEFAULT:
            return ""
        case bool():
            return "true" if value else "false"
        case Secret():
            return value.masked
        case float():
            return f"{value:g}"
        case tuple():
            return ", ".join(shown(item) for item in value)
        case Mapping():
            return ", ".join(f"{key} = {shown(item)}" for key, item in value.items())
        case _:
            return str(value)


def _row(
    setting: Setting, key: str, value: Any, origins: Mapping[str, str], env: tuple[str, ...]
) -> Row:
    return Row(
        key=key,
        env=env,
        value=shown(value),
        origin=origins.get(key, ""),
        description=setting.description,
        expected=setting.expected,
        default=shown(setting.default),
    )


def _upstream_rows(name: str, upstream: UpstreamSettings, origins: Mapping[str, str]) -> list[Row]:
    return [
        _row(
            setting,
            setting.key.replace(ANY_NAME, name),
            getattr(upstream, setting.name),
            origins,
            tuple(v for v, u in zip(setting.env, setting.env_upstream, strict=True) if u == name),
        )
        for setting in upstream_catalogue()
        if not setting.kinds or upstream.kind in setting.kinds
    ]


def _at(settings: Settings, key: str) -> Any:
    value: Any = settings
    for name in key.split("."):
        value = structs.asdict(value)[name]
    return value
