"""What an administrator sees of a pool, and what of it outlives the process. No secrets."""

from __future__ import annotations

from chatgpt_to_api.pool.contract import CredentialView, Kept, ModelCooling, UpstreamView
from chatgpt_to_api.pool.credential import Credential, Place
from chatgpt_to_api.pool.upstream import UpstreamPool


def credential_view(credential: Credential, now: float, wall: float) -> CredentialView:
    """Show one credential; ``now`` is loop time and ``wall`` the Unix time of the same moment."""
    state = credential.state(now)
    reason, until = "", None
    cooldown = credential.cooldown
    if state == "invalid":
        reason = credential.invalid
    elif state == "disabled":
        reason = "disabled by hand"
    elif cooldown is not None:
        reason = cooldown.reason
        until = wall + cooldown.until - now
    elif credential.place is Place.PACED:
        reason = "at its rate limit"
        until = wall + credential.wake - now
    shown, last = credential.renews or credential.access.token, credential.last_used
    return CredentialView(
        id=credential.id,
        label=credential.label,
        masked=shown.masked if shown is not None else "",
        state=state,
        reason=reason,
        until=until,
        probe=cooldown is not None and state in ("ready", "busy"),
        in_flight=credential.in_flight,
        served=credential.served,
        last_error=credential.last_error,
        last_used=None if last is None else wall + last - now,
        expires=credential.expires,
        proxy=None if credential.proxy is None else str(credential.proxy),
        models=tuple(
            ModelCooling(model, limit.reason, wall + limit.until - now)
            for model, limit in (credential.models or {}).items()
        ),
    )


def upstream_view(pool: UpstreamPool, now: float, wall: float) -> UpstreamView:
    """Show one upstream's pool at a glance."""
    census = pool.shelf.census()
    shut = pool.shut(now)
    return UpstreamView(
        upstream=pool.name,
        total=census.total,
        ready=census.ready,
        busy=census.busy + census.paced,
        cooling=census.cooling,
        invalid=census.invalid,
        disabled=census.disabled,
        in_flight=pool.in_flight,
        waiting=pool.queue.waiting,
        open=shut is None,
        reason="" if shut is None else shut[1],
        until=None if shut is None else wall + shut[0] - now,
    )


def kept_of_credential(
    upstream: str, credential: Credential, now: float, wall: float
) -> tuple[Kept, ...]:
    """Everything about a credential that outlives the process; nothing of one that was removed."""
    if credential.removed:
        return ()
    kept = []
    if credential.disabled:
        kept.append(
            Kept(
                upstream=upstream,
                credential=credential.id,
                state="disabled",
                reason="disabled by hand",
            )
        )
    if credential.invalid and not credential.expired:  # the calendar is asked anew after a restart
        kept.append(
            Kept(
                upstream=upstream,
                credential=credential.id,
                state="invalid",
                reason=credential.invalid,
            )
        )
    cooling = dict(credential.models or {})
    if credential.cooldown is not None:
        cooling[""] = credential.cooldown
    kept += [
        Kept(
            upstream=upstream,
            credential=credential.id,
            state="cooling",
            reason=cooldown.reason,
            model=model,
            until=wall + cooldown.until - now,
            failures=cooldown.failures,
        )
        for model, cooldown in cooling.items()
    ]
    return tuple(kept)


def kept_of_upstream(pool: UpstreamPool, now: float, wall: float) -> tuple[Kept, ...]:
    """The upstream's own cool-down or open circuit, if it has one."""
    if not pool.breaker.shut or pool.breaker.until <= now:
        return ()
    return (
        Kept(
            upstream=pool.name,
            credential="",
            state="cooling",
            reason=pool.breaker.reason,
            until=wall + pool.breaker.until - now,
        ),
    )
