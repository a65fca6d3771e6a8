"""Client side of legacy completions: a request's decode, and what a chat can make of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from chatgpt_to_api.chat.needs import Feature, Needs
from chatgpt_to_api.chat.request import ChatRequest, Message, Sampling, Text
from chatgpt_to_api.dialects.bodies import decode_body, present, without_mark
from chatgpt_to_api.dialects.contract import Asked, Stamp
from chatgpt_to_api.dialects.openai.error_reply import error_reply
from chatgpt_to_api.dialects.openai.requests import rewritten
from chatgpt_to_api.dialects.openai_completions.door_reply import CompletionReplyEncoder
from chatgpt_to_api.dialects.openai_completions.messages import DIALECT, CompletionRequest
from chatgpt_to_api.dialects.problems import anything, invalid
from chatgpt_to_api.errors import GatewayError, InvalidRequest
from chatgpt_to_api.wire.http import HttpReply, RequestHead

MAX_CHOICES: Final = 128
DEFAULT_LENGTH: Final = 16
"""Tokens of an answer whose length nobody gave, as the API has it."""

_EXAMPLE: Final = '{"model": "gpt-3.5-turbo-instruct", "prompt": "Say hello"}'
_REQUEST: Final = msgspec.json.Decoder(CompletionRequest)
_RANGES: Final = (
    ("temperature", 0, 2),
    ("top_p", 0, 1),
    ("presence_penalty", -2, 2),
    ("frequency_penalty", -2, 2),
)


class CompletionAsked:
    """One completions request, decoded and checked as far as every lane needs it."""

    affinity = b""
    opening = b""

    def __init__(self, body: bytes, asked: CompletionRequest) -> None:
        self._body = body
        self.asked = asked
        self.model: str = asked.model
        self.stream: bool = bool(asked.stream)
        options = asked.stream_options
        self.include_usage: bool = bool(options is not None and options.include_usage)
        self.each: int = asked.n or 1
        """How many choices each prompt gets."""
        self.n: int = self.prompts * self.each
        self._decode: Callable[[Sequence[int]], str] | None = None

    @property
    def untranslated(self) -> tuple[str, ...]:
        """What no chat knows and the answer does without."""
        asked = self.asked
        given = {
            "best_of": (asked.best_of or 1) > self.each,
            "logprobs": asked.logprobs is not None,
        }
        return tuple(name for name, is_given in given.items() if is_given)

    @property
    def prompts(self) -> int:
        """How many prompts there are."""
        prompt = self.asked.prompt
        if isinstance(prompt, str) or isinstance(prompt[0], int):
            return 1
        return len(prompt)

    @property
    def has_tokens(self) -> bool:
        """Whether a prompt is given as token ids."""
        prompt = self.asked.prompt
        return not isinstance(prompt, str) and not isinstance(prompt[0], str)

    def read_tokens(self, decode: Callable[[Sequence[int]], str]) -> None:
        """Read token ids with ``decode``, which raises ValueError for ids that are no text."""
        self._decode = decode

    @property
    def echoed(self) -> tuple[str, ...]:
        """What stands before each choice."""
        if not self.asked.echo:
            return ()
        return tuple(self._text(prompt) for prompt in range(self.prompts) for _ in range(self.each))

    def request(self) -> ChatRequest:
        """Return the only prompt's, or the first one's, request. Raises as ``request_of``."""
        return self.request_of(0)

    def request_of(self, prompt: int) -> ChatRequest:
        """Return a prompt as a chat's one message. Raises InvalidRequest for what no chat can."""
        if self.n > MAX_CHOICES:
            raise invalid(
                "prompt",
                f"expected at most {MAX_CHOICES} answers of one request where a chat gives them, "
                f"got {self.prompts} prompts with {self.each} each",
            )
        asked = self.asked
        for name, low, high in _RANGES:
            value = getattr(asked, name)
            if value is not None and not low <= value <= high:
                raise invalid(name, f"expected a number from {low} to {high}, got {value:g}")
        if asked.max_tokens is not None and asked.max_tokens < 1:
            raise invalid(
                "max_tokens", f"expected an integer of at least 1, got {asked.max_tokens}"
            )
        if asked.suffix:
            raise _unable("suffix", "text before a given end")
        bias = asked.logit_bias
        stop = asked.stop or ()
        return ChatRequest(
            model=asked.model,
            messages=(Message("user", (Text(self._text(prompt)),)),),
            stream=self.stream,
            include_usage=self.include_usage,
            n=self.each,
            max_tokens=DEFAULT_LENGTH if asked.max_tokens is None else asked.max_tokens,
            stop=(stop,) if isinstance(stop, str) else tuple(text for text in stop if text),
            sampling=Sampling(
                temperature=asked.temperature,
                top_p=asked.top_p,
                seed=asked.seed,
                presence_penalty=asked.presence_penalty,
                frequency_penalty=asked.frequency_penalty,
            ),
            user=asked.user,
            dialect=DIALECT,
            extras={"logit_bias": anything(bias, "logit_bias")} if present(bias) else {},
        )

    def needs(self) -> Needs:
        """Nothing that only some upstreams can."""
        return Needs()

    def may_need(self, feature: Feature) -> bool:
        """Return whether it may ask for ``feature``: its length always has a limit."""
        match feature:
            case "stop":
                return bool(self.asked.stop)
            case "max_tokens":
                return True
            case "n":
                return self.each > 1
            case "tools" | "freeform" | "json":
                return False

    def relayed(self, model: str, *, ask_usage: bool) -> bytes:
        """Return the client's own JSON; a field that must change is replaced in its place."""
        ask_usage = ask_usage and self.stream and not self.include_usage
        if model == self.model and not ask_usage:
            return self._body
        other = None if model == self.model else model
        return rewritten(self._body, other, ask_usage=ask_usage)

    def _text(self, number: int) -> str:
        prompt = self.asked.prompt
        match prompt if isinstance(prompt, str) or isinstance(prompt[0], int) else prompt[number]:
            case str() as text:
                return text
            case list() as ids:
                where = "prompt" if ids is prompt else f"prompt[{number}]"
                return self._read(ids, where)
            case _:
                raise AssertionError("a prompt's items are of one kind")

    def _read(self, ids: list[Any], where: str) -> str:
        if not ids:
            raise invalid(where, "expected token ids, got an empty array")
        if self._decode is None:
            raise _unable(where, f"token ids of {self.model!r}, whose tokenizer is not known here")
        try:
            return self._decode(ids)
        except ValueError as error:
            raise invalid(where, f"expected token ids of a text, but {error}") from None


