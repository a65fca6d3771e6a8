"""Which call a result answers: by its id, by its function's name, or by the order alone."""

from __future__ import annotations

import time

from chatgpt_to_api.dialects.open_calls import OpenCalls


def test_a_result_answers_the_first_call_of_its_name_that_waits() -> None:
    """Neither a result that was dropped nor one that names its call shifts the others."""
    calls = OpenCalls()
    assert [calls.made(*c) for c in ((None, "a"), ("x", "b"), (None, "a"), (None, "c"))] == [
        "call_1",
        "x",
        "call_3",
        "call_4",
    ]
    assert calls.answered("call_1", "a") == "call_1"
    assert calls.answered(None, "a") == "call_3"
    assert calls.answered(None, "a") is None
    assert calls.answered(None, None) == "x"
    assert calls.answered("somebody's", None) == "somebody's"
    assert calls.answered(None, "b") is None
    assert calls.answered(None, None) == "call_4"
    assert calls.answered(None, None) is None


def test_two_calls_of_one_id_each_take_a_result() -> None:
    """Servers that number the calls of each turn anew give an id twice."""
    calls = OpenCalls()
    for _ in range(2):
        calls.made("call_0", "a")
    assert [calls.answered(None, "a") for _ in range(3)] == ["call_0", "call_0", None]


def test_very_many_calls_and_results_take_no_time() -> None:
    """One request of a few megabytes holds so many; it was minutes when each looked at all."""
    began = time.process_time()
    for named in (True, False):
        calls = OpenCalls()
        for n in range(50_000):
            calls.made(None, f"f{n}")
        for n in reversed(range(50_000)):
            given = (None, f"f{n}") if named else (f"call_{n + 1}", None)
            assert calls.answered(*given) == f"call_{n + 1}"
    assert time.process_time() - began < 10
