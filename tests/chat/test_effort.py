"""Effort in words and in tokens."""

from __future__ import annotations

import pytest

from chatgpt_to_api.chat.effort import BUDGETS, budget_of, effort_of


@pytest.mark.parametrize("effort", ["none", "low", "medium", "high"])
def test_a_word_comes_back_from_its_budget(effort: str) -> None:
    """There and back again."""
    budget = budget_of(effort)
    assert budget is not None
    assert effort_of(budget) == effort


def test_any_budget_has_a_word() -> None:
    """One that allows at least as much, as far as there is one."""
    assert effort_of(1) == "low"
    assert effort_of(5000) == "medium"
    assert effort_of(10**6) == "high"
    assert budget_of("as hard as you can") is None
    assert max(BUDGETS.values()) == BUDGETS["xhigh"]
