"""Read the routes: the file's ``[[routes]]`` tables, and whether they lead anywhere.

A candidate may name another route; such a name is looked up like a request's, so the first route
that fits it is meant. A route that leads back to itself this way is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, TypeAlias, get_args

import msgspec

from chatgpt_to_api.config.globs import check_glob, compile_globs, is_glob
from chatgpt_to_api.config.reading import Reading
from chatgpt_to_api.config.route_settings import CandidateSettings, RouteSettings, Strategy
from chatgpt_to_api.config.settings import CONVERSATION, LOCAL
from chatgpt_to_api.config.sources import DEFAULT
from chatgpt_to_api.config.upstream_settings import Kind, UpstreamSettings

Problem: TypeAlias = tuple[str, str]
"""The key at fault (``routes[2].candidates[0].weight``), and what was expected."""

RESERVED: Final = frozenset({"model", "messages", "n", "stream", "stream_options"})
"""Parameters that are the client's and the gateway's own matter."""

LONGEST_CHAIN: Final = 16
"""Most routes that lead from one to the next."""

MOST_ENDS: Final = 256
"""Most upstreams that one route leads to, those of the routes it names counted in."""

_UNKNOWN: Final = re.compile("Object contains unknown field `(.*)`")
_MISSING: Final = re.compile("Object missing required field `(.*)`")
_NO_CHOICE: Final = re.compile("Invalid enum value (.*)")
_TYPE: Final = re.compile("`(.*?)`")
_CALLED: Final = {
    "str": "text",
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}
"""What the names of types, as they stand in a complaint, mean in the file."""

_ALWAYS_KNOWN: Final[Mapping[str, Kind]] = {CONVERSATION: "conversation", LOCAL: "local"}
"""Two upstreams appear by themselves: with tokens, and as the embedded model."""


class RouteError(ValueError):
    """A table that is no route: ``key`` is the part at fault within it, "" for all of it."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(what)
        self.key = key


def read_routes(
    reading: Reading, upstreams: Mapping[str, UpstreamSettings]
) -> tuple[RouteSettings, ...]:
    """Return the routes; what is wrong with one is noted with its place in the list."""
    tables = reading.toml.get("routes", [])
    if not isinstance(tables, list):
        reading.file_problem("routes", "expected tables [[routes]]")
        return ()
    routes = []
    for place, table in enumerate(tables):
        try:
            routes.append(convert_route(table))
        except RouteError as error:
            reading.file_problem(f"routes[{place}]{error.key}", str(error))
    if len(routes) == len(tables):  # else their places, which problems are named by, are others
        for key, what in route_problems(routes, upstreams):
            reading.file_problem(key, what)
    reading.origins["routes"] = str(reading.file) if routes else DEFAULT
    return tuple(routes)


def convert_route(table: object) -> RouteSettings:
    """Return a table as a route, its types and bounds checked. Raises RouteError."""
    try:
        return msgspec.convert(table, RouteSettings)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        raise RouteError(*_in_words(path.rstrip("`"), what)) from None


def _called(name: str) -> str:
    return _CALLED.get(name, name)


def _in_words(key: str, what: str) -> tuple[str, str]:
    """Return the key at fault and what is wrong with it, as other settings are told of."""
    if unknown := _UNKNOWN.fullmatch(what):
        name = unknown[1]
        known = CandidateSettings if ".candidates[" in key else RouteSettings
        close = get_close_matches(name, known.__struct_fields__, 1, 0.6)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"{key}.{name}", f"there is no such setting{hint}"
    if missing := _MISSING.fullmatch(what):
        return f"{key}.{missing[1]}", "it is missing"
    if wrong := _NO_CHOICE.fullmatch(what):
        *names, last = get_args(Strategy)
        return key, f"expected {', '.join(names)} or {last}; got {wrong[1]}"
    if what == "Expected `array` of length >= 1":
        return key, "expected one candidate at least"
    what = _TYPE.sub(lambda found: " or ".join(map(_called, found[1].split(" | "))), what)
    return key, what[:1].lower() + what[1:]


def route_problems(
    routes: Sequence[RouteSettings], upstreams: Mapping[str, UpstreamSettings]
) -> list[Problem]:
    """Return what is wrong with routes as a whole; they may name ``upstreams`` and each other."""
    kinds = {**_ALWAYS_KNOWN, **{name: upstream.kind for name, upstream in upstreams.items()}}
    problems: list[Problem] = []
    first: dict[str, int] = {}
    for place, route in enumerate(routes):
        where = f"routes[{place}]"
        problems += _name_problems(where, place, route, first)
        for number, candidate in enumerate(route.candidates):
            for key, what in _candidate_problems(candidate, kinds):
                problems.append((f"{where}.candidates[{number}]{key}", what))
    return problems or list(_dead_ends(routes))


