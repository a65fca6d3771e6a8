"""The settings of one route, ``[[routes]]``, and of the ways to answer it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

Strategy: TypeAlias = Literal["priority", "weighted", "least_busy", "lowest_latency"]


class CandidateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to serve a route: an upstream, or all the ways of another route."""

    upstream: Annotated[
        str, Meta(description="Name of the upstream; a candidate has this or `route`.")
    ] = ""
    model: Annotated[
        str | None, Meta(description="The model's name there, if it is another one.")
    ] = None
    route: Annotated[
        str,
        Meta(
            description="Instead of an upstream: a model name of another route, whose candidates "
            "stand here as if that name had been asked for."
        ),
    ] = ""
    weight: Annotated[
        float,
        Meta(
            description="Its share of the requests, beside the others' weights (strategy "
            "`weighted`); 0 is only tried when the others failed.",
            ge=0,
            le=1_000_000,
        ),
    ] = 1.0
    parameters: Annotated[
        dict[str, Any],
        Meta(
            description="Request parameters sent there unless the client gave them; for upstreams "
            "of kind openai and local."
        ),
    ] = {}
    context_length: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Longest prompt and answer of this model there, tokens."),
    ] = None


class RouteSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[[routes]]``: a model name or glob, its candidates, and how one of them is chosen."""

    model: Annotated[str, Meta(description="Model name or glob that is asked for.")]
    candidates: Annotated[
        tuple[CandidateSettings, ...],
        Meta(description="The ways to answer, in order.", min_length=1),
    ]
    aliases: Annotated[
        tuple[str, ...], Meta(description="More names or globs that mean this route.")
    ] = ()
    strategy: Annotated[
        Strategy,
        Meta(
            description="Which candidate comes first; the others follow when it fails. priority: "
            "as they stand; weighted: by chance; least_busy: fewest requests per credential; "
            "lowest_latency: soonest first content of late."
        ),
    ] = "priority"
    request_deadline: Annotated[
        Annotated[float, Meta(gt=0, le=1_000_000)] | None,
        Meta(description="Longest whole request, seconds, instead of that of [limits]."),
    ] = None
    read_timeout: Annotated[
        Annotated[float, Meta(gt=0, le=1_000_000)] | None,
        Meta(description="Longest silence of an upstream, seconds, instead of that of [limits]."),
    ] = None
    queue_wait: Annotated[
        Annotated[float, Meta(ge=0, le=1_000_000)] | None,
        Meta(description="Longest wait for a credential, seconds, instead of that of [limits]."),
    ] = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every name and glob that means this route."""
        return (self.model, *self.aliases)
