"""Upstreams and routes that people manage while the gateway runs: checked as the file's are.

What the file or a variable gives stands there alone; this is everything else. The two are merged
into one configuration, the file's routes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import structs

from chatgpt_to_api.config.load import Loaded
from chatgpt_to_api.config.reading import Problem, Reading
from chatgpt_to_api.config.route_settings import RouteSettings
from chatgpt_to_api.config.routes import RouteError, convert_route, route_problems
from chatgpt_to_api.config.settings import LOCAL, ServerSettings
from chatgpt_to_api.config.sources import DEFAULT, Variables
from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.config.upstreams import read_table, with_address
from chatgpt_to_api.wire.secret import MASK, Secret

STORE: Final = "store"
"""The origin of what is managed at run time."""

OFFICIAL: Final = "official"
"""Name of the upstream that OFFICIAL_API_KEY or ``PATCH /admin/openai`` makes."""

ELSEWHERE: Final = {
    "api_keys": "keys are given by POST /admin/credentials",
    "puid": "it is set by PATCH /admin/puid?upstream=NAME",
}
"""Fields of an upstream that have a request of their own."""


class ManagedUpstream(msgspec.Struct, frozen=True):
    """One upstream. ``given``: the fields it was given; ``changed``: Unix time."""

    name: str
    settings: UpstreamSettings
    given: tuple[str, ...]
    changed: float


class ManagedRoute(msgspec.Struct, frozen=True):
    """One route. ``table``: what was given, as JSON has it; ``changed``: Unix time."""

    id: str
    settings: RouteSettings
    table: Mapping[str, Any]
    changed: float


class Managed(msgspec.Struct, frozen=True):
    """Everything that is managed, in order."""

    upstreams: tuple[ManagedUpstream, ...] = ()
    routes: tuple[ManagedRoute, ...] = ()

    def upstream(self, name: str) -> ManagedUpstream | None:
        """Return the upstream of that name, if there is one."""
        return next((one for one in self.upstreams if one.name == name), None)

    def route(self, id: str) -> ManagedRoute | None:
        """Return the route with that id, if there is one."""
        return next((one for one in self.routes if one.id == id), None)


class Unfit(Exception):
    """What was given cannot be used; ``problems`` name each value at fault by its key.

    ``upstreams.NAME.base_url`` and ``routes[0].candidates[1].upstream``, the latter with the place
    among all routes, the file's first.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, problems)))


def read_upstream(
    name: str, table: Mapping[str, Any], server: ServerSettings, *, changed: float
) -> ManagedUpstream:
    """Return a checked upstream. Raises Unfit."""
    table = {key: value for key, value in table.items() if value is not None}
    reading = Reading(
        Variables({}, {}),
        {},
        None,
        {"upstreams": {name: table}},
        Path(),
        origin=STORE,
        resolve=_whole_secret,
    )
    upstream = read_table(reading, name, table)
    if upstream is not None:
        for field in table.keys() & ELSEWHERE.keys():
            reading.problems.append(Problem(f"upstreams.{name}.{field}", ELSEWHERE[field]))
        if upstream.kind == "local":
            what = "expected any other kind; EMBEDDED_MODEL switches the embedded model"
            reading.problems.append(Problem(f"upstreams.{name}.kind", what))
        elif not reading.problems:
            upstream = with_address(reading, name, upstream, server)
            if upstream is None and not reading.problems:
                key = f"upstreams.{name}.base_url"
                reading.problems.append(Problem(key, "expected a URL; it is missing"))
    if reading.problems or upstream is None:
        raise Unfit(reading.problems)
    return ManagedUpstream(name, upstream, tuple(table), changed)


def read_route(id: str, table: Mapping[str, Any], *, place: int, changed: float) -> ManagedRoute:
    """Return a route whose types are checked; ``place`` is for the problem's key. Raises Unfit."""
    table = {key: value for key, value in table.items() if value is not None}
    try:
        return ManagedRoute(id, convert_route(table), table, changed)
    except RouteError as error:
        raise Unfit([Problem(f"routes[{place}]{error.key}", str(error))]) from None


