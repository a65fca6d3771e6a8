"""The benchmark: the gateway beside nginx as a plain proxy, in one run, on this machine.

Run as ``make bench``. Figures are CPU time of the serving process per request and per event, so
they hold on a shared machine where wall times do not; each is the median of rounds in which both
servers take turns, and the ratio is taken round by round.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import load
import processes
import replies
import uvloop

PATH = "/v1/chat/completions"


@dataclass
class Scenario:
    """One thing measured on both servers: the requests, and the most their ratio should be."""

    name: str
    gateway: bytes
    nginx: bytes
    requests: int
    connections: int
    events: int
    target: float


def scenarios(conversation: str) -> list[Scenario]:
    """The scenarios that need a gateway whose conversation upstream plays ``conversation``."""

    def burst(name: str, model: str, path: str, target: float) -> Scenario:
        return Scenario(
            name,
            load.question(PATH, model, stream=True),
            load.question(path, model, stream=True),
            3000,
            8,
            replies.EVENTS,
            target,
        )

    if conversation == "deltas":
        return [burst("100 events in a burst, from delta v1", "deltas-model", "/deltas/c", 5.0)]
    return [
        Scenario(
            "chat→chat, not streamed",
            load.question(PATH, "bench-model", stream=False),
            load.question(PATH, "bench-model", stream=False),
            10000,
            8,
            0,
            4.0,
        ),
        burst("100 events in a burst, chat→chat", "bench-model", PATH, 3.0),
        burst("100 events in a burst, from snapshots", "snapshots-model", "/snapshots/c", 2.0),
        Scenario(
            "paced events, each alone in its read",
            load.question(PATH, "paced-model", stream=True),
            load.question("/paced" + PATH, "paced-model", stream=True),
            100,
            50,
            replies.EVENTS + 4,
            2.5,
        ),
    ]


async def measure(
    scenario: Scenario, gateway: processes.Server, nginx: processes.Server | None, rounds: int
) -> None:
    """Measure one scenario and print its line."""
    costs: dict[str, list[float]] = {"gateway": [], "nginx": []}
    last: dict[str, load.Result] = {}
    servers = [(gateway, scenario.gateway)] + ([(nginx, scenario.nginx)] if nginx else [])
    for number in range(rounds + 1):
        for server, request in servers:
            before = server.cpu()
            result = await load.ask(
                server.port,
                request,
                replies=scenario.requests,
                connections=scenario.connections,
            )
            if result.failures:
                raise SystemExit(
                    f"{scenario.name}: {result.failures} replies of {server.name} failed"
                )
            if number:  # the first round warms up
                costs[server.name].append((server.cpu() - before) / result.replies * 1e6)
            last[server.name] = result
    print(f"\n{scenario.name}")
    for server, _ in servers:
        cost = statistics.median(costs[server.name])
        result = last[server.name]
        per_event = f", {cost / scenario.events:6.2f} µs an event" if scenario.events else ""
        print(
            f"  {server.name:8} {cost:8.1f} µs CPU a request{per_event}   "
            f"{result.replies / result.seconds:8.0f} requests/s   "
            f"p50 {result.percentile(0.5) * 1e3:7.2f} ms  "
            f"p99 {result.percentile(0.99) * 1e3:7.2f} ms"
        )
    if nginx is not None:
        ratios = [a / b for a, b in zip(costs["gateway"], costs["nginx"], strict=True)]
        median = statistics.median(ratios)
        verdict = "within" if median <= scenario.target else "ABOVE"
        print(
            f"  ratio    {median:8.2f} × nginx ({min(ratios):.2f} to {max(ratios):.2f}; "
            f"{verdict} the target of {scenario.target})"
        )


async def added_latency(gateway: processes.Server, nginx: processes.Server | None, up: int) -> None:
    """Latency of one request at a time: direct, through nginx, through the gateway."""
    request = load.question(PATH, "bench-model", stream=False)
    direct = await load.ask(up, request, replies=3000, connections=1)
    print("\nadded latency, one request at a time")
    for server in [s for s in (nginx, gateway) if s is not None]:
        result = await load.ask(server.port, request, replies=3000, connections=1)
        p50 = (result.percentile(0.5) - direct.percentile(0.5)) * 1e6
        p99 = (result.percentile(0.99) - direct.percentile(0.99)) * 1e6
        print(f"  {server.name:8} p50 +{p50:6.0f} µs   p99 +{p99:6.0f} µs")


async def idle_streams(
    gateway: processes.Server, nginx: processes.Server | None, count: int
) -> None:
    """Memory of open streams that wait for their next event."""
    print(f"\n{count} open streams that wait for their next event")
    for server, path in [(gateway, PATH), (nginx, "/held" + PATH)]:
        if server is None:
            continue
        warm = await load.hold(server.port, load.question(path, "held-model", stream=True), 50)
        for writer in warm:
            writer.close()
        before, cpu = server.rss(), server.cpu()
        writers = await load.hold(
            server.port, load.question(path, "held-model", stream=True), count
        )
        grown = server.rss() - before
        await asyncio.sleep(3)
        opened = server.cpu()
        await asyncio.sleep(3)
        idle = (server.cpu() - opened) / 3 * 100
        for writer in writers:
            writer.close()
        target = "" if server.name == "nginx" else "   (target: at most 30)"
        print(
            f"  {server.name:8} {grown / count / 1024:6.1f} KB a stream, "
            f"{(opened - cpu) / count * 1e6:6.0f} µs CPU to open one, "
            f"{idle:4.1f} % of a core while idle{target}"
        )


def wrk(gateway: processes.Server, nginx: processes.Server | None, folder: Path) -> None:
    """Requests per second as wrk sees them, where it is installed."""
    script = folder / "ask.lua"
    request = load.question(PATH, "bench-model", stream=False)
    body = request.split(b"\r\n\r\n", 1)[1].decode()
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = [[{body}]]\n"
        "wrk.headers['Content-Type'] = 'application/json'\n"
    )
    try:
        for server in [s for s in (nginx, gateway) if s is not None]:
            url = f"http://127.0.0.1:{server.port}{PATH}"
            command = ["wrk", "-t1", "-c16", "-d3s", "--latency", "-s", str(script), url]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            lines = [line.strip() for line in done.stdout.splitlines()]
            keep = [
                line for line in lines if line.startswith(("50%", "99%", "Requests/sec", "Non-"))
            ]
            print(f"  wrk, {server.name:8} {'   '.join(keep)}")
    except FileNotFoundError:
        print("  wrk is not installed: its figures are left out")


async def run(folder: Path, rounds: int, streams: int) -> None:
    """Run everything and print it."""
    version = processes.nginx_version()
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{version or 'nginx is not installed: no ratios'}"
    )
    with processes.upstream() as up:
        for conversation in ("snapshots", "deltas"):
            with processes.gateway(folder, up, conversation) as (gateway, start):
                if conversation == "snapshots":
                    rss = gateway.rss() / 2**20
                    print(
                        f"start: first /ping after {start.seconds:.2f} s ({start.cpu:.2f} s of CPU "
                        f"time), then {rss:.1f} MB resident"
                    )
                if version is None:
                    await _measure_all(conversation, gateway, None, up, folder, rounds, streams)
                else:
                    with processes.nginx(folder, up) as nginx:
                        await _measure_all(
                            conversation, gateway, nginx, up, folder, rounds, streams
                        )


async def _measure_all(
    conversation: str,
    gateway: processes.Server,
    nginx: processes.Server | None,
    up: int,
    folder: Path,
    rounds: int,
    streams: int,
) -> None:
    for scenario in scenarios(conversation):
        await measure(scenario, gateway, nginx, rounds)
    if conversation == "snapshots":
        await added_latency(gateway, nginx, up)
        wrk(gateway, nginx, folder)
        await idle_streams(gateway, nginx, streams)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds of each scenario")
    parser.add_argument("--streams", type=int, default=1000, help="open streams to hold")
    options = parser.parse_args()
    if not Path("/proc/self/schedstat").exists():
        sys.exit("The benchmark reads CPU time from /proc (Linux); there is none here.")
    with tempfile.TemporaryDirectory() as temp:
        uvloop.run(run(Path(temp), options.rounds, options.streams))


if __name__ == "__main__":
    main()
