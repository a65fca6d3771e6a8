"""What is wrong with a route is said by its key, and where it leads is known before the start."""

from __future__ import annotations

import pytest

from chatgpt_to_api.config.route_settings import CandidateSettings, RouteSettings
from chatgpt_to_api.config.routes import (
    LONGEST_CHAIN,
    RouteError,
    RouteNames,
    convert_route,
    route_problems,
)
from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from support.route_values import route

UPSTREAMS = {"vendor": UpstreamSettings("openai", base_url="http://x/v1")}


VENDOR = {"upstream": "vendor"}


def problems(*routes: RouteSettings) -> list[tuple[str, str]]:
    return route_problems(routes, UPSTREAMS)


def test_a_whole_route_is_read() -> None:
    """Every key a route has, in its type."""
    found = route(
        "fast",
        {
            "upstream": "vendor",
            "model": "gpt-4o-mini",
            "weight": 3,
            "parameters": {"temperature": 0.2, "metadata": {"team": "a"}, "stop": ["x"]},
            "context_length": 128_000,
        },
        "slow",
        aliases=["quick-*"],
        strategy="weighted",
        request_deadline=20,
        read_timeout=5.5,
        queue_wait=0,
    )
    assert found.names == ("fast", "quick-*")
    assert found.candidates[0].weight == 3.0
    assert found.candidates[1] == CandidateSettings(route="slow")
    assert (found.request_deadline, found.read_timeout, found.queue_wait) == (20.0, 5.5, 0.0)
    assert problems(found, route("slow", VENDOR)) == []


@pytest.mark.parametrize(
    ("table", "key", "said"),
    [
        ({}, ".model", "it is missing"),
        ("m", "", "expected a table, got text"),
        ({"model": "m", "candidats": []}, ".candidats", "did you mean candidates?"),
        (
            {"model": "m", "candidates": [{"upstram": "v"}]},
            ".candidates[0].upstram",
            "there is no such setting; did you mean upstream?",
        ),
        (
            {"model": "m", "candidates": ["v"]},
            ".candidates[0]",
            "expected a table, got text",
        ),
        ({"model": 5}, ".model", "expected text, got a whole number"),
        ({"model": "m", "candidates": []}, ".candidates", "expected one candidate at least"),
        (
            {"model": "m", "candidates": [{"upstream": "v", "weight": -1}]},
            ".candidates[0].weight",
            "expected a number >= 0",
        ),
        (
            {"model": "m", "candidates": [{"upstream": "v", "weight": float("nan")}]},
            ".candidates[0].weight",
            "expected a number",
        ),
        (
            {"model": "m", "candidates": [{"upstream": "v"}], "strategy": "random"},
            ".strategy",
            "expected priority, weighted, least_busy or lowest_latency; got 'random'",
        ),
        (
            {"model": "m", "candidates": [{"upstream": "v"}], "read_timeout": 0},
            ".read_timeout",
            "expected a number > 0",
        ),
        (
            {"model": "m", "candidates": [{"upstream": "v"}], "queue_wait": float("inf")},
            ".queue_wait",
            "expected a number <= 1000000",
        ),
    ],
)
def test_a_mistyped_route_names_the_key(table: object, key: str, said: str) -> None:
    """The place within the route, and what was expected there."""
    with pytest.raises(RouteError) as error:
        convert_route(table)
    assert error.value.key == key
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("candidate", "key", "said"),
    [
        ({}, "", "expected either `upstream` or `route`"),
        ({"upstream": "vendor", "route": "x"}, "", "expected either `upstream` or `route`"),
        ({"upstream": "vendr"}, ".upstream", "expected one of conversation, local, vendor"),
        ({"upstream": "vendor", "model": " "}, ".model", "expected a model name"),
        ({"route": "x", "model": "y"}, ".model", "belongs to a candidate with `upstream`"),
        ({"route": "x", "parameters": {"seed": 1}}, ".parameters", "belongs to a candidate"),
        ({"route": "x", "context_length": 5}, ".context_length", "belongs to a candidate"),
        ({"route": "x*"}, ".route", "expected a model name, not a glob; got 'x*'"),
        (
            {"upstream": "conversation", "parameters": {"seed": 1}},
            ".parameters",
            "a conversation backend takes no parameters",
        ),
        (
            {"upstream": "vendor", "parameters": {"stream": True}},
            ".parameters.stream",
            "is decided by the request",
        ),
        (
            {"upstream": "vendor", "parameters": {"a": {"b": [float("inf")]}}},
            ".parameters.a",
            "expected text, a number",
        ),
    ],
)
def test_a_candidate_that_makes_no_sense_is_named(candidate: object, key: str, said: str) -> None:
    """Also in the second route, at the second candidate."""
    found = problems(route("a", VENDOR), route("b", VENDOR, candidate))
    assert [where for where, _ in found] == [f"routes[1].candidates[1]{key}"]
    assert said in found[0][1]


