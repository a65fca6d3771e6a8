"""Which upstreams may answer for a model name, in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from chatgpt_to_api.config.globs import compile_globs, is_glob
from chatgpt_to_api.errors import ModelNotFound, NoCredentials
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

_CACHE_LIMIT: Final = 1024


class Routes:
    """Model name → ordered candidates. Immutable; a changed configuration makes a new one.

    The order, first match wins: the configured routes; the ``models`` globs of upstreams in the
    order they stand; the well-known names (and ``also_known``) → ``default``; the first upstream
    that claims no particular models and so takes all others (kind ``openai`` without ``models``).
    """

    def __init__(
        self,
        upstreams: Sequence[ConfiguredUpstream],
        *,
        routes: Sequence[tuple[str, Sequence[Candidate]]] = (),
        default: ConfiguredUpstream | None = None,
        also_known: Iterable[str] = (),
        endpoints: Endpoints | None = None,
    ) -> None:
        self.endpoints = endpoints or Endpoints(upstreams, lambda _: self)
        """The routes of other endpoints than chat's."""
        self.upstreams: Mapping[str, ConfiguredUpstream] = {u.name: u for u in upstreams}
        self.default = default
        self._routes = [(compile_globs([pattern]), tuple(found)) for pattern, found in routes]
        self._claims = [(compile_globs(u.models), u) for u in upstreams if u.models]
        self._known = compile_globs([*WELL_KNOWN_MODELS, *also_known])
        self._patterns = tuple(
            dict.fromkeys(
                [pattern for pattern, _ in routes]
                + [pattern for u in upstreams for pattern in u.models or ()]
                + ([*WELL_KNOWN_MODELS, *also_known] if default is not None else [])
            )
        )
        self.exact_names: tuple[str, ...] = tuple(
            pattern
            for pattern in dict.fromkeys(
                [p for p, _ in routes] + [p for u in upstreams for p in u.models or ()]
            )
            if not is_glob(pattern)
        )
        """Names, not globs, that routes and upstreams give: what a list can show."""
        self._catch_all = next(
            (u for u in upstreams if u.kind == "openai" and u.models is None), None
        )
        self._cache: dict[str, tuple[Candidate, ...]] = {}

    def candidates(self, model: str) -> tuple[Candidate, ...]:
        """Return the ways to answer for ``model``, best first. Raises ModelNotFound."""
        found = self._cache.get(model)
        if found is None:
            found = self._find(model)
            if len(self._cache) >= _CACHE_LIMIT:  # names come from callers: never grow with them
                self._cache.clear()
            self._cache[model] = found
        return found

    def _find(self, model: str) -> tuple[Candidate, ...]:
        if not self.upstreams:
            raise NoCredentials(
                "No upstream is configured: give the gateway access tokens (PATCH /admin/tokens), "
                "or set API_REVERSE_PROXY or OPENAI_BASE_URL."
            )
        for pattern, candidates in self._routes:
            if pattern.match(model) and not candidates:
                raise NoCredentials(
                    "The route of this model leads to no upstream in force: it needs access tokens "
                    "(PATCH /admin/tokens), or the embedded model."
                )
            if pattern.match(model):
                return tuple(c if c.model else Candidate(c.upstream, model) for c in candidates)
        claimed = tuple(Candidate(u, model) for pattern, u in self._claims if pattern.match(model))
        if claimed:
            return claimed
        if self.default is not None and self._known.match(model):
            return (Candidate(self.default, model),)
        if self._catch_all is not None:
            return (Candidate(self._catch_all, model),)
        served = ", ".join(self._patterns)
        raise ModelNotFound(
            f"No upstream serves the model {model[:200]!r}. Names that route here: {served}.",
            param="model",
        )