def written(upstream: ManagedUpstream) -> dict[str, Any]:
    """Return the table an upstream was read from; it holds secrets."""
    return {name: _plain(getattr(upstream.settings, name)) for name in upstream.given}


def merge(loaded: Loaded, managed: Managed) -> Loaded:
    """Return the configuration of the file and of what is managed together.

    Raises Unfit for what does not go together: a name that the file has too, or routes that lead
    nowhere.
    """
    problems = [
        Problem(f"upstreams.{one.name}", f"it stands in {place} too, which goes first")
        for one in managed.upstreams
        if (place := configured_place(loaded, one.name))
    ]
    settings = loaded.settings
    upstreams = {
        **settings.upstreams,
        **{one.name: one.settings for one in managed.upstreams},
    }
    routes = (*settings.routes, *(one.settings for one in managed.routes))
    first = len(settings.routes)
    if managed.routes:  # the file's own were looked at when it was read
        problems += [Problem(key, what) for key, what in route_problems(routes, upstreams)]
    if problems:
        raise Unfit(problems)
    origins = dict(loaded.origins)
    for one in managed.upstreams:
        for field in structs.fields(UpstreamSettings):
            origin = STORE if field.name in one.given else DEFAULT
            origins[f"upstreams.{one.name}.{field.name}"] = origin
    for number in range(first, len(routes)):
        origins[f"routes[{number}]"] = STORE
    return Loaded(
        structs.replace(settings, upstreams=upstreams, routes=routes), origins, loaded.warnings
    )


def merge_what_fits(loaded: Loaded, managed: Managed) -> tuple[Loaded, Managed, tuple[str, ...]]:
    """Merge as :func:`merge` does, without what does not fit (any more), which is told.

    For a start: the file may have changed since, and one odd entry must not keep the rest away.
    Returns the configuration, what of ``managed`` is in it, and a sentence for each thing left out.
    """
    told: list[str] = []
    while True:
        try:
            return merge(loaded, managed), managed, tuple(told)
        except Unfit as error:
            problem = error.problems[0]
            told.append(f"Left out of what is managed at run time: {problem.message}.")
            managed = _without(managed, problem.key, len(loaded.settings.routes))


def configured_place(loaded: Loaded, name: str) -> str:
    """Say where the configuration has an upstream of this name, "" if it has none."""
    if name == OFFICIAL:
        return "OFFICIAL_API_KEY or PATCH /admin/openai"
    if name == LOCAL and LOCAL not in loaded.settings.upstreams:
        return "EMBEDDED_MODEL"
    prefix = f"upstreams.{name}."
    places = [
        origin
        for key, origin in loaded.origins.items()
        if key.startswith(prefix) and origin not in (DEFAULT, STORE)
    ]
    file = loaded.settings.config_file
    if name in loaded.settings.upstreams and not places:
        return file
    return file if file in places else next(iter(places), "")


def _without(managed: Managed, key: str, first: int) -> Managed:
    """Leave out what a problem's key names; ``first`` is the place of the first managed route."""
    if key.startswith("upstreams."):
        upstreams = tuple(one for one in managed.upstreams if key != f"upstreams.{one.name}")
        return structs.replace(managed, upstreams=upstreams)
    place = int(key.removeprefix("routes[").partition("]")[0]) - first
    if place < 0:  # one of the file's, which a managed one has spoilt
        return structs.replace(managed, routes=())
    return structs.replace(managed, routes=managed.routes[:place] + managed.routes[place + 1 :])


def _whole_secret(text: str) -> Secret:
    """Take a secret as it was sent. Raises ValueError for a masked one or a reference."""
    if MASK in text:
        raise ValueError("it is masked; the whole value is needed")
    if text.startswith(("env:", "file:")):
        raise ValueError("references (env:, file:) are for the configuration file; send the value")
    return Secret(text)


def _plain(value: Any) -> Any:
    match value:
        case Secret():
            return value.reveal()
        case tuple():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return value