def _unable(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"The upstream of this model has no legacy completions, and its chat cannot take {what}; "
        "an upstream whose 'endpoints' has 'completions' can.",
        param=param,
        code="unsupported_parameter",
    )


class CompletionDoor:
    """The door of ``POST /v1/completions``."""

    dialect = DIALECT
    endpoint = "completions"

    def ask(self, head: RequestHead, body: bytes) -> CompletionAsked:  # noqa: ARG002  # all is in the body
        """Decode and check a request. Raises InvalidRequest naming the field."""
        body = without_mark(body)
        asked = decode_body(body, _REQUEST, _EXAMPLE)
        if not asked.model:
            raise invalid("model", "expected a model's name, got an empty string")
        if asked.prompt == []:
            raise invalid("prompt", "expected a text, texts or token ids, got an empty array")
        if isinstance(asked.prompt, list):
            kind = type(asked.prompt[0])
            for index, item in enumerate(asked.prompt):
                if type(item) is not kind:
                    raise invalid(f"prompt[{index}]", "expected the same kind as the first")
        for name in ("n", "best_of"):
            value = getattr(asked, name)
            if value is not None and not 1 <= value <= MAX_CHOICES:
                raise invalid(name, f"expected an integer from 1 to {MAX_CHOICES}, got {value}")
        if asked.best_of is not None and asked.best_of < (asked.n or 1):
            raise invalid("best_of", f"expected at least n, which is {asked.n}")
        return CompletionAsked(body, asked)

    def reply(self, asked: Asked, stamp: Stamp) -> CompletionReplyEncoder:
        """Return the encoder of this request's reply."""
        echoed = asked.echoed if isinstance(asked, CompletionAsked) else ()
        return CompletionReplyEncoder(asked, stamp, echoed)

    def failure(self, error: GatewayError) -> HttpReply:
        """Return a whole error reply in OpenAI's shape."""
        return error_reply(error)


DOOR: Final = CompletionDoor()
