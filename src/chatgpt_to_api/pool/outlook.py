"""What a request can hope for: whether waiting is of any use, and the error where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.pool import refusal
from chatgpt_to_api.pool.contract import NOBODY, LeaseAsk
from chatgpt_to_api.pool.credential import Place
from chatgpt_to_api.pool.lineup import Hope

if TYPE_CHECKING:
    from chatgpt_to_api.pool.lending import Lending
    from chatgpt_to_api.pool.shelf import Shelf
    from chatgpt_to_api.pool.windows import SendLog

_LONGEST_GUESS: Final = 300.0


def hopeless(lending: Lending, ask: LeaseAsk, shelf: Shelf, now: float) -> GatewayError | None:
    """The error where no credential and no send can come before the deadline, else None."""
    if not shelf.usable(ask.exclude):
        return _nobody(lending, ask, shelf, now)
    hope = shelf.hope(ask.model, ask.exclude, now)
    rests = hope.cooling is not None and hope.cooling.place is not Place.PACED
    if hope.at > ask.deadline or (rests and not ask.sit_out):
        return _none_free(lending, ask, shelf, hope, now)
    if lending.windows is not None and lending.windows.opens_at() > ask.deadline:
        return _out_of_pace(lending, lending.windows, now)
    return None


def not_in_time(lending: Lending, ask: LeaseAsk, shelf: Shelf, now: float) -> GatewayError:
    """The error for a request whose deadline has come."""
    if lending.windows is not None and lending.windows.opens_at() > now:
        return _out_of_pace(lending, lending.windows, now)
    hope = shelf.hope(ask.model, ask.exclude, now)
    return _none_free(lending, ask, shelf, hope, now)


def queue_full(lending: Lending, shelf: Shelf, now: float) -> GatewayError:
    """The error for a request that finds no place to wait."""
    wait = _busy_for(lending, shelf, now)
    return refusal.queue_full(lending.name, lending.rules.max_queue, wait)


def _nobody(lending: Lending, ask: LeaseAsk, shelf: Shelf, now: float) -> GatewayError:
    if shelf.usable():
        return refusal.all_tried(lending.name, shelf.hope(ask.model, NOBODY, now), now)
    if ask.own is not None:
        return refusal.own_refused(lending.name, shelf.last_invalid)
    census = shelf.census()
    if not census.total:
        return refusal.no_credentials(lending.name)
    return refusal.none_usable(lending.name, census, shelf.last_invalid)


def _none_free(
    lending: Lending, ask: LeaseAsk, shelf: Shelf, hope: Hope, now: float
) -> GatewayError:
    busy_for = _busy_for(lending, shelf, now)
    if hope.cooling is not None and lending.windows is not None:
        hope = Hope(max(hope.at, lending.windows.opens_at()), hope.cooling)
    if ask.own is not None:
        return refusal.own_not_free(lending.name, hope, now, busy_for)
    return refusal.none_left(lending.name, shelf.census(ask.model), hope, now, busy_for)


def _out_of_pace(lending: Lending, windows: SendLog, now: float) -> GatewayError:
    ahead = lending.queue.waiting + len(lending.resuming)
    return refusal.out_of_pace(lending.name, windows.windows, windows.opens_after(ahead, now) - now)


def _busy_for(lending: Lending, shelf: Shelf, now: float) -> float:
    """A guess when a credential comes back to whoever asks next, seconds."""
    waiting = lending.queue.waiting
    guess = shelf.hold * (waiting + 1) / max(1, shelf.census().busy)
    if lending.windows is not None:
        guess = max(guess, lending.windows.opens_after(waiting, now) - now)
    return min(max(guess, 1.0), _LONGEST_GUESS)
