"""How hard a model is to think: words of some dialects, budgets of tokens in others.

The words and what they stand for are those that a vendor with budgets publishes for clients that
send words: https://ai.google.dev/gemini-api/docs/openai#thinking
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

BUDGETS: Final[Mapping[str, int]] = {
    "none": 0,
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 32768,
    "max": 32768,
}
"""Effort → most tokens to think with."""


def budget_of(effort: str) -> int | None:
    """Return the tokens that an effort stands for, None for a word nobody knows."""
    return BUDGETS.get(effort)


def effort_of(budget: int) -> str:
    """Return the least effort that allows thinking with ``budget`` tokens; 0 is ``none``."""
    if budget == 0:
        return "none"
    return next((e for e in ("low", "medium", "high") if budget <= BUDGETS[e]), "high")
