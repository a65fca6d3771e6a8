"""Two source trees under the same load in turns: CPU and instructions of one request.

``python bench/compare.py OLD/src NEW/src`` runs a gateway of each in front of one upstream and asks
both in short rounds, so that what else the machine does meets both alike. With ``--instructions``
each runs under valgrind's callgrind instead, which counts what it executes outside the kernel: slow
to run, and the same on every machine however busy.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import load
import processes
import uvloop

PATH = "/v1/chat/completions"
QUESTIONS = {
    "not streamed": load.question(PATH, "bench-model", stream=False),
    "100 events in a burst": load.question(PATH, "bench-model", stream=True),
}
COUNTED = 300
"""Requests whose instructions are counted."""


@contextlib.contextmanager
def gateway(
    folder: Path, upstream: int, tree: str, *before: str
) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Run the gateway of a source tree, behind the command ``before``; yield port and process."""
    port = processes.free_port()
    folder.mkdir()
    config = folder / "config.toml"
    config.write_text(processes.CONFIG.format(port=upstream, name="snapshots"))
    environment = {
        **os.environ,
        "PYTHONPATH": tree,
        "CHATGPT_TO_API_CONFIG": str(config),
        "CHATGPT_TO_API_DATA_DIR": str(folder / "data"),
        "SERVER_PORT": str(port),
        "EMBEDDED_MODEL": "off",
        "ADMIN_PASSWORD": "bench-password",
    }
    command = [*before, sys.executable, "-m", "chatgpt_to_api", "serve"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with processes._running(command, env=environment, **quiet) as process:
        processes.wait_for(port, seconds=120)
        time.sleep(0.5)  # what follows the start is not the requests'
        yield port, process


def cpu(folder: Path, upstream: int, trees: list[str], rounds: int) -> None:
    """Print the CPU time of a request, and how it changed from the first tree on."""
    with contextlib.ExitStack() as stack:
        servers = []
        for number, tree in enumerate(trees):
            port, process = stack.enter_context(gateway(folder / str(number), upstream, tree))
            servers.append(processes.Server(tree, port, (process.pid,)))
        for name, question in QUESTIONS.items():
            costs: list[list[float]] = [[] for _ in servers]
            for turn in range(rounds + 1):
                for place in range(len(servers))[:: 1 if turn % 2 else -1]:
                    server = servers[place]
                    before = server.cpu()
                    done = uvloop.run(load.ask(server.port, question, replies=1000, connections=8))
                    if turn:  # the first round warms up
                        costs[place].append((server.cpu() - before) / done.replies * 1e6)
            print(name)
            for server, cost in zip(servers, costs, strict=True):
                share = statistics.median(b / a for a, b in zip(costs[0], cost, strict=True))
                print(f"  {statistics.median(cost):8.1f} µs CPU, × {share:.3f}  {server.name}")


def instructions(folder: Path, upstream: int, trees: list[str]) -> None:
    """Print how many instructions a request takes outside the kernel."""
    for number, tree in enumerate(trees):
        out = folder / f"{number}.out"
        valgrind = ("valgrind", "--tool=callgrind", "--instr-atstart=no", "-q")
        command = (*valgrind, f"--callgrind-out-file={out}")
        with gateway(folder / str(number), upstream, tree, *command) as (port, process):

            def control(*words: str, pid: int = process.pid) -> None:
                told = ["callgrind_control", *words, str(pid)]
                subprocess.run(told, check=True, capture_output=True)

            print(tree)
            for name, question in QUESTIONS.items():
                uvloop.run(load.ask(port, question, replies=200, connections=1))
                control("-i", "on")
                uvloop.run(load.ask(port, question, replies=20, connections=1))
                control("-z")
                uvloop.run(load.ask(port, question, replies=COUNTED, connections=1))
                for old in folder.glob(f"{out.name}*"):
                    old.unlink()
                control("-d")
                control("-i", "off")
                dumps = [dump.read_text() for dump in folder.glob(f"{out.name}*")]
                total = sum(int(n) for d in dumps for n in re.findall(r"(?m)^totals: (\d+)", d))
                print(f"  {total / COUNTED:12,.0f} instructions  {name}")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trees", nargs="+", help="source trees: folders that hold the package")
    parser.add_argument("--rounds", type=int, default=21, help="counted rounds for each tree")
    parser.add_argument("--instructions", action="store_true", help="count with valgrind")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temp, processes.upstream() as upstream:
        if options.instructions:
            instructions(Path(temp), upstream, options.trees)
        else:
            cpu(Path(temp), upstream, options.trees, options.rounds)


if __name__ == "__main__":
    main()
