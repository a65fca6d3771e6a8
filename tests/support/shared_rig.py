"""One gateway process for a whole module of tests: each test says what the backend plays now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from support.gateway_process import Answer
from support.rig import Rig
from support.scripted_backend import Play, Script, Seen


class OpenScript:
    """A script that can be changed: plays in order (the last one repeats), or a function."""

    def __init__(self) -> None:
        self._script: Script = _nothing

    def play(self, script: Script | Sequence[Play] | Play) -> None:
        """From now on the backend plays this."""
        if callable(script):
            self._script = script
            return
        plays = [script] if isinstance(script, Play) else list(script)
        self._script = lambda _: plays.pop(0) if len(plays) > 1 else plays[0]

    def __call__(self, seen: Seen) -> Play:
        return self._script(seen)


def _nothing(_: Seen) -> Play:
    raise AssertionError("nobody said what to play")


async def fresh(rig: Rig) -> None:
    """Forget what earlier tests taught the gateway about its backend, and whom it asked."""
    reset = await rig.admin("POST", "/admin/tokens/reset")
    assert reset.status == 200, reset.text
    rig.backend.seen.clear()


def events_of(answer: Answer) -> list[Any]:
    """The events of a streamed reply, decoded; ``[DONE]`` stays a string."""
    found: list[Any] = []
    for line in answer.text.split("\n"):
        if line.startswith("data: "):
            data = line.removeprefix("data: ")
            found.append(data if data == "[DONE]" else json.loads(data))
    return found


def text_of(events: Sequence[Any]) -> str:
    """The text that a streamed chat completion says."""
    return "".join(
        choice["delta"].get("content") or ""
        for event in events
        if isinstance(event, dict)
        for choice in event.get("choices", ())
    )
