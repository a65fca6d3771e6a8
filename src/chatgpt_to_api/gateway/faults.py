"""What a broken call means: transport failures as faults, and the words for the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from msgspec import structs

from chatgpt_to_api.config.addresses import ADDRESSES
from chatgpt_to_api.config.upstream_settings import Kind
from chatgpt_to_api.dialects.contract import (
    RelayUpstream,
    Upstream,
    UpstreamFault,
    VectorUpstream,
)
from chatgpt_to_api.dialects.faults import WRONG_PATH
from chatgpt_to_api.errors import UpstreamFailed, UpstreamTimeout
from chatgpt_to_api.transport.errors import (
    ConnectFailed,
    DeadlinePassed,
    SilenceTimeout,
    TransportError,
)
from chatgpt_to_api.transport.reply import Reply

if TYPE_CHECKING:
    from chatgpt_to_api.pool.contract import Granted

log = structlog.get_logger(__name__)

ERROR_BODY_LIMIT: Final = 64 * 1024
"""How much of an error body is read, bytes: challenge pages run to hundreds of kilobytes."""

ERROR_BODY_TIME: Final = 5.0
"""How long an error's body is waited for, seconds: the next credential need not wait for it."""


def blame_proxy(error: TransportError, lease: Granted) -> None:
    """Tell the pool where it was the outbound proxy that failed, and not the upstream."""
    if isinstance(error, ConnectFailed) and error.at_proxy:
        lease.proxy_failed(error.message)


def fault_of(error: TransportError, upstream: str) -> UpstreamFault:
    """Return what a failed connection to ``upstream`` means for retries and its breaker."""
    match error:
        case ConnectFailed(at_proxy=True):
            return UpstreamFault(
                error=UpstreamFailed(
                    f"The outbound proxy to the upstream {upstream!r} failed: {error}.",
                    code="proxy_failed",
                ),
                reason=f"proxy: {error}",
                retry="again",
            )
        case ConnectFailed():
            return UpstreamFault(
                error=UpstreamFailed(
                    f"The upstream {upstream!r} cannot be reached: {error}.",
                    code="upstream_unreachable",
                ),
                reason=f"unreachable: {error}",
                upstream="count",
                retry="again",
            )
        case DeadlinePassed():
            return UpstreamFault(
                error=UpstreamTimeout(
                    f"The request's deadline passed before the upstream {upstream!r} had answered."
                ),
                reason="deadline passed",
            )
        case SilenceTimeout():
            return UpstreamFault(
                error=UpstreamTimeout(
                    f"The upstream {upstream!r} was silent for too long: {error}."
                ),
                reason="silent for too long",
                upstream="count",
                retry="again",
            )
        case _:
            return UpstreamFault(
                error=UpstreamFailed(
                    f"The connection to the upstream {upstream!r} broke: {error}.",
                    code="upstream_broken",
                ),
                reason=f"broken connection: {error}",
                upstream="count",
                retry="again",
            )


def broken_off(error: TransportError, upstream: str) -> UpstreamFault:
    """Return what a connection to ``upstream`` that failed in the middle of its answer means."""
    fault = fault_of(error, upstream)
    if isinstance(error, DeadlinePassed | SilenceTimeout):
        return fault
    said = f"The upstream {upstream!r} broke off in the middle of its answer: {error}."
    return structs.replace(fault, error=UpstreamFailed(said, code="upstream_truncated"))


def told_where(fault: UpstreamFault, upstream: str, kind: Kind) -> UpstreamFault:
    """Return a fault whose error, where the base URL looks wrong, tells whose and how it has to be.

    A codec knows neither.
    """
    address = ADDRESSES.get(kind)
    if fault.error.code == WRONG_PATH and address is not None:
        fault.error.message = (
            f"The upstream {upstream!r} serves nothing where it was asked: {fault.reason}. Its "
            f"base_url has to be {address}; `chatgpt-to-api doctor` examines it."
        )
    return fault


async def refused(
    reply: Reply, codec: Upstream | RelayUpstream | VectorUpstream, now: float
) -> UpstreamFault:
    """Return what a reply that is not a success means, reading a bounded beginning of its body."""
    body, _ = await error_body(reply)
    return codec.fault(reply.head, body, now)


async def error_body(reply: Reply) -> tuple[bytes, bool]:
    """Read a bounded beginning of an error's body, for a bounded time; tell if that is all."""
    body = bytearray()
    reply.hurry(ERROR_BODY_TIME)
    try:
        while len(body) < ERROR_BODY_LIMIT:
            data = await reply.read()
            if not data:
                return bytes(body), True
            body += data
    except TransportError:
        # The status alone says enough; an error body that breaks off or stalls must not hide it.
        log.debug("error body broke off", status=reply.head.status, kept=len(body))
    return bytes(body[:ERROR_BODY_LIMIT]), False
