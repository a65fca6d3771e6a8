"""LangChain's own standard suite for chat models, whole, through the gateway."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from support.client_environments import program_of, run_client
from support.vendor.serving import Served

SUITE: Final = Path(__file__).parent / "suite_langchain.py"
OPTIONS: Final = (
    "-v",
    "--tb=short",
    "--noconftest",
    f"--rootdir={SUITE.parent}",
    "-p",
    "no:cacheprovider",
    "-o",
    "asyncio_mode=auto",
    "-o",
    "asyncio_default_test_loop_scope=session",  # the package keeps connections between tests
)


def outcomes_of(suite: str, home: Path, served: Served) -> dict[str, str]:
    """Run a class of the suite in the clients' environment; return each test's outcome."""
    done = run_client(
        home,
        program_of("openai"),
        "-m",
        "pytest",
        *OPTIONS,
        f"{SUITE}::{suite}",
        **served.environment(),
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    return dict(re.findall(r"::(test_\S+) ([A-Z]+)", done.stdout))


def test_the_standard_suite_passes(served: Served, tmp_path: Path) -> None:
    """Every test there is for a chat model, but one that times a stream recorded elsewhere."""
    outcomes = outcomes_of("TestThroughTheGateway", tmp_path / "home", served)
    passed = [name for name, outcome in outcomes.items() if outcome == "PASSED"]
    assert len(passed) >= 49
    assert {name: outcomes[name] for name in outcomes.keys() - set(passed)} == {
        "test_stream_time": "SKIPPED"
    }
    assert len(served.vendor.seen) > len(passed)
