"""How hard to think: efforts and budgets as models of this vendor take them.

Models since Gemini 3 take a level, those before a budget; thinking can be switched off only in some
of those before.
Source: https://ai.google.dev/gemini-api/docs/thinking
"""

from __future__ import annotations

import re
from typing import Any, Final

from chatgpt_to_api.chat.effort import budget_of
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.dialects.gemini.messages import DIALECT

INCLUDE: Final = "generationConfig.thinkingConfig.includeThoughts"
"""The extra that says whether a client of this dialect wants to see thoughts."""
DYNAMIC: Final = "generationConfig.thinkingConfig.thinkingBudget"
"""The extra for a budget of -1: the model is to decide."""

_BY_LEVEL: Final = re.compile(r"(?:.*/)?gemini-(?:[3-9]|\d\d)")
_LEVELS: Final = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "HIGH",
}
_PRO: Final = re.compile(r".*-pro")


def thinking_config(request: ChatRequest, model: str) -> dict[str, Any]:
    """Return ``thinkingConfig`` for a model, {} for its usual thinking.

    Who asks for thinking is shown the thoughts; a client of this dialect says that itself.
    """
    made: dict[str, Any] = {}
    effort, budget = request.reasoning_effort, request.reasoning_budget
    if request.dialect == DIALECT:
        if INCLUDE in request.extras:
            made["includeThoughts"] = request.extras[INCLUDE]
        if DYNAMIC in request.extras:
            made["thinkingBudget"] = request.extras[DYNAMIC]
    elif budget or (effort is not None and effort not in ("none", "minimal")):
        made["includeThoughts"] = True
    if budget is not None:
        made["thinkingBudget"] = budget
    elif effort is not None and _BY_LEVEL.match(model):
        level = _LEVELS.get(effort)
        if level == "MINIMAL" and _PRO.match(model):
            level = "LOW"  # the least that these can do
        if level is not None:
            made["thinkingLevel"] = level
    elif effort is not None and budget_of(effort) is not None:
        made["thinkingBudget"] = budget_of(effort)
    return made


def is_known_effort(effort: str) -> bool:
    """Whether an effort means anything here."""
    return effort in _LEVELS
