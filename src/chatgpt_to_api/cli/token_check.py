"""Verdicts on tokens: by what they say of themselves, what is known of them, and a live question.

The live question is the backend's model list, a sibling of its conversation URL: it costs nothing
and shows whether the token is accepted. Not every backend has it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from chatgpt_to_api.cli.exits import Exit, stop
from chatgpt_to_api.cli.output import moment, span
from chatgpt_to_api.cli.probe import Answered, Prober
from chatgpt_to_api.cli.token_sets import StoredTokens, TokenSet
from chatgpt_to_api.config.settings import Settings
from chatgpt_to_api.pool.contract import CredentialView
from chatgpt_to_api.store.credentials import StoredCredential

SOON: Final = 2 * 86400.0
"""Time before its end in which a token expires soon, seconds."""

AT_ONCE: Final = 4
"""Live questions at a time."""


Verdict: TypeAlias = Literal["good", "soon", "waits", "bad", "unknown"]
"""``soon``: to be replaced soon; ``waits``: cooling; ``unknown``: nobody could be asked."""


class TokenVerdict(msgspec.Struct, frozen=True):
    """One token's verdict and the reason."""

    id: str
    token: str
    label: str
    verdict: Verdict
    says: str
    expires: float | None = None


def verdict_of(view: CredentialView, now: float) -> TokenVerdict:
    """Judge a token by its own expiry and by what happened to it."""
    verdict: Verdict = "good"
    says = "opaque: no expiry can be read from it"
    if view.expires is not None:
        says = f"a JWT that expires in {span(view.expires - now)} ({moment(view.expires)})"
        if view.expires <= now:
            verdict, says = "bad", f"expired {moment(view.expires)}"
        elif view.expires - now < SOON:
            verdict = "soon"
    if view.state in ("invalid", "disabled") and verdict != "bad":
        verdict, says = "bad", f"{view.state}: {view.reason}"
    elif view.state == "cooling" and verdict != "bad":
        until = "" if view.until is None else f" for {span(view.until - now)}"
        verdict, says = "waits", f"cooling{until}: {view.reason}"
    label = "" if view.label == view.masked else view.label
    return TokenVerdict(view.id, view.masked, label, verdict, says, view.expires)


def check_tokens(
    tokens: TokenSet, settings: Settings, upstream: str | None, *, live: bool
) -> list[TokenVerdict]:
    """Judge every token. Ends the command if a live check is asked for and cannot be made."""
    now = time.time()
    verdicts = [verdict_of(view, now) for view in tokens.all()]
    if not live:
        return verdicts
    if not isinstance(tokens, StoredTokens):
        stop(
            Exit.UNAVAILABLE,
            "--live needs the tokens themselves, which a running gateway gives to nobody. Stop it "
            "first, or check without --live.",
        )
    name = upstream or settings.token_upstream
    asked = asyncio.run(_ask(settings, name, tokens.secrets()))
    return [_with_answer(verdict, asked[verdict.id]) for verdict in verdicts]


async def _ask(
    settings: Settings, upstream: str, stored: Sequence[StoredCredential]
) -> dict[str, Answered]:
    configured = settings.conversation_upstreams[upstream]
    places = asyncio.Semaphore(AT_ONCE)
    async with Prober.open(settings) as prober:

        async def ask(one: StoredCredential) -> Answered:
            async with places:
                return await prober.token(configured, one.access)

        answers = await asyncio.gather(*(ask(one) for one in stored))
    return {one.id: answer for one, answer in zip(stored, answers, strict=True)}


def _with_answer(verdict: TokenVerdict, answer: Answered) -> TokenVerdict:
    match answer.level:
        case "ok":
            better: Verdict = "good" if verdict.verdict == "bad" else verdict.verdict
            return msgspec.structs.replace(verdict, verdict=better, says=answer.says)
        case "problem":
            return msgspec.structs.replace(verdict, verdict="bad", says=answer.says)
        case "warning":
            worse: Verdict = verdict.verdict if verdict.verdict == "bad" else "unknown"
            return msgspec.structs.replace(verdict, verdict=worse, says=answer.says)
        case "note":
            return msgspec.structs.replace(verdict, says=f"{verdict.says}; {answer.says}")
