"""The path a request would take, and why: what ``explain`` and the admin API show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from chatgpt_to_api.chat.needs import Needs
from chatgpt_to_api.config.settings import LimitSettings
from chatgpt_to_api.gateway.ability import lack
from chatgpt_to_api.gateway.balance import Balance
from chatgpt_to_api.gateway.routes import Routes
from chatgpt_to_api.gateway.upstreams import Candidate
from chatgpt_to_api.pool.contract import UpstreamView

Verdict: TypeAlias = Literal["asked", "waited for", "rests", "passed over", "not known"]


class Step(msgspec.Struct, frozen=True):
    """One candidate. ``state`` is its upstream's pool; None where no gateway runs.

    ``verdict``: ``asked`` in its turn; ``waited for``, being busy; it ``rests`` and is asked only
    when nobody else can be; ``passed over``, for it lacks what is needed. ``first_content``: how
    soon it answered streams of late, seconds.
    """

    upstream: str
    kind: str
    model: str
    verdict: Verdict
    why: str = ""
    context_length: int | None = None
    first_content: float | None = None
    state: UpstreamView | None = None


class Explanation(msgspec.Struct, frozen=True):
    """What a model's name leads to. Times are in seconds; ``steps`` in the order of trying.

    Unless the strategy is ``priority`` that order is one of those that may come.
    """

    model: str
    rule: str
    strategy: str
    request_deadline: float
    read_timeout: float
    queue_wait: float
    max_attempts: int
    steps: tuple[Step, ...]


def explain(
    routes: Routes,
    limits: LimitSettings,
    balance: Balance | None,
    view: Callable[[str], UpstreamView] | None,
    model: str,
    needs: Needs,
) -> Explanation:
    """Say where a chat request for ``model`` would go. Raises ModelNotFound, NoCredentials.

    ``balance`` and ``view`` are a running gateway's, None where only the configuration is known.
    """
    path = routes.path(model)
    candidates = list(path.candidates)
    if path.fork is not None and balance is not None:
        candidates = balance.order(path.fork, stream=True)
    steps = [_step(candidate, balance, view, needs) for candidate in candidates]
    route = path.route
    own = (route.request_deadline, route.read_timeout, route.queue_wait) if route else (None,) * 3
    usual = (limits.request_deadline, limits.read_timeout, limits.queue_wait)
    deadline, silence, queue = (u if o is None else o for o, u in zip(own, usual, strict=True))
    return Explanation(
        model=model,
        rule=path.rule,
        strategy="priority" if route is None else route.strategy,
        request_deadline=deadline,
        read_timeout=silence,
        queue_wait=min(queue, deadline),
        max_attempts=limits.max_attempts,
        # Only those passed over leave their place in the list: nobody comes to ask them.
        steps=tuple(sorted(steps, key=lambda step: step.verdict == "passed over")),
    )


def _step(
    candidate: Candidate,
    balance: Balance | None,
    view: Callable[[str], UpstreamView] | None,
    needs: Needs,
) -> Step:
    upstream = candidate.upstream
    state = view(upstream.name) if view is not None else None
    lacking = lack(candidate, needs)
    verdict, why = _outlook(candidate, balance, state)
    if lacking is not None:
        verdict, why = "passed over", lacking[0]
    latency = balance.latencies.of(candidate, stream=True) if balance is not None else 0.0
    return Step(
        upstream=upstream.name,
        kind=upstream.kind,
        model=candidate.model,
        verdict=verdict,
        why=why,
        context_length=candidate.context,
        first_content=round(latency, 3) if latency else None,
        state=state,
    )


def _outlook(
    candidate: Candidate, balance: Balance | None, state: UpstreamView | None
) -> tuple[Verdict, str]:
    if state is None or balance is None:
        return "not known", "no gateway runs"
    if not state.open:
        return "rests", state.reason
    if not balance.able(candidate):
        counts = ((state.cooling, "cooling"), (state.invalid, "invalid"), (state.disabled, "off"))
        said = ", ".join(f"{count} {word}" for count, word in counts if count)
        known = "none of its credentials can be used for this model now"
        return "rests", f"{known} ({said})" if said else known if state.total else "no credential"
    if state.ready == 0:
        return "waited for", f"{state.busy} busy, {state.waiting} waiting"
    return "asked", ""
