"""What the vendor's model says: a rule for each kind of question, the same answer every time."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from support.vendor.instances import Hints, instance
from support.vendor.refusals import parts, payload

Finish = Literal["stop", "length", "tool_calls", "function_call"]


@dataclass
class Call:
    """One call of a tool."""

    name: str
    arguments: str

    def id(self, place: int) -> str:
        text = f"{place} {self.name} {self.arguments}"
        return f"call_{hashlib.sha256(text.encode()).hexdigest()[:24]}"


@dataclass
class Answer:
    """One choice of a reply."""

    text: str | None = None
    reasoning: str = ""
    refusal: str | None = None
    calls: Sequence[Call] = ()
    legacy_call: bool = False
    finish: Finish = "stop"
    annotations: Sequence[Mapping[str, Any]] = field(default_factory=list)


def answers(body: Mapping[str, Any]) -> list[Answer]:
    """Return the choices of a request that was checked."""
    return [_answer(body, choice) for choice in range(body.get("n") or 1)]


def tokens(text: str) -> list[str]:
    """``text`` in pieces, as a tokenizer of words would cut it."""
    return re.findall(r"\s*\S+|\s+$", text)


def text_of(message: Mapping[str, Any]) -> str:
    """The words of a message."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part["type"] == "text")


def prompt_of(body: Mapping[str, Any]) -> str:
    """The words of the last user message."""
    users = [message for message in body["messages"] if message["role"] == "user"]
    return text_of(users[-1]) if users else ""


def _answer(body: Mapping[str, Any], choice: int) -> Answer:
    prompt = prompt_of(body)
    reasoning = ""
    if body["model"].startswith("o"):
        reasoning = f"The question has {len(prompt.split())} words."
    if "please refuse" in prompt.lower():
        return Answer(refusal="I'm sorry, I can't help with that.", reasoning=reasoning)
    calls = _calls(body, prompt)
    if calls:
        legacy = bool(body.get("functions"))
        finish: Finish = "function_call" if legacy else "tool_calls"
        return Answer(calls=calls, finish=finish, legacy_call=legacy, reasoning=reasoning)
    text = _text(body, prompt) + (f" (again: {choice})" if choice else "")
    return _ended(body, Answer(text, reasoning, annotations=_annotations(body, text)))


def _ended(body: Mapping[str, Any], answer: Answer) -> Answer:
    """Cut the text at a stop string and at the length limit."""
    assert answer.text is not None
    stops = body.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        answer.text = answer.text.partition(stop)[0]
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    pieces = tokens(answer.text)
    if most is not None and len(pieces) > most:
        answer.text, answer.finish = "".join(pieces[:most]), "length"
    return answer


def _text(body: Mapping[str, Any], prompt: str) -> str:
    wanted = body.get("response_format") or {}
    last = body["messages"][-1]
    if wanted.get("type") == "json_schema":
        return json.dumps(instance(wanted["json_schema"]["schema"], Hints(prompt)))
    if wanted.get("type") == "json_object":
        schema = next(filter(None, (_schema_in(text_of(m)) for m in body["messages"])), None)
        if schema is not None:
            return json.dumps(instance(schema, Hints(prompt)))
        return json.dumps({key: f"some {key}" for key in Hints(prompt).quoted})
    if last["role"] in ("tool", "function"):
        said = [text_of(m) for m in _this_turn(body) if m["role"] in ("tool", "function")]
        return "I was told: " + "; ".join(said)
    seen = [payload(part) or ("a link", b"") for _, part in parts(body["messages"]) if _media(part)]
    shown = [f"[{kind}, {len(data)} bytes]" for kind, data in seen]
    return " ".join(["You said:", prompt, *shown])


def _schema_in(text: str) -> Mapping[str, Any] | None:
    """The JSON Schema of an object that a message shows, as prompts for JSON do."""
    at = text.find('{"properties"')
    return json.JSONDecoder().raw_decode(text, at)[0] if at >= 0 else None


def _media(part: Mapping[str, Any]) -> bool:
    return part["type"] not in ("text", "refusal")


def _annotations(body: Mapping[str, Any], text: str) -> list[dict[str, Any]]:
    if body.get("web_search_options") is None:
        return []
    citation = {"start_index": 0, "end_index": len(text), "title": "A page", "url": "https://a.b/c"}
    return [{"type": "url_citation", "url_citation": citation}]


# -- tools ----------------------------------------------------------------------------------------


def _this_turn(body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The messages after the last user's."""
    roles = [message["role"] for message in body["messages"]]
    last = len(roles) - 1 - roles[::-1].index("user") if "user" in roles else -1
    found: Sequence[Mapping[str, Any]] = body["messages"][last + 1 :]
    return found


def _calls(body: Mapping[str, Any], prompt: str) -> list[Call]:
    offered, forced = _offered(body)
    if not offered:
        return []
    called = [
        call["function"]["name"]
        for message in _this_turn(body)
        for call in message.get("tool_calls") or ()
    ]
    called += [m["name"] for m in _this_turn(body) if m["role"] == "function"]
    if called:
        left = [name for name in offered if name not in called]
        # A tool nobody forces is called once a turn, and then the answer is text.
        return [_call(offered, (left or list(offered))[0], prompt)] if forced else []
    if not forced and "without tools" in prompt:
        return []
    named = [name for name in offered if re.search(rf"\b{re.escape(name)}\b", prompt)]
    several = body.get("parallel_tool_calls") is not False and not body.get("functions")
    first = (named or list(offered))[0]
    if several and len(named) > 1:
        return [_call(offered, name, prompt) for name in named]
    quoted = Hints(prompt).quoted
    if several and len(quoted) > 1 and _takes_one_string(offered[first]):
        return [_call(offered, first, f'"{value}"') for value in quoted]
    return [_call(offered, first, prompt)]


def _offered(body: Mapping[str, Any]) -> tuple[dict[str, Mapping[str, Any]], bool]:
    """The schemas of the tools that may be called, and whether one must be."""
    functions = body.get("functions") or [
        tool["function"] for tool in body.get("tools") or () if tool["type"] == "function"
    ]
    offered = {f["name"]: f.get("parameters") or {} for f in functions}
    match body.get("tool_choice", body.get("function_call", "auto")):
        case "none":
            return {}, False
        case "required":
            return offered, True
        case {"type": "allowed_tools", "allowed_tools": allowed}:
            names = [tool["function"]["name"] for tool in allowed["tools"]]
            return {name: offered[name] for name in names}, allowed["mode"] == "required"
        case {"function": {"name": name}} | {"name": name}:
            return {name: offered[name]}, True
    return offered, False


def _call(offered: Mapping[str, Mapping[str, Any]], name: str, prompt: str) -> Call:
    arguments = instance(offered[name], Hints(prompt)) if offered[name].get("properties") else {}
    return Call(name, json.dumps(arguments, ensure_ascii=False))


def _takes_one_string(schema: Mapping[str, Any]) -> bool:
    kinds = [of.get("type") for of in schema.get("properties", {}).values()]
    return kinds == ["string"]
