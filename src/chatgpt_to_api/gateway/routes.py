"""Which upstreams may answer for a model name, and by which rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from chatgpt_to_api.config.globs import compile_globs, is_glob
from chatgpt_to_api.config.route_settings import CandidateSettings, RouteSettings
from chatgpt_to_api.config.routes import RouteNames
from chatgpt_to_api.errors import InvalidRequest, ModelNotFound, NoCredentials
from chatgpt_to_api.gateway.aliases import Aliases
from chatgpt_to_api.gateway.balance import Fork, Leg
from chatgpt_to_api.gateway.endpoints import Endpoints
from chatgpt_to_api.gateway.upstreams import Candidate, ConfiguredUpstream

WELL_KNOWN_MODELS: Final = (
    "gpt-*",
    "o1*",
    "o3*",
    "o4*",
    "chatgpt-*",
    "text-davinci-002-render*",
)
"""Names that stand for the default upstream where nothing else claims them."""

HOW_TO_BEGIN: Final = (
    "Give the gateway access tokens (PATCH /admin/tokens), set API_REVERSE_PROXY or "
    "OPENAI_BASE_URL, or let EMBEDDED_MODEL be auto."
)
"""What somebody with no upstream can do."""

LONGEST_MODEL: Final = 256
"""Most characters of a model's name: it is kept in records, logs and the cache of routes."""

_NO_TAG: Final = ":latest"
"""What Ollama's clients put behind a name that has no tag."""

_CACHE_LIMIT: Final = 1024


class Path(msgspec.Struct, frozen=True):
    """Where one model name leads.

    ``candidates`` stand as they were written, each once. ``fork`` orders them anew for every
    request; None where they are always tried as they stand. ``rule`` says in words why this name
    leads here, and ``route`` is the configured route, where it is one. ``limited``: there are
    requests that one of the candidates cannot answer. ``timed``: somebody is chosen by speed.
    """

    candidates: tuple[Candidate, ...]
    rule: str
    route: RouteSettings | None = None
    fork: Fork | None = None
    limited: bool = False
    timed: bool = False


NOWHERE: Final = Path((), "")
"""Where a request leads that was not looked up yet."""