def test_a_route_to_nothing_says_which_routes_there_are() -> None:
    """A name no route stands for leads nowhere, whatever upstreams claim."""
    assert problems(route("a", VENDOR), route("b", "gone")) == [
        ("routes[1].candidates[0].route", "no route stands for 'gone'; there are: a, b")
    ]


def test_a_bad_glob_is_named_also_among_the_aliases() -> None:
    """Else it would be a rule that never holds."""
    found = problems(route("a[", VENDOR), route("b", VENDOR, aliases=["c", "d[2-1]"]))
    assert [key for key, _ in found] == ["routes[0].model", "routes[1].aliases[1]"]


def test_a_name_stands_for_one_route() -> None:
    """The second would never be asked."""
    found = problems(route("a", VENDOR), route("b", VENDOR, aliases=["a"]))
    assert found == [("routes[1].aliases[0]", "routes[0] stands for 'a' already")]


def test_a_cycle_is_told_with_the_way_round() -> None:
    """Each cycle once, at the candidate that closes it."""
    found = problems(
        route("a", VENDOR, "b"), route("b", "c-1"), route("c-*", VENDOR, "a"), route("d", "a")
    )
    assert found == [
        ("routes[2].candidates[1].route", "leads back to where it came from: a → b → c-* → a")
    ]


def test_a_route_to_itself_is_a_cycle_also_by_its_glob() -> None:
    """``x-1`` means the route it stands in."""
    assert problems(route("x-*", "x-1")) == [
        ("routes[0].candidates[0].route", "leads back to where it came from: x-* → x-*")
    ]
    assert problems(route("x-1", VENDOR), route("x-*", "x-1")) == []


def test_two_ways_to_the_same_route_are_no_cycle() -> None:
    """A diamond ends."""
    assert (
        problems(route("a", "b", "c"), route("b", "d"), route("c", "d"), route("d", VENDOR)) == []
    )


def test_chains_and_fans_are_bounded() -> None:
    """What a request would have to walk through cannot grow without end."""
    long = [route(f"r{i}", f"r{i + 1}") for i in range(LONGEST_CHAIN)]
    assert len(problems(*long, route(f"r{LONGEST_CHAIN}", VENDOR))) == 1
    assert problems(*long[1:], route(f"r{LONGEST_CHAIN}", VENDOR)) == []
    backwards = [route("r0", VENDOR), *(route(f"r{i + 1}", f"r{i}") for i in range(2000))]
    assert problems(*backwards)[0][0] == f"routes[{LONGEST_CHAIN}].candidates[0].route"
    wide = [route(f"w{i}", *[f"w{i + 1}"] * 2) for i in range(9)]
    assert "more than 256 ends" in problems(*wide, route("w9", VENDOR))[0][1]


def test_a_name_means_the_first_route_that_fits() -> None:
    """As with requests."""
    meant = RouteNames([route("gpt-4o", VENDOR), route("gpt-*", VENDOR, aliases=["mine"])])
    assert [meant.place(name) for name in ("gpt-4o", "gpt-4o-mini", "mine", "x")] == [0, 1, 1, None]
