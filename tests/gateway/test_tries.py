"""What is counted of a request's tries, and what the client hears when none was good."""

from __future__ import annotations

from typing import Any

from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.errors import NoCredentials, RateLimited, UpstreamFailed
from chatgpt_to_api.gateway.tries import FORGIVEN, Tries
from support.route_values import candidate

A, B = candidate("a"), candidate("b")
DOWN = UpstreamFault(error=UpstreamFailed("a is down", said="Hmm"), reason="500", retry="again")
DEAD = UpstreamFault(
    error=UpstreamFailed("expired"), reason="401", credential="invalid", retry="next_credential"
)


def test_dead_credentials_cost_no_attempt_up_to_a_bound() -> None:
    """A heap of them ends all the same."""
    tries = Tries()
    for _ in range(FORGIVEN):
        tries.counted += 1
        tries.failed(A, DEAD)
    assert tries.counted == 0
    tries.counted += 1
    tries.failed(A, DEAD)
    assert tries.counted == 1
    tries.counted += 1
    tries.failed(A, DOWN)
    assert tries.counted == 2


def test_the_soonest_of_all_refusals_is_what_the_client_hears() -> None:
    """Retry-After is true for the route, and the others are named."""
    tries = Tries()
    tries.refused(A, RateLimited("a rests.", retry_after=40))
    tries.refused(B, RateLimited("b rests.", retry_after=7))
    assert tries.soonest() == (B, 7)
    error = tries.error()
    assert error.retry_after == 7
    assert error.message == "b rests. a rests."


def limited(seconds: float, **more: Any) -> UpstreamFault:
    error = RateLimited(f"limited for {seconds} s", retry_after=seconds)
    return UpstreamFault(error=error, reason="429", retry="next_credential", **more)


def test_the_soonest_of_all_faults_is_what_the_client_hears() -> None:
    """Whoever was asked last may rest for minutes, and the one before for seconds only."""
    tries = Tries()
    tries.failed(A, limited(60))
    tries.failed(A, limited(2))
    tries.failed(A, limited(30))
    tries.failed(B, limited(600))
    assert tries.error().retry_after == 2
    tries.refused(B, RateLimited("b rests.", retry_after=599))
    assert tries.error().retry_after == 2


def test_what_the_pool_knows_is_truer_than_a_fault() -> None:
    """A candidate that was asked, then refused; and one whose pause grows with each fault."""
    tries = Tries()
    tries.failed(A, limited(2))
    tries.failed(B, limited(1, credential="backoff"))
    tries.refused(A, RateLimited("a rests.", retry_after=9))
    assert tries.error().retry_after == 9


def test_a_failure_without_a_time_is_told_without_one() -> None:
    """Nobody has to wait for what may well work at once."""
    tries = Tries()
    tries.failed(A, limited(600))
    tries.failed(B, DOWN)
    assert tries.error() is DOWN.error


def test_a_refusal_that_never_ends_is_told_after_those_that_do() -> None:
    """Somebody has to act for ``a``; ``b`` comes back by itself."""
    tries = Tries()
    tries.refused(A, NoCredentials("a has no credential."))
    tries.refused(B, RateLimited("b rests.", retry_after=7))
    assert tries.error().status == 429
    alone = Tries()
    alone.refused(A, NoCredentials("a has no credential."))
    assert alone.soonest() is None
    assert alone.error().status == 503


def test_the_upstreams_words_are_kept() -> None:
    """A fault, then nobody left to ask: why that one failed is said too."""
    tries = Tries()
    tries.failed(A, DOWN)
    tries.refused(B, RateLimited("b rests.", retry_after=7))
    assert tries.error().text == "b rests. Upstream said: Hmm"
    tries.failed(A, DOWN)
    assert tries.error() is DOWN.error


def test_what_the_gateway_says_itself_is_not_told_as_the_upstreams_words() -> None:
    """It found the server gone: that is said once, and by whom it is."""
    gone = UpstreamFault(error=UpstreamFailed("a cannot be reached: refused."), reason="refused")
    tries = Tries()
    tries.failed(A, gone)
    tries.refused(A, RateLimited("a is out of service (refused).", retry_after=7))
    assert tries.error().text == "a is out of service (refused)."
    tries = Tries()
    tries.failed(A, gone)
    tries.refused(B, RateLimited("b rests.", retry_after=7))
    assert tries.error().text == "b rests. a cannot be reached: refused."


def test_without_a_candidate_it_was_the_time() -> None:
    """Nobody was asked, and nobody refused."""
    assert Tries().error().status == 504
