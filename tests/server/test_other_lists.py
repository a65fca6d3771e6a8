"""The list of models, in the shape that each kind of client reads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.dialects.contract import Ability, ListedModel
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.gateway.aliases import Aliases
from chatgpt_to_api.gateway.models import ModelCard
from chatgpt_to_api.server.anthropic_lists import anthropic_list, anthropic_model
from chatgpt_to_api.server.codex_lists import codex_list

ALIASES = Aliases()


def card(name: str, *abilities: Ability, context: int | None = None, title: str = "") -> ModelCard:
    listed = ListedModel(id=name, title=title) if title else None
    found = frozenset(abilities or ("chat", "tools", "images"))
    return ModelCard(name, 1_700_000_000, "vendor", context, found, listed)


CARDS = [
    card("gpt-4o", context=128000),
    card("claude-sonnet-5", title="Claude Sonnet 5"),
    card("llama3.2", "chat", "tools", "thinking"),
    card("embedder", "embeddings"),
]


def test_anthropic_clients_see_what_they_can_chat_with_under_names_they_show() -> None:
    """Trap 62: the whole shape, and ids that begin as they have to."""
    page = anthropic_list(CARDS, ALIASES, {})
    assert page == {
        "data": [
            {
                "type": "model",
                "id": "claude/gpt-4o",
                "display_name": "gpt-4o",
                "created_at": "2023-11-14T22:13:20Z",
                "max_input_tokens": 128000,
            },
            {
                "type": "model",
                "id": "claude-sonnet-5",
                "display_name": "Claude Sonnet 5",
                "created_at": "2023-11-14T22:13:20Z",
            },
            {
                "type": "model",
                "id": "claude/llama3.2",
                "display_name": "llama3.2",
                "created_at": "2023-11-14T22:13:20Z",
            },
        ],
        "has_more": False,
        "first_id": "claude/gpt-4o",
        "last_id": "claude/llama3.2",
    }
    plain = anthropic_list(CARDS, Aliases(in_force=False), {})
    assert [entry["id"] for entry in plain["data"]] == ["gpt-4o", "claude-sonnet-5", "llama3.2"]
    assert anthropic_list([], ALIASES, {}) == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }
    assert anthropic_model(CARDS[0], "gpt-4o")["id"] == "gpt-4o"


@pytest.mark.parametrize("limit", ["0", "1001", "x", "0000000019999", "000000001" + "9" * 5000])
def test_a_page_of_no_length_is_refused(limit: str) -> None:
    """A length is a short number: one of very many digits cannot even be read."""
    with pytest.raises(InvalidRequest):
        anthropic_list(CARDS, ALIASES, {"limit": limit})


@given(count=st.integers(0, 45), limit=st.none() | st.integers(1, 50))
def test_pages_lead_through_the_whole_list_both_ways(count: int, limit: int | None) -> None:
    """Each model once, in order, as an SDK turns the pages."""
    cards = [card(f"m{number}") for number in range(count)]
    asked = {} if limit is None else {"limit": str(limit)}

    def walk(cursor: str, edge: str) -> list[list[str]]:
        pages: list[list[str]] = []
        query: dict[str, Any] = dict(asked)
        while True:
            page = anthropic_list(cards, ALIASES, query)
            pages.append([entry["id"] for entry in page["data"]])
            assert len(pages[-1]) <= (limit or 20)
            if not page["has_more"]:
                return pages
            query = {**asked, cursor: page[edge]}

    names = [f"claude/m{number}" for number in range(count)]
    assert [name for page in walk("after_id", "last_id") for name in page] == names
    if count:
        last = anthropic_list(cards, ALIASES, {**asked, "after_id": names[-1]})
        assert last["data"] == [] and last["has_more"] is False
        backwards = anthropic_list(cards, ALIASES, {**asked, "before_id": names[-1]})
        size = min(count - 1, limit or 20)
        assert [e["id"] for e in backwards["data"]] == names[count - 1 - size : count - 1]
        assert backwards["has_more"] is (count - 1 > size)


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "many"},
        {"limit": "-1"},
        {"after_id": "nobody"},
        {"before_id": "nobody"},
    ],
)
def test_a_page_that_cannot_be_is_refused(query: dict[str, str]) -> None:
    """Naming the part of the query."""
    with pytest.raises(InvalidRequest) as refused:
        anthropic_list(CARDS, ALIASES, query)
    assert refused.value.param == next(iter(query))


def test_codex_gets_the_models_it_does_not_know_by_itself() -> None:
    """Trap 62: what replaced its own entries would take away what it knows of them."""
    cards = [*CARDS, card("gpt-5.5"), card("o3"), card("codex-mini-latest")]
    models = codex_list(cards)["models"]
    assert [model["slug"] for model in models] == ["gpt-4o", "claude-sonnet-5", "llama3.2"]
    first, _, thinker = models
    assert first["context_window"] == 128000 and first["supported_reasoning_levels"] == []
    assert first["input_modalities"] == ["text", "image"]
    assert [level["effort"] for level in thinker["supported_reasoning_levels"]] == [
        "low",
        "medium",
        "high",
    ]
    assert thinker["input_modalities"] == ["text"] and thinker["base_instructions"]


NAME = st.text(min_size=1, max_size=12)


@given(name=NAME | NAME.map("claude/".__add__) | NAME.map("anthropic/".__add__))
def test_an_alias_leads_back(name: str) -> None:
    """To the very name, whatever that is."""
    shown = ALIASES.shown(name)
    assert shown.lower().startswith(("claude", "anthropic"))
    if not name.startswith("claude/"):  # somebody's own name of that kind is looked up first
        assert ALIASES.meant(shown) == name
    off = Aliases(in_force=False)
    assert off.shown(name) == name == off.meant(name)
