"""Which upstream answers for a name."""

from __future__ import annotations

import pytest

from chatgpt_to_api.errors import InvalidRequest, ModelNotFound, NoCredentials
from chatgpt_to_api.gateway.aliases import Aliases
from chatgpt_to_api.gateway.models import ModelList
from chatgpt_to_api.gateway.routes import LONGEST_MODEL, Routes
from support.route_values import backend, route, vendor


def names(routes: Routes, model: str) -> list[tuple[str, str]]:
    return [(c.upstream.name, c.model) for c in routes.candidates(model)]


def test_a_route_comes_before_globs_and_may_rename() -> None:
    """Configured candidates keep their order; one without a name of its own keeps the one asked."""
    a, b = vendor("a", "gpt-*"), backend()
    routes = Routes(
        [a, b],
        routes=[
            route("gpt-4o*", {"upstream": "a"}, {"upstream": "conversation", "model": "gpt-4"})
        ],
    )
    assert names(routes, "gpt-4o-mini") == [("a", "gpt-4o-mini"), ("conversation", "gpt-4")]
    assert names(routes, "gpt-3.5-turbo") == [("a", "gpt-3.5-turbo")]


def test_globs_are_tried_in_the_order_of_the_upstreams() -> None:
    """Every upstream that claims a name is a candidate, in order."""
    routes = Routes([vendor("a", "o*"), vendor("b", "gpt-*", "o1"), vendor("c", "*")])
    assert [name for name, _ in names(routes, "o1")] == ["a", "b", "c"]
    assert [name for name, _ in names(routes, "llama")] == ["c"]


def test_well_known_names_go_to_the_default_and_the_rest_to_who_takes_all() -> None:
    """A conversation backend beside a vendor without ``models``: each serves its own."""
    conversation = backend()
    routes = Routes([vendor("vendor"), conversation], default=conversation, also_known=["mine-*"])
    assert names(routes, "gpt-4o") == [("conversation", "gpt-4o")]
    assert names(routes, "mine-1") == [("conversation", "mine-1")]
    assert names(routes, "llama") == [("vendor", "llama")]


def test_an_unknown_name_lists_what_routes() -> None:
    """404 with the names, so that nobody has to guess."""
    conversation = backend()
    routes = Routes([conversation, vendor("v", "x-1")], default=conversation)
    with pytest.raises(ModelNotFound, match=r"x-1.*gpt-\*") as unknown:
        routes.candidates("llama")
    assert unknown.value.param == "model"


def test_without_an_upstream_somebody_has_to_act() -> None:
    """No upstream at all, or a route to none in force: 503 with what to do, not 404."""
    with pytest.raises(NoCredentials, match="No upstream is configured"):
        Routes([]).candidates("gpt-4")
    routes = Routes([vendor("v", "x")], routes=[route("mine", {"upstream": "local"})])
    with pytest.raises(NoCredentials, match="no upstream in force"):
        routes.candidates("mine")
    assert [card.id for card in ModelList(born=5).cards(routes)] == ["x"]


def test_callers_cannot_grow_the_memory_of_names() -> None:
    """Ten thousand invented names leave a bounded cache."""
    routes = Routes([vendor("a", "*")])
    for number in range(10_000):
        routes.candidates(f"model-{number}")
    assert len(routes._cache) <= 1024


def test_the_list_shows_only_what_routes() -> None:
    """Well-known names where there is a default, exact names of routes, no globs."""
    conversation = backend()
    routes = Routes([conversation, vendor("v", "x-*", "y-1")], default=conversation)
    cards = ModelList(born=5).cards(routes)
    listed = [card.id for card in cards]
    assert "y-1" in listed and "gpt-4o" in listed and "x-*" not in listed
    assert len(listed) == len(set(listed))
    card = ModelList(born=5).card(routes, "x-9")
    assert (card.id, card.created, card.owned_by) == ("x-9", 5, "v")
    with pytest.raises(ModelNotFound):
        ModelList(born=5).card(routes, "llama")


def test_an_alias_leads_where_its_model_does() -> None:
    """Trap 62: names shown to clients that filter by them are as good as the models' own."""
    routes = Routes([vendor("a", "gpt-*"), vendor("b", "claude/own"), vendor("rest")])
    assert names(routes, "claude/gpt-4o") == [("a", "gpt-4o")]
    assert names(routes, "claude/own") == [("b", "claude/own")]
    assert names(routes, "claude/anything") == [("rest", "anything")]
    plain = Routes([vendor("a", "gpt-*"), vendor("rest")], aliases=Aliases(in_force=False))
    assert names(plain, "claude/gpt-4o") == [("rest", "claude/gpt-4o")]


def test_an_alias_is_undone_once_and_a_name_has_its_length() -> None:
    """A name of many aliases led through as many calls, and ended as the gateway's failure."""
    routes = Routes([vendor("rest")])
    assert names(routes, "claude/claude/x") == [("rest", "claude/x")]
    for name in ("claude/" * 30, "x" * LONGEST_MODEL):
        assert routes.path(name)
    for name in ("claude/" * 3000, "x" * (LONGEST_MODEL + 1)):
        with pytest.raises(InvalidRequest):
            routes.path(name)


def test_a_tag_that_says_nothing_is_overlooked_where_nobody_claims_it() -> None:
    """Trap 61: clients of Ollama put ``:latest`` behind a name."""
    routes = Routes([vendor("a", "gpt-4o", "own:latest")])
    assert names(routes, "gpt-4o:latest") == [("a", "gpt-4o")]
    assert names(routes, "own:latest") == [("a", "own:latest")]
    with pytest.raises(ModelNotFound):
        routes.candidates("own")


def test_cards_are_made_once() -> None:
    """A list is asked for more often than it changes."""
    models, routes = ModelList(born=5), Routes([vendor("a", "x", "y")])
    assert models.cards(routes)[0] is models.cards(routes)[0]
    assert models.cards(Routes([vendor("a", "x")]))[0] is not models.cards(routes)[0]