class Routes:
    """Model name → candidates. Immutable; a changed configuration makes a new one.

    The order, first match wins: the configured routes; the ``models`` globs of upstreams in the
    order they stand; the well-known names (and ``also_known``) → ``default``; the first upstream
    that claims no particular models and so takes all others (a vendor's, without ``models``).
    An alias leads where the name does that it stands for, unless it is somebody's own name.
    ``skip_idle``: a route that leads to none of these upstreams says nothing; else it is an error.
    """

    def __init__(
        self,
        upstreams: Sequence[ConfiguredUpstream],
        *,
        routes: Sequence[RouteSettings] = (),
        default: ConfiguredUpstream | None = None,
        also_known: Iterable[str] = (),
        endpoints: Endpoints | None = None,
        skip_idle: bool = False,
        aliases: Aliases = Aliases(),  # frozen
    ) -> None:
        self.endpoints = endpoints or Endpoints(upstreams, lambda _: self)
        """The routes of other endpoints than chat's."""
        self.upstreams: Mapping[str, ConfiguredUpstream] = {u.name: u for u in upstreams}
        self.default = default
        self._routes = tuple(routes)
        self._names = RouteNames(self._routes)
        self._skip_idle = skip_idle
        self._aliases = aliases
        self._claims = [(compile_globs(u.models), u) for u in upstreams if u.models]
        self._known = compile_globs([*WELL_KNOWN_MODELS, *also_known])
        claimed = [name for route in routes for name in route.names]
        claimed += [pattern for u in upstreams for pattern in u.models or ()]
        known = [*WELL_KNOWN_MODELS, *also_known] if default is not None else []
        self._patterns = tuple(dict.fromkeys([*claimed, *known]))
        self.exact_names: tuple[str, ...] = tuple(
            pattern for pattern in dict.fromkeys(claimed) if not is_glob(pattern)
        )
        """Names, not globs, that routes and upstreams give: what a list can show."""
        self._catch_all = next((u for u in upstreams if u.takes_every_name), None)
        self._cache: dict[str, Path] = {}

    def path(self, model: str) -> Path:
        """Return where ``model`` leads. Raises ModelNotFound, NoCredentials, InvalidRequest."""
        found = self._cache.get(model)
        if found is None:
            found = self._find(model)
            if len(self._cache) >= _CACHE_LIMIT:  # names come from callers: never grow with them
                self._cache.clear()
            self._cache[model] = found
        return found

    def candidates(self, model: str) -> tuple[Candidate, ...]:
        """Return the ways to answer for ``model`` as they stand. Raises what :meth:`path` does."""
        return self.path(model).candidates

    def _find(self, model: str) -> Path:
        if len(model) > LONGEST_MODEL:
            raise InvalidRequest(
                f"The model's name is longer than the {LONGEST_MODEL} characters it may have.",
                param="model",
            )
        if not self.upstreams:
            raise NoCredentials(f"No upstream is configured. {HOW_TO_BEGIN}")
        meant = self._aliases.meant(model)
        if meant != model and model not in self.exact_names:
            model = meant  # once: the alias of an alias is nobody's
        path = self._claimed(model)
        if path is None and model.endswith(_NO_TAG):
            path = self._claimed(model.removesuffix(_NO_TAG))
        if path is not None:
            return path
        if self._catch_all is not None:
            rule = f"nobody claims it, and upstream {self._catch_all.name} takes every name"
            return _straight([self._catch_all], model, rule)
        served = ", ".join(self._patterns)
        raise ModelNotFound(
            f"No upstream serves the model {model[:200]!r}. Names that route here: {served}.",
            param="model",
        )

    def _claimed(self, model: str) -> Path | None:
        """Return where a name leads that somebody claims, None where nobody does."""
        for place in self._names.places(model):
            path = self._route(self._routes[place], model)
            if path is not None:
                return path
            if not self._skip_idle:
                raise NoCredentials(
                    "The route of this model leads to no upstream in force: it needs access tokens "
                    "(PATCH /admin/tokens), or the embedded model."
                )
        claimed = [u for pattern, u in self._claims if pattern.match(model)]
        if claimed:
            names = ", ".join(u.name for u in claimed)
            return _straight(claimed, model, f"`models` of upstream {names}")
        if self.default is not None and self._known.match(model):
            rule = f"a well-known name, which upstream {self.default.name} answers by default"
            return _straight([self.default], model, rule)
        return None

    def _route(self, route: RouteSettings, model: str) -> Path | None:
        fork = self._fork(route, model)
        if fork is None:
            return None
        ends: dict[tuple[str, str], Candidate] = {}
        for end in _ends(fork):
            ends.setdefault(end.key, end)
        strategies = {inner.strategy for inner in _forks(fork)}
        return Path(
            tuple(ends.values()),
            f"[[routes]] {', '.join(route.names)}",
            route,
            None if strategies == {"priority"} else fork,
            any(end.limited for end in ends.values()),
            "lowest_latency" in strategies,
        )

    def _fork(self, route: RouteSettings, model: str) -> Fork | None:
        """A route with its candidates in force; None if none of them is."""
        legs: list[Leg] = []
        weights: list[float] = []
        for candidate in route.candidates:
            leg = self._leg(candidate, model)
            if leg is not None:
                legs.append(leg)
                weights.append(candidate.weight)
        return Fork(route.strategy, tuple(legs), tuple(weights)) if legs else None

    def _leg(self, candidate: CandidateSettings, model: str) -> Leg | None:
        if candidate.route:
            place = self._names.place(candidate.route)
            assert place is not None, "a route that leads nowhere is refused with its configuration"
            return self._fork(self._routes[place], candidate.route)
        upstream = self.upstreams.get(candidate.upstream)
        if upstream is None:
            return None
        return Candidate(
            upstream,
            candidate.model or model,
            _raw(candidate.parameters),
            candidate.context_length,
        )


def _straight(upstreams: Sequence[ConfiguredUpstream], model: str, rule: str) -> Path:
    candidates = tuple(Candidate(upstream, model) for upstream in upstreams)
    return Path(candidates, rule, limited=any(c.limited for c in candidates))


def _raw(parameters: Mapping[str, Any]) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in parameters.items()}


def _ends(leg: Leg) -> Iterator[Candidate]:
    if isinstance(leg, Candidate):
        yield leg
    else:
        for inner in leg.legs:
            yield from _ends(inner)


def _forks(fork: Fork) -> Iterator[Fork]:
    yield fork
    for leg in fork.legs:
        if isinstance(leg, Fork):
            yield from _forks(leg)
