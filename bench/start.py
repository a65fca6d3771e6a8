"""How long the gateway takes from its process's beginning to its first ``/ping``, many times over.

Each start has a new data folder. The code is compiled first, as an installed package is. On a
shared machine only the least time says something, and the CPU time more than the clock.
"""

from __future__ import annotations

import argparse
import compileall
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import processes

import chatgpt_to_api


def measure(starts: int) -> None:
    """Start the gateway so often, and print what it took."""
    compileall.compile_dir(Path(chatgpt_to_api.__file__).parent, quiet=1)
    seconds, cpu, resident = [], [], []
    with processes.upstream() as upstream:
        for _ in range(starts):
            with (
                tempfile.TemporaryDirectory() as folder,
                processes.gateway(Path(folder), upstream, "deltas") as (gateway, start),
            ):
                seconds.append(start.seconds)
                cpu.append(start.cpu)
                resident.append(gateway.rss() / 2**20)
    print(f"start, {starts} times with a new data folder (least, median, most):")
    print(f"  first /ping after  {_spread(seconds)} s")
    print(f"  CPU time until then {_spread(cpu)} s")
    print(f"  memory soon after   {_spread(resident)} MB")


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):.2f}  {statistics.median(values):.2f}  {max(values):.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=10)
    measure(parser.parse_args().starts)
