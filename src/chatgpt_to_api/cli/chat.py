"""``chat``: talk to a gateway in the terminal, answers as they are written."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Generator, Iterator
from typing import Annotated, Final

import msgspec
import typer

from chatgpt_to_api.cli.exits import CODES, Exit, stop
from chatgpt_to_api.cli.gateway_client import (
    GatewayAway,
    GatewayClient,
    GatewayRefused,
    ending_on_errors,
)
from chatgpt_to_api.cli.models import list_models
from chatgpt_to_api.cli.options import Config, DataDir, Url, Verbose, new_app, settings
from chatgpt_to_api.cli.output import for_terminal
from chatgpt_to_api.cli.running import configured_gateway, find_gateway

app = new_app()

_HELP: Final = "/reset begins anew, /exit (or Ctrl-D) leaves, Ctrl-C stops an answer."
_COMMAND: Final = re.compile("/[a-z]+")
"""A line that was meant as a command, if it is no more than this; a path, say, is a question."""

_START: Final = "Start a gateway with: chatgpt-to-api serve"


class _Turn(msgspec.Struct, frozen=True):
    role: str
    content: str


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)


class _Error(msgspec.Struct):
    message: str = "The gateway reports an error."


class _Event(msgspec.Struct):
    choices: list[_Choice] = []
    error: _Error | None = None


class AnswerFailed(Exception):
    """The answer ended before it was whole; the message says why."""


class Talk:
    """A conversation with one model: what was said so far, and the next answer."""

    def __init__(self, gateway: GatewayClient, model: str, system: str | None) -> None:
        self._gateway = gateway
        self.model = model
        self._opening = [_Turn("system", system)] if system else []
        self._turns: list[_Turn] = []

    def reset(self) -> None:
        """Forget what was said, but not the system message."""
        self._turns.clear()

    def ask(self, question: str) -> Generator[str, None, None]:
        """Give the answer piece by piece; however it ends, what came of it is remembered.

        Raises GatewayAway, GatewayRefused, AnswerFailed. A question that got nothing is forgotten.
        """
        asked = _Turn("user", question)
        body = {
            "model": self.model,
            "messages": [*self._opening, *self._turns, asked],
            "stream": True,
        }
        pieces: list[str] = []
        try:
            with self._gateway.events("/v1/chat/completions", body) as events:
                for piece in _contents(events):
                    pieces.append(piece)
                    yield piece
        finally:
            if pieces:
                self._turns += [asked, _Turn("assistant", "".join(pieces))]


@app.command(epilog=CODES)
def chat(
    question: Annotated[
        str | None,
        typer.Argument(
            help="Ask this, print the answer and end; - reads it from standard input.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Model to ask; else the gateway's first.", show_default=False
        ),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option("--system", "-s", help="System message to begin with.", show_default=False),
    ] = None,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    key: Annotated[
        str | None,
        typer.Option("--key", "-k", help="Client key, where it wants one.", show_default=False),
    ] = None,
    verbose: Verbose = False,  # noqa: ARG001  # main looks for it
) -> None:
    """Talk to a running gateway.

    Without a question it is a conversation: /reset begins anew, /exit or Ctrl-D leaves, Ctrl-C
    stops an answer. What is piped in is one question.
    """
    loaded = settings(config, data_dir)
    gateway = find_gateway(loaded, url, key) or configured_gateway(loaded, key)
    try:
        with ending_on_errors():
            talk = Talk(gateway, model or _first_model(gateway), system)
            if question is None and sys.stdin.isatty():
                _converse(talk, gateway.url)
                return
            if question in (None, "-"):
                question = sys.stdin.read().strip()
            if not question:
                stop(Exit.USAGE, "There is no question: name one, or pipe one in.")
            _answer_once(talk, question)
    except typer.Exit as ended:
        if ended.exit_code == Exit.UNAVAILABLE:
            print(_START, file=sys.stderr)
        raise


def _answer_once(talk: Talk, question: str) -> None:
    try:
        _show(talk.ask(question))
    except AnswerFailed as error:
        stop(Exit.FOUND, str(error))


def _converse(talk: Talk, url: str) -> None:
    """Read questions and show answers until the person leaves."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # lines can be edited and called back
    print(f"Talking to {talk.model} at {url}. {_HELP}")
    while (line := _read_line()) is not None:
        match line.split():
            case []:
                continue
            case ["/exit" | "/quit"]:
                return
            case ["/reset"]:
                talk.reset()
                print("(forgotten)")
            case ["/help"]:
                print(_HELP)
            case [word] if _COMMAND.fullmatch(word):
                print(f"There is no {word}. {_HELP}")
            case _:
                _answer(talk, line)


def _read_line() -> str | None:
    """Return the next line, "" where Ctrl-C took it back, None at the end."""
    try:
        return input("> ").strip()
    except KeyboardInterrupt:
        print()
        return ""
    except EOFError:
        print()
        return None


def _answer(talk: Talk, question: str) -> None:
    try:
        _show(talk.ask(question))
    except KeyboardInterrupt:
        print("(stopped)")
    except (GatewayAway, GatewayRefused, AnswerFailed) as error:
        print(str(error), file=sys.stderr)


def _show(pieces: Generator[str, None, None]) -> None:
    """Print an answer as it comes; the line is ended whatever happens."""
    written = ""
    with contextlib.closing(pieces):
        try:
            for piece in pieces:
                print(for_terminal(piece), end="", flush=True)
                written = piece
        finally:
            if written and not written.endswith("\n"):
                print(flush=True)


def _contents(events: Iterator[bytes]) -> Iterator[str]:
    """Give the text in a stream's events. Raises AnswerFailed if it does not end well."""
    for data in events:
        if data == b"[DONE]":
            return
        try:
            event = msgspec.json.decode(data, type=_Event)
        except msgspec.DecodeError:
            continue  # another dialect's event; what is no chunk says nothing here
        if event.error is not None:
            raise AnswerFailed(f"The answer broke off: {event.error.message}")
        for choice in event.choices:
            if choice.delta.content:
                yield choice.delta.content
    raise AnswerFailed("The answer broke off: the gateway ended it without saying why.")


def _first_model(gateway: GatewayClient) -> str:
    """Return the model to ask where none is named. Raises GatewayAway, GatewayRefused."""
    models = list_models(gateway)
    if not models:
        stop(
            Exit.FOUND,
            f"{gateway.url} has no model to talk to: nothing is there that could answer. "
            "chatgpt-to-api doctor says what to do.",
        )
    return models[0].id
