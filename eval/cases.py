"""What is asked: tools with the call that would be right, and schemas with a question for each."""

from __future__ import annotations

from typing import Any, Final


def _tool(name: str, description: str, **arguments: str) -> dict[str, Any]:
    properties = {argument: {"type": kind} for argument, kind in arguments.items()}
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": list(arguments),
            },
        },
    }


TOOLS: Final = [
    _tool("get_weather", "Tell the weather of a city.", city="string"),
    _tool("add", "Add two numbers.", a="number", b="number"),
    _tool("send_mail", "Send an e-mail.", to="string", text="string"),
]

CALLS: Final = [
    ("What is the weather in Paris?", "get_weather"),
    ("Is it raining in Tokyo?", "get_weather"),
    ("How warm is it in Oslo today?", "get_weather"),
    ("What is 12 plus 30?", "add"),
    ("Add 7 and 8.", "add"),
    ("Compute the sum of 100 and 250.", "add"),
    ("Send an e-mail to ann@example.com that says hello.", "send_mail"),
    ("Mail bob@example.com that I am late.", "send_mail"),
]
"""A question, and the tool that answers it."""


def _schema(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_TEXT: Final = {"type": "string", "maxLength": 60}
_NUMBER: Final = {"type": "integer", "minimum": 0, "maximum": 9999}

FORMS: Final = [
    ("Who wrote the novel Emma?", _schema(name=_TEXT)),
    ("What is the capital of France?", _schema(country=_TEXT, capital=_TEXT)),
    ("Invent a person.", _schema(name=_TEXT, age=_NUMBER)),
    ("Name three colors.", _schema(colors={"type": "array", "items": _TEXT, "maxItems": 3})),
    ("Is the sky blue?", _schema(answer={"enum": ["yes", "no"]})),
    ("Describe a book.", _schema(title=_TEXT, pages=_NUMBER, sold={"type": "boolean"})),
    ("Where is the Eiffel Tower?", _schema(place=_schema(city=_TEXT, country=_TEXT))),
    ("How many legs has a spider?", _schema(legs=_NUMBER)),
]
"""A question, and the schema its answer has to fit."""
