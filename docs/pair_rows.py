"""What becomes of each situation between any two dialects: the tables of pairs.md, and a test.

``tests/matrix`` plays every one of these cells against a running gateway.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Outcome: TypeAlias = Literal["passed", "emulated", "refused", "not asked", "not said"]
"""``passed``: the same meaning arrives. ``emulated``: so it does, and ``x-emulated`` says how.
``refused``: a clear 400. ``not asked``: the client's dialect cannot say it. ``not said``: the
upstream's dialect cannot answer so."""

DIALECTS: Final = ("chat", "responses", "anthropic", "gemini", "ollama", "conversation")

SITUATIONS: Final = {
    "text": "文本",
    "system in the middle": "中间的系统消息",
    "image": "图片",
    "one tool call": "一次工具调用",
    "parallel tool calls": "并行工具调用",
    "tool results": "工具结果",
    "reasoning": "推理文本",
    "JSON schema": "JSON Schema",
    "length stop": "因长度而止",
    "refusal": "拒绝回答",
    "error before the content": "内容之前出错",
    "error after the content": "内容之后出错",
    "cut off": "回答中断",
    "client gone": "客户端离开",
}
"""Each situation, and its name in Chinese."""

_TOOLS: Final = ("one tool call", "parallel tool calls", "tool results")
_ONLY_OF_STREAMS: Final = ("error after the content", "cut off", "client gone")


def outcome(door: str, upstream: str, situation: str, *, streamed: bool = True) -> Outcome:
    """Return what is to become of a situation between a client's dialect and an upstream's."""
    if situation in _ONLY_OF_STREAMS and not streamed:
        return "not asked"
    if door == "conversation" and (
        not streamed or situation in ("image", "JSON schema") or situation in _TOOLS
    ):
        return "not asked"
    if door == "gemini" and situation == "system in the middle":
        return "not asked"
    if upstream == "ollama" and situation == "refusal":
        return "not said"
    if upstream == "conversation":
        if situation == "image":
            return "refused"
        if situation in ("JSON schema", "length stop") or situation in _TOOLS:
            return "emulated"
    if upstream == "anthropic" and situation == "JSON schema" and door in ("gemini", "ollama"):
        return "emulated"  # Anthropic's servers take schemas that are meant strictly
    return "passed"


_WORDS: Final[dict[Outcome, tuple[str, str]]] = {
    "passed": ("passed", "原样"),
    "emulated": ("emulated", "模拟"),
    "refused": ("refused", "拒绝"),
    "not asked": ("–", "–"),
    "not said": ("–", "–"),
}


def pair_tables(chinese: int) -> str:
    """Return a table for each upstream, in Markdown; ``chinese`` is 0 for English, 1 for it."""
    parts: list[str] = []
    for upstream in DIALECTS:
        over = (f"### Over {upstream}", f"### 上游:{upstream}")
        parts.append(f"{over[chinese]}\n")
        head = ("from a client of →", "客户端 →")
        parts.append(f"| {head[chinese]} | {' | '.join(DIALECTS)} |")
        parts.append("|---" * (len(DIALECTS) + 1) + "|")
        for situation, name in SITUATIONS.items():
            cells = [_WORDS[outcome(door, upstream, situation)][chinese] for door in DIALECTS]
            parts.append(f"| {(situation, name)[chinese]} | {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts)
