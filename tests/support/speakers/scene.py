"""What is asked and what is answered in a test of any door over any upstream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from support.scripted_backend import Play, Seen

Ending = Literal["good", "error first", "error after", "cut", "hang"]
Finish = Literal["stop", "length", "calls", "refusal"]

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A picture of one pixel."""

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
"""Of the tool's arguments, and of the JSON that is asked for."""

TOOL = "get_weather"
TOLD = "Tells the weather of a city."
BUSY = "The planets are badly aligned."
"""An upstream's own words for its trouble."""


@dataclass(frozen=True)
class Call:
    """A call of the tool."""

    id: str
    city: str

    @property
    def arguments(self) -> dict[str, str]:
        return {"city": self.city}

    @property
    def written(self) -> str:
        return json.dumps(self.arguments)


@dataclass(frozen=True)
class Turn:
    """One turn; ``results`` are texts, one for each call of the turn before."""

    role: Literal["system", "user", "assistant", "results"]
    text: str = ""
    image: bool = False
    calls: tuple[Call, ...] = ()
    results: tuple[tuple[Call, str], ...] = ()


@dataclass(frozen=True)
class Said:
    """An answer, as its upstream means it and as a client hears it."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    finish: Finish = "stop"


@dataclass(frozen=True)
class Scene:
    """One question and its answer."""

    name: str
    turns: tuple[Turn, ...]
    says: Said
    tools: bool = False
    schema: bool = False
    max_tokens: int | None = None
    ending: Ending = "good"
    stream: bool = False
    heard: asyncio.Event | None = None
    """Set when the client has heard the first content."""

    @property
    def pieces(self) -> list[str]:
        """The answer's text in two pieces."""
        middle = len(self.says.text) // 2
        return [piece for piece in (self.says.text[:middle], self.says.text[middle:]) if piece]


@dataclass
class Asking:
    """A request as a client sends it."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Heard:
    """What a client has understood of a reply; ``error``: the words of an error of any kind.

    ``whole``: the reply had its dialect's good end.
    """

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    finish: str = ""
    error: str = ""
    whole: bool = False
    refused: bool = False


@dataclass
class Told:
    """What a server has understood of a request; ``texts`` with who said them, in order."""

    texts: list[tuple[str, str]] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    schema: bool = False
    max_tokens: int | None = None


class Speaker(Protocol):
    """One dialect, from both sides."""

    name: str
    kind: str
    """Of upstreams that speak it."""

    def asking(self, scene: Scene, model: str) -> Asking:
        """The request of a client."""
        ...

    def hear(self, body: bytes, *, stream: bool) -> Heard:
        """What a client makes of a 2xx reply's bytes, of a broken one too."""
        ...

    def error(self, body: bytes) -> str:
        """The words of an error reply; KeyError or the like for a body of another shape."""
        ...

    def play(self, scene: Scene, seen: Seen) -> Play:
        """The reply of a server."""
        ...

    def told(self, seen: Seen) -> Told:
        """What a server makes of a request."""
        ...


def sse(events: Iterable[tuple[str, Any]]) -> list[bytes]:
    """Server-sent events; an unnamed one has no ``event`` line."""
    return [
        (f"event: {name}\n" if name else "").encode() + b"data: " + _data(value) + b"\n\n"
        for name, value in events
    ]


def _data(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def read_sse(body: bytes) -> list[tuple[str, Any]]:
    """The events of a stream: their names and data; ``[DONE]`` stays a string."""
    events: list[tuple[str, Any]] = []
    for block in body.decode().replace("\r\n", "\n").split("\n\n")[:-1]:
        name, data = "", []
        for line in block.split("\n"):
            if line.startswith("event:"):
                name = line.removeprefix("event:").strip()
            elif line.startswith("data:"):
                data.append(line.removeprefix("data:").strip())
        if data:
            text = "\n".join(data)
            events.append((name, text if text == "[DONE]" else json.loads(text)))
    return events


def streamed(scene: Scene, events: list[bytes], content: int, failed: list[bytes]) -> Play:
    """A stream that ends as the scene says; after ``content`` events there is the first content.

    An error that follows it waits until the client has heard it.
    """
    match scene.ending:
        case "error after":
            gates = {} if scene.heard is None else {content: scene.heard}
            return Play(pieces=[*events[:content], *failed], gates=gates)
        case "cut":
            return Play(pieces=events[:content], end="close")
        case "hang":
            return Play(pieces=events[:content], end="hang")
    return Play(pieces=events)
