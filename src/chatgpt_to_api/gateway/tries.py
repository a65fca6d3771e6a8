"""What became of the tries of one request so far, and what the client hears if none was good."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.errors import GatewayError, UpstreamTimeout
from chatgpt_to_api.gateway.upstreams import Candidate

FORGIVEN: Final = 7
"""Calls that only found out that a credential is invalid cost no attempt, up to this many: a heap
of dead tokens must not fail a request that a good one could answer."""


class Tries:
    """Counts the calls of one request (of one part, where its choices are asked one by one)."""

    # Most requests are answered at once and never change any of it.
    counted = 0
    """Attempts that count against the limit."""
    fault: UpstreamFault | None = None
    """What the last call came to."""
    _forgiven = 0
    _refused: Mapping[tuple[str, str], tuple[Candidate, GatewayError]] = {}
    _rests: Mapping[tuple[str, str], GatewayError] = {}
    _last: GatewayError | None = None

    def failed(self, candidate: Candidate, fault: UpstreamFault) -> None:
        """A call came back with a fault."""
        self.fault = fault
        self._last = None
        # How long a growing pause is, only the pool knows.
        if fault.error.retry_after is not None and fault.credential != "backoff":
            before = self._rests.get(candidate.key, fault.error)
            rest = min(before, fault.error, key=_wait)
            self._rests = {**self._rests, candidate.key: rest}
        if fault.credential == "invalid" and self._forgiven < FORGIVEN:
            self._forgiven += 1
            self.counted -= 1

    def refused(self, candidate: Candidate, error: GatewayError) -> None:
        """The pool had no credential to lend."""
        self._refused = {**self._refused, candidate.key: (candidate, error)}
        self._rests = {key: rest for key, rest in self._rests.items() if key != candidate.key}
        self._last = error

    def soonest(self) -> tuple[Candidate, float] | None:
        """The refused candidate that can be asked again first, and in how many seconds."""
        waits = [(c, e.retry_after) for c, e in self._refused.values() if e.retry_after]
        return min(waits, key=lambda wait: wait[1], default=None)

    def error(self) -> GatewayError:
        """What the pool says, soonest first, with the upstream's own words; or the last fault.

        Where that passes by itself, and another candidate's fault sooner, it is that fault.
        """
        told = self._told()
        if told.retry_after is None:
            return told
        return min((told, *self._rests.values()), key=_wait)

    def _told(self) -> GatewayError:
        if self._last is None:
            if self.fault is None:
                return UpstreamTimeout("No upstream answered before the request's deadline.")
            return self.fault.error
        refusals = [error for _, error in self._refused.values()]
        refusals.sort(key=_wait)
        first, *others = refusals
        if others:
            first.message = " ".join(dict.fromkeys(error.message for error in refusals))
        if self.fault is not None and not first.said:
            first.said = self.fault.error.said
            if not first.said and self.fault.reason not in first.message:
                first.message += f" {self.fault.error.message}"
        return first


def _wait(error: GatewayError) -> float:
    return error.retry_after or math.inf
