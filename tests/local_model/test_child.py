"""The child process by itself: what it does when it cannot serve."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from chatgpt_to_api.local_model.order import Order
from support.gateway_process import clean_environment


def test_a_runtime_that_cannot_be_loaded_ends_the_child_with_the_reason(tmp_path: Path) -> None:
    """It used to live on without serving: the thread that watches its input kept it.

    Images of Linux for containers lack libgomp, so this is a common case.
    """
    words = "libgomp.so.1: cannot open shared object file"
    (tmp_path / "xllamacpp.py").write_text(f"raise ImportError({words!r})\n")
    order = Order(
        model="none.gguf",
        name="m",
        port=0,
        reuse_port=False,
        api_key="k",
        threads=1,
        parallel=1,
        context=256,
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "chatgpt_to_api.local_model.child"],
        env=clean_environment(PYTHONPATH=str(tmp_path)),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        try:
            assert child.stdin is not None and child.stderr is not None
            child.stdin.write(msgspec.json.encode(order) + b"\n")
            child.stdin.flush()  # and it stays open, as the gateway keeps it
            assert child.wait(30) == 1
            assert words in child.stderr.read().decode()
        finally:
            child.kill()
