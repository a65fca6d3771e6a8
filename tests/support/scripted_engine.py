"""An engine that plays canonical events, for what stands before the gateway's own.

It keeps the engine's promise to doors: ``settle`` before the terminal bytes, and after a cut.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from chatgpt_to_api.chat.events import (
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Finished,
    FinishReason,
    Started,
    TextDelta,
)
from chatgpt_to_api.chat.request import ChatRequest, Text
from chatgpt_to_api.dialects.contract import Asked, Door, Stamp
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.exchange import Exchange

Step = Sequence[ChatEvent] | GatewayError | asyncio.Event
"""The events of one read, the error that breaks the reply, or a gate to wait at."""

Script = Callable[[ChatRequest], Sequence[Step]]


def says(*pieces: str, model: str = "real-model", finish: FinishReason = "stop") -> list[Step]:
    """A good reply, each piece in a read of its own."""
    middle: list[Step] = [[TextDelta(piece)] for piece in pieces]
    return [
        [Started(model), BlockStarted(0, "text")],
        *middle,
        [BlockEnded(0), Finished(finish)],
    ]


class ScriptedEngine:
    """Answers every request by its script; remembers what was asked, and by whom."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[ChatRequest] = []
        self.callers: list[Caller] = []

    @property
    def last(self) -> list[tuple[str, str]]:
        """Role and text of the last request's messages."""
        return [
            (message.role, "".join(part.text for part in message.parts if isinstance(part, Text)))
            for message in self.asked[-1].messages
        ]

    async def answer(
        self,
        exchange: Exchange,
        door: Door,
        asked: Asked,
        caller: Caller,
        settle: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        request = asked.request()
        self.asked.append(request)
        self.callers.append(caller)
        out = door.reply(asked, Stamp(f"{len(self.asked):032x}", 1697031001))
        settle = settle or _nothing
        try:
            for step in self.script(request):
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, GatewayError):
                    raise step
                elif data := out.feed(step):
                    if not exchange.started:
                        exchange.start(200, out.headers())
                    exchange.write(data)
            await settle()
        except asyncio.CancelledError:
            await settle()
            raise
        except GatewayError as error:
            with contextlib.suppress(GatewayError):
                await settle()
            if exchange.started:
                exchange.write(out.failure(error))
            else:
                reply = door.failure(error)
                exchange.start(reply.status, reply.headers)
                exchange.write(reply.body)
        else:
            if not exchange.started:
                exchange.start(200, out.headers())
            exchange.write(out.end())
        exchange.finish()


async def _nothing() -> None:
    pass