def _name_problems(
    where: str, place: int, route: RouteSettings, first: dict[str, int]
) -> Iterator[Problem]:
    keys = [f"{where}.model", *(f"{where}.aliases[{i}]" for i in range(len(route.aliases)))]
    for key, name in zip(keys, route.names, strict=True):
        try:
            check_glob(name)
        except ValueError as error:
            yield key, str(error)
            continue
        before = first.setdefault(name, place)
        if before != place:
            yield key, f"routes[{before}] stands for {name!r:.80} already"


def _candidate_problems(
    candidate: CandidateSettings, kinds: Mapping[str, Kind]
) -> Iterator[Problem]:
    if bool(candidate.upstream) == bool(candidate.route):
        yield "", "expected either `upstream` or `route`"
    elif candidate.route:
        if candidate.model is not None:
            yield ".model", "belongs to a candidate with `upstream`, not `route`"
        if candidate.parameters:
            yield ".parameters", "belongs to a candidate with `upstream`, not `route`"
        if candidate.context_length is not None:
            yield ".context_length", "belongs to a candidate with `upstream`, not `route`"
        if is_glob(candidate.route):
            yield ".route", f"expected a model name, not a glob; got {candidate.route!r:.80}"
    elif candidate.upstream not in kinds:
        expected = ", ".join(sorted(kinds))
        yield ".upstream", f"expected one of {expected}; got {candidate.upstream!r:.80}"
    else:
        if candidate.model is not None and not candidate.model.strip():
            yield ".model", "expected a model name"
        if candidate.parameters and kinds[candidate.upstream] == "conversation":
            yield ".parameters", "a conversation backend takes no parameters"
        yield from _parameter_problems(candidate.parameters)


def _parameter_problems(parameters: Mapping[str, Any]) -> Iterator[Problem]:
    for name, value in parameters.items():
        key = f".parameters.{name}"
        if name in RESERVED:
            yield key, "is decided by the request and cannot be set by a route"
        elif not _is_json(value):
            yield key, "expected text, a number, true, false, a list or a table"


def _is_json(value: object) -> bool:
    """Whether a value of the file has a counterpart in JSON; dates and infinities have none."""
    match value:
        case str() | bool() | int():
            return True
        case float():
            return abs(value) != float("inf") and value == value
        case list():
            return all(_is_json(item) for item in value)
        case dict():
            return all(_is_json(item) for item in value.values())
        case _:
            return False


def _dead_ends(routes: Sequence[RouteSettings]) -> Iterator[Problem]:
    """The candidates that name no route, and those that lead back to where they stand."""
    meant = RouteNames(routes)
    ways: list[list[tuple[str, int]]] = []
    for place, route in enumerate(routes):
        ways.append([])
        for number, candidate in enumerate(route.candidates):
            if not candidate.route:
                continue
            key = f"routes[{place}].candidates[{number}].route"
            target = meant.place(candidate.route)
            if target is None:
                names = ", ".join(other.model for other in routes)
                yield key, f"no route stands for {candidate.route!r:.80}; there are: {names}"
            else:
                ways[place].append((key, target))
    walk = _Walk(routes, ways)
    for place in range(len(routes)):
        walk.measure(place, [])
    yield from walk.problems


class _Walk:
    """Follows the candidates that are routes, each route once."""

    def __init__(
        self, routes: Sequence[RouteSettings], ways: Sequence[Sequence[tuple[str, int]]]
    ) -> None:
        self.problems: list[Problem] = []
        self._routes = routes
        self._ways = ways
        self._known: dict[int, tuple[int, int]] = {}

    def measure(self, place: int, road: list[int]) -> tuple[int, int]:
        """Return how many routes long the way from here is, and to how many upstreams it leads.

        ``road``: the routes that lead here. What is wrong becomes a problem.
        """
        if place in self._known:
            return self._known[place]
        road = [*road, place]
        length, ends = 0, len(self._routes[place].candidates) - len(self._ways[place])
        for key, target in self._ways[place]:
            if target in road:
                circle = [*road[road.index(target) :], target]
                names = " → ".join(self._routes[i].model for i in circle)
                self.problems.append((key, f"leads back to where it came from: {names}"))
                continue
            if len(road) == LONGEST_CHAIN:
                self._too_much(key)
                continue
            further = self.measure(target, road)
            length, ends = max(length, further[0]), ends + further[1]
            if length >= LONGEST_CHAIN or ends > MOST_ENDS:
                self._too_much(key)
                length, ends = 0, 0  # said once, not by every route that leads here
        self._known[place] = (length + 1, ends)
        return self._known[place]

    def _too_much(self, key: str) -> None:
        what = f"leads through more than {LONGEST_CHAIN} routes or to more than {MOST_ENDS} ends"
        self.problems.append((key, what))


class RouteNames:
    """Which of several routes a model name means: the first that fits."""

    def __init__(self, routes: Sequence[RouteSettings]) -> None:
        self._globs = [compile_globs(route.names) for route in routes]

    def places(self, model: str) -> Iterator[int]:
        """Give the places of the routes that fit; the first is the one meant."""
        return (place for place, glob in enumerate(self._globs) if glob.match(model))

    def place(self, model: str) -> int | None:
        """Return the place of the route ``model`` means, None if no route fits."""
        return next(self.places(model), None)
