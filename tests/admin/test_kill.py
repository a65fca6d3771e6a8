"""What was answered with 200 is on the disk, whatever happens next."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.gateway_process import Answer, fetch

TESTS = Path(__file__).parents[1]

CHILD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from support.admin_rig import open_rig

async def main():
    async with open_rig(Path(sys.argv[1])) as rig:
        print(rig.url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def gateway(data_dir: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(data_dir), str(TESTS)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


def ask(
    url: str, method: str, path: str, body: Any = None, password: str = "TotallySecurePassword"
) -> Answer:
    data = None if body is None else json.dumps(body)
    return fetch(url + path, method=method, body=data, headers={"Authorization": password})


def test_a_set_survives_a_kill_right_after_the_200(data_dir: Path) -> None:
    """kill -9 the moment the answer is there; the next start has exactly the new set."""
    expected = 0
    for size in (3, 500, 1):
        with gateway(data_dir) as (url, process):
            assert ask(url, "GET", "/admin/tokens").json["total"] == expected
            tokens = [f"eyJ-token-{size}-{n}-" + "x" * 800 for n in range(size)]
            assert ask(url, "PATCH", "/admin/tokens", tokens).status == 200
            process.kill()
        expected = size
    with gateway(data_dir) as (url, _):
        assert ask(url, "GET", "/admin/tokens").json["total"] == 1


def test_every_other_change_survives_a_kill_too(data_dir: Path) -> None:
    """A password, a disabled token and an added one are there after kill -9."""
    new = "set-by-an-admin"
    with gateway(data_dir) as (url, process):
        ask(url, "PATCH", "/admin/tokens", ["eyJ-one"])
        (one,) = ask(url, "GET", "/admin/tokens").json["tokens"]
        assert ask(url, "POST", f"/admin/tokens/{one['id']}/disable").status == 200
        assert ask(url, "POST", "/admin/tokens", ["eyJ-two"]).status == 200
        assert ask(url, "PATCH", "/admin/password", {"password": new}).status == 200
        process.kill()
    with gateway(data_dir) as (url, _):
        assert ask(url, "GET", "/admin/tokens").status == 401
        listed = ask(url, "GET", "/admin/tokens", password=new).json
        assert listed["states"] == {"disabled": 1, "ready": 1}
