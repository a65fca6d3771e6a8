"""The evaluation: tools and JSON with the embedded model, emulated beside native.

Run as ``make eval``. Asked directly, the embedded model keeps to JSON natively and is told of tools
in words. Behind a conversation backend that knows only text, both are told in words: there one
gateway asks another one's conversation door. Every question is asked once of each; the table says
how many answers did.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
from cases import CALLS, FORMS, TOOLS
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from chatgpt_to_api.config.load import default_data_dir
from chatgpt_to_api.local_model.fetch import fetch
from chatgpt_to_api.local_model.model_file import is_fetched, model_path

MOST_TOKENS: Final = 160
PATIENCE: Final = 120.0
"""Longest wait for one answer, seconds."""

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextlib.contextmanager
def gateway(folder: Path, **variables: str) -> Iterator[str]:
    """Run a gateway on any free port; give its address."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "SERVER_PORT": "0",
        "CHATGPT_TO_API_DATA_DIR": str(folder),
        "PYTHONUNBUFFERED": "1",
        **variables,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "chatgpt_to_api", "serve"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        address = None
        while address is None and (line := process.stdout.readline()):
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            address = found[0] if found else None
        if address is None:
            raise SystemExit("eval: the gateway did not start")
        yield address
    finally:
        process.terminate()
        process.communicate()


def ask(address: str, question: str, **fields: Any) -> dict[str, Any]:
    """Ask for one answer; an error is an answer too."""
    body = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": MOST_TOKENS,
        **fields,
    }
    request = urllib.request.Request(
        f"{address}/v1/chat/completions", data=json.dumps(body).encode()
    )
    try:
        with _opener.open(request, timeout=PATIENCE) as reply:
            answer: dict[str, Any] = json.load(reply)
    except urllib.error.HTTPError as error:
        answer = json.load(error)
    return answer


@dataclass
class Tally:
    """How one way of asking did."""

    name: str
    address: str
    called: int = 0
    right: int = 0
    fits: int = 0
    seconds: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)

    def call(self, question: str, tool: str) -> None:
        """Ask for a call; see whether there is one, and whether it is the right one."""
        answer = self._timed(question, tools=TOOLS, tool_choice="required")
        for call in answer.get("tool_calls") or ():
            function = call["function"]
            schema = next(
                (
                    declared["function"]["parameters"]
                    for declared in TOOLS
                    if declared["function"]["name"] == function["name"]
                ),
                None,
            )
            if schema is None:
                return
            self.called += 1
            with contextlib.suppress(ValueError):
                fits = jsonschema_rs.is_valid(schema, json.loads(function["arguments"]))
                self.right += fits and function["name"] == tool
            return

    def form(self, question: str, schema: dict[str, Any]) -> None:
        """Ask for JSON; see whether it fits."""
        form = {"name": "answer", "schema": schema, "strict": True}
        answer = self._timed(question, response_format={"type": "json_schema", "json_schema": form})
        with contextlib.suppress(ValueError):
            self.fits += jsonschema_rs.is_valid(schema, json.loads(answer.get("content") or ""))

    def _timed(self, question: str, **fields: Any) -> dict[str, Any]:
        begun = time.monotonic()
        answer = ask(self.address, question, **fields)
        self.seconds += time.monotonic() - begun
        if "error" in answer:
            code = answer["error"]["code"]
            self.errors[code] = self.errors.get(code, 0) + 1
            return {}
        message: dict[str, Any] = answer["choices"][0]["message"]
        return message


def main() -> None:
    """Ask everything of both, then show the table."""
    console = Console()
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as running:
        folder = Path(scratch)
        give_model(folder / "direct")
        direct = running.enter_context(gateway(folder / "direct", EMBEDDED_MODEL="on"))
        through = running.enter_context(
            gateway(
                folder / "through",
                API_REVERSE_PROXY=f"{direct}/backend-api/conversation",
                ACCESS_TOKENS="anything",
            )
        )
        ways = [Tally("directly", direct), Tally("conversation backend", through)]
        with Progress(console=console) as progress:
            bar = progress.add_task("asking", total=len(ways) * (len(CALLS) + len(FORMS)))
            for way in ways:
                for question, tool in CALLS:
                    way.call(question, tool)
                    progress.advance(bar)
                for question, schema in FORMS:
                    way.form(question, schema)
                    progress.advance(bar)
    console.print(table(ways))


def table(ways: list[Tally]) -> Table:
    """Show how many answers did."""
    shown = Table("", "a call", "the right call", "JSON that fits", "seconds", "errors")
    for way in ways:
        shown.add_row(
            way.name,
            f"{way.called}/{len(CALLS)}",
            f"{way.right}/{len(CALLS)}",
            f"{way.fits}/{len(FORMS)}",
            f"{way.seconds:.0f}",
            ", ".join(f"{count} {code}" for code, count in way.errors.items()) or "–",
        )
    return shown


def give_model(folder: Path) -> None:
    """Put the model into a data folder, from the user's own, fetched there if need be."""
    own = default_data_dir()
    if not is_fetched(own):
        fetch(own)
    target = model_path(folder)
    target.parent.mkdir(parents=True)
    target.symlink_to(model_path(own))


if __name__ == "__main__":
    main()
