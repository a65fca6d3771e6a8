"""The table of parameters.md: what becomes of each parameter, by the kind of upstream.

A test sends every row's sample to a running gateway and holds each claim against what came of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

Claim: TypeAlias = Literal["passed", "gateway", "ignored", "refused"]

WORDS: Final[Mapping[Claim, tuple[str, str]]] = {
    "passed": ("passed on", "原样传递"),
    "gateway": ("done by the gateway", "由网关完成"),
    "ignored": ("ignored, listed", "忽略并列出"),
    "refused": ("refused", "拒绝"),
}


class Row(NamedTuple):
    """One parameter or content part.

    ``openai``, ``local`` and ``conversation`` say what becomes of ``sample`` there; ``param`` is
    the path an error about it names.
    """

    name: str
    sample: Mapping[str, Any]
    openai: Claim
    local: Claim
    conversation: Claim
    param: str = ""


_PIXEL: Final = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwAD"
    "hgGAWjR9awAAAABJRU5ErkJggg=="
)
_FUNCTION: Final = {"name": "f", "parameters": {"type": "object", "properties": {}}}
_TOOL: Final = {"type": "function", "function": _FUNCTION}
_NAMED: Final = {"type": "function", "function": {"name": "f"}}
_SCHEMA: Final = {"type": "object", "properties": {"a": {"type": "integer"}}}


def _part(name: str, *claims: Claim, **fields: Any) -> Row:
    content = [{"type": "text", "text": "What is it?"}, {"type": name, **fields}]
    sample = {"messages": [{"role": "user", "content": content}]}
    return Row(f"part `{name}`", sample, *claims, param="messages[0].content[1]")


def _tools(choice: Any, **more: Any) -> Mapping[str, Any]:
    return {"tools": [_TOOL], "tool_choice": choice, **more}


def _said(**fields: Any) -> Mapping[str, Any]:
    hello = {"role": "user", "content": "Hello"}
    return {"messages": [hello, {"role": "assistant", **fields}, hello]}


ROWS: Final[tuple[Row, ...]] = (
    Row("`stream`", {"stream": True}, "passed", "passed", "gateway"),
    Row("`max_tokens`", {"max_tokens": 3}, "passed", "passed", "gateway"),
    Row("`max_completion_tokens`", {"max_completion_tokens": 3}, "passed", "passed", "gateway"),
    Row("`stop`", {"stop": ["zzz"]}, "passed", "passed", "gateway"),
    Row("`n`", {"n": 2}, "passed", "passed", "gateway"),
    Row("`temperature`", {"temperature": 0.5}, "passed", "passed", "ignored"),
    Row("`top_p`", {"top_p": 0.5}, "passed", "passed", "ignored"),
    Row("`presence_penalty`", {"presence_penalty": 1}, "passed", "passed", "ignored"),
    Row("`frequency_penalty`", {"frequency_penalty": 1}, "passed", "passed", "ignored"),
    Row("`seed`", {"seed": 7}, "passed", "passed", "ignored"),
    Row("`logit_bias`", {"logit_bias": {"7": -100}}, "passed", "passed", "ignored"),
    Row("`logprobs`", {"logprobs": True}, "passed", "passed", "ignored"),
    Row("`top_logprobs`", {"logprobs": True, "top_logprobs": 2}, "passed", "passed", "ignored"),
    Row("`tools`", {"tools": [_TOOL]}, "passed", "gateway", "gateway"),
    Row("`tool_choice`: `auto`", _tools("auto"), "passed", "gateway", "gateway"),
    Row("`tool_choice`: `none`", _tools("none"), "passed", "gateway", "gateway"),
    Row(
        "`tool_choice`: `required`",
        _tools("required"),
        "passed",
        "gateway",
        "gateway",
        "tool_choice",
    ),
    Row("`tool_choice`: a function", _tools(_NAMED), "passed", "gateway", "gateway", "tool_choice"),
    Row(
        "`tool_choice`: `allowed_tools`",
        _tools({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [_NAMED]}}),
        "passed",
        "gateway",
        "gateway",
    ),
    Row(
        "`parallel_tool_calls`",
        _tools("auto", parallel_tool_calls=False),
        "passed",
        "gateway",
        "gateway",
    ),
    Row(
        "`tools`: `custom`",
        {"tools": [{"type": "custom", "custom": {"name": "f"}}]},
        "passed",
        "gateway",
        "gateway",
    ),
    Row("`functions` (legacy)", {"functions": [_FUNCTION]}, "passed", "gateway", "gateway"),
    Row(
        "`response_format`: `json_object`",
        {"response_format": {"type": "json_object"}},
        "passed",
        "passed",
        "gateway",
    ),
    Row(
        "`response_format`: `json_schema`, strict",
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a", "strict": True, "schema": _SCHEMA},
            }
        },
        "passed",
        "passed",
        "gateway",
        "response_format",
    ),
    Row("`reasoning_effort`", {"reasoning_effort": "low"}, "passed", "ignored", "ignored"),
    Row("`verbosity`", {"verbosity": "low"}, "passed", "ignored", "ignored"),
    Row("`modalities`: `audio`", {"modalities": ["text", "audio"]}, "passed", "refused", "refused"),
    Row("`audio`", {"audio": {"voice": "alloy", "format": "wav"}}, "passed", "ignored", "ignored"),
    Row(
        "`prediction`",
        {"prediction": {"type": "content", "content": "Hi"}},
        "passed",
        "ignored",
        "ignored",
    ),
    Row("`web_search_options`", {"web_search_options": {}}, "passed", "ignored", "ignored"),
    Row("`metadata`", {"metadata": {"a": "b"}}, "passed", "ignored", "ignored"),
    Row("`store`", {"store": True}, "passed", "ignored", "ignored"),
    Row("`service_tier`", {"service_tier": "flex"}, "passed", "ignored", "ignored"),
    Row("`moderation`", {"moderation": {"model": "m"}}, "passed", "ignored", "ignored"),
    Row("`prompt_cache_key`", {"prompt_cache_key": "k"}, "passed", "ignored", "ignored"),
    Row(
        "`prompt_cache_retention`",
        {"prompt_cache_retention": "24h"},
        "passed",
        "ignored",
        "ignored",
    ),
    Row(
        "`prompt_cache_options`",
        {"prompt_cache_options": {"mode": "explicit"}},
        "passed",
        "ignored",
        "ignored",
    ),
    Row("`safety_identifier`", {"safety_identifier": "s"}, "passed", "ignored", "ignored"),
    Row("`user`", {"user": "u"}, "passed", "ignored", "ignored"),
    Row(
        "role `developer`",
        {"messages": [{"role": "developer", "content": "x"}, {"role": "user", "content": "Hi"}]},
        "passed",
        "passed",
        "gateway",
    ),
    Row(
        "part `refusal`",
        _said(content=[{"type": "refusal", "refusal": "No."}]),
        "passed",
        "refused",
        "gateway",
    ),
    Row(
        "`reasoning_content` of an answer",
        _said(content="Hi", reasoning_content="hm"),
        "passed",
        "passed",
        "gateway",
    ),
    Row(
        "`audio` of an answer",
        _said(audio={"id": "a"}),
        "passed",
        "refused",
        "refused",
        "messages[1].content[0]",
    ),
    _part("image_url", "passed", "refused", "refused", image_url={"url": _PIXEL}),
    _part(
        "input_audio",
        "passed",
        "refused",
        "refused",
        input_audio={"data": "AAAA", "format": "wav"},
    ),
    _part("file", "passed", "refused", "refused", file={"file_id": "f"}),
)


KINDS: Final[Mapping[str, Mapping[str, Claim]]] = {
    "openai-responses": {
        "`max_tokens`": "ignored",  # fewer than the least there can be
        "`max_completion_tokens`": "ignored",
        "`stop`": "gateway",
        "`n`": "gateway",
        "`presence_penalty`": "ignored",
        "`frequency_penalty`": "ignored",
        "`seed`": "ignored",
        "`logit_bias`": "ignored",
        "`modalities`: `audio`": "refused",
        "`audio`": "ignored",
        "`prediction`": "ignored",
        "`web_search_options`": "ignored",
        "`reasoning_content` of an answer": "gateway",
        "`audio` of an answer": "refused",
    },
    "anthropic": {
        "`n`": "gateway",
        "`presence_penalty`": "ignored",
        "`frequency_penalty`": "ignored",
        "`seed`": "ignored",
        "`logit_bias`": "ignored",
        "`logprobs`": "ignored",
        "`top_logprobs`": "ignored",
        "`tools`: `custom`": "gateway",
        "`response_format`: `json_object`": "gateway",
        "`verbosity`": "ignored",
        "`modalities`: `audio`": "ignored",
        "`audio`": "ignored",
        "`prediction`": "ignored",
        "`web_search_options`": "ignored",
        "`metadata`": "ignored",
        "`store`": "ignored",
        "`service_tier`": "ignored",
        "`moderation`": "ignored",
        "`prompt_cache_key`": "ignored",
        "`prompt_cache_retention`": "ignored",
        "`prompt_cache_options`": "ignored",
        "`safety_identifier`": "ignored",
        "`reasoning_content` of an answer": "gateway",
        "`audio` of an answer": "refused",
        "part `input_audio`": "refused",
        "part `file`": "refused",
    },
    "gemini": {
        "`logit_bias`": "ignored",
        "`parallel_tool_calls`": "ignored",
        "`tools`: `custom`": "gateway",
        "`verbosity`": "ignored",
        "`modalities`: `audio`": "ignored",
        "`audio`": "ignored",
        "`prediction`": "ignored",
        "`web_search_options`": "ignored",
        "`metadata`": "ignored",
        "`store`": "ignored",
        "`service_tier`": "ignored",
        "`moderation`": "ignored",
        "`prompt_cache_key`": "ignored",
        "`prompt_cache_retention`": "ignored",
        "`prompt_cache_options`": "ignored",
        "`safety_identifier`": "ignored",
        "`user`": "ignored",
        "`audio` of an answer": "refused",
        "part `file`": "refused",
    },
}
"""Further kinds, and what becomes of each row there that is not passed on, in its own words."""


def claim(row: Row, kind: str) -> Claim:
    """Return what becomes of a row at one of ``KINDS``."""
    return KINDS[kind].get(row.name, "passed")


def table(chinese: int) -> str:
    """Return the table in Markdown; ``chinese`` is 0 for English words, 1 for Chinese."""
    kinds = tuple(f"`{kind}`" for kind in KINDS)
    heads = (
        ("parameter", "`openai`", *kinds, "`local` (embedded model)", "`conversation`"),
        ("参数", "`openai`", *kinds, "`local`(内置模型)", "`conversation`"),
    )
    lines = [f"| {' | '.join(heads[chinese])} |", "|---" * len(heads[0]) + "|"]
    parts = {"part ": "内容部分 ", "role ": "角色 ", " of an answer": "(历史回答中)"}
    for row in ROWS:
        name = row.name
        for english, word in parts.items() if chinese else ():
            name = name.replace(english, word)
        others = (claim(row, kind) for kind in KINDS)
        claims = (row.openai, *others, row.local, row.conversation)
        words = [WORDS[each][chinese] for each in claims]
        lines.append(f"| {name} | {' | '.join(words)} |")
    return "\n".join(lines)
