"""What a reply has to be, judged when it is whole: JSON of a form, or a call."""

from __future__ import annotations

import json
import re
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from chatgpt_to_api.chat.request import JsonFormat
from chatgpt_to_api.emulation.json_schema import Schema
from chatgpt_to_api.emulation.mender import JsonMender
from chatgpt_to_api.errors import GatewayError, ReplyRefused

# White space before its end is not part of the pattern: a model may write it without end, and each
# blank would be tried as the beginning of the rest.
_FENCED: Final = re.compile(r"```(?:json|JSON)?[ \t]*\n(.*?)```", re.DOTALL)
_BRACKET: Final = re.compile(r"[\[{]")
_MOST_TRIES: Final = 16
"""Brackets in a text that are tried as the beginning of its JSON."""

_NOT_SO: Final = "The answer you gave does not do: "


class Complaint(msgspec.Struct, frozen=True):
    """Why a reply does not do: in words for the model, and as the error if it does not mend it."""

    told: str
    error: GatewayError


class Demand(Protocol):
    """What a reply without any call has to be."""

    def judge(self, text: str) -> str | Complaint:
        """Return the text to hand on for the reply's text, or what is wrong with it."""
        ...


class CallDemanded:
    """The reply has to hold a call: no text will do. ``param``: what the client says so with."""

    def __init__(self, param: str) -> None:
        self._param = param

    def judge(self, text: str) -> Complaint:
        """Complain."""
        del text
        return Complaint(
            told=f"{_NOT_SO}it holds no call of a tool. Answer with the call alone.",
            error=ReplyRefused(
                f"The model made no call, though '{self._param}' demands one; it was asked twice.",
                code="tool_call_missing",
                param=self._param,
            ),
        )


class JsonDemanded:
    """The reply has to be JSON, and to fit a schema where one is given."""

    def __init__(self, form: JsonFormat) -> None:
        """Raise InvalidRequest for what is no JSON Schema."""
        self._any = form.schema is None and form.name is not None
        self._schema = None if form.schema is None else Schema(form.schema)

    def judge(self, text: str) -> str | Complaint:
        """Return the JSON in a text, as the model wrote it; words and fences around it fall away.

        JSON that had to be mended does too, where it then fits.
        """
        found = _found(text)
        if found is None:
            return _not_json("$", "it is not JSON")
        written, value = found
        if self._schema is not None:
            problem = self._schema.problem(value)
            if problem is not None:
                return _not_json(*problem)
        elif not self._any and not isinstance(value, dict):
            return _not_json("$", "it is not a JSON object")
        return written


def _not_json(where: str, why: str) -> Complaint:
    return Complaint(
        told=f"{_NOT_SO}at {where}: {why}. Answer again with the whole JSON, and nothing else.",
        error=ReplyRefused(
            f"The model's answer does not fit 'response_format', at {where}: {why}. "
            "It was asked twice.",
            param="response_format",
        ),
    )


_Found: TypeAlias = tuple[str, Any]


def _found(text: str) -> _Found | None:
    """Find the JSON in a text: all of it, what is fenced, or what begins with a bracket."""
    text = text.strip()
    whole = _parsed(text)
    if whole is not None:
        return whole
    for fence in _FENCED.finditer(text):
        fenced = _parsed(fence[1].strip())
        if fenced is not None:
            return fenced
    starts = [bracket.start() for bracket in _BRACKET.finditer(text)][:_MOST_TRIES]
    for start in starts:
        inside = _parsed_from(text, start)
        if inside is not None:
            return inside
    return _mended(text[starts[0] :]) if starts else None


def _parsed(text: str) -> _Found | None:
    try:
        return text, msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


_DECODER: Final = json.JSONDecoder()


def _parsed_from(text: str, start: int) -> _Found | None:
    try:
        _, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return _parsed(text[start:end])


def _mended(text: str) -> _Found | None:
    mender = JsonMender()
    written, _ = mender.feed(text)
    return _parsed(written + ("" if mender.done else mender.end()))
