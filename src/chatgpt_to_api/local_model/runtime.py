"""Whether this platform has the runtime that computes with the model."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

RUNTIME_MISSING: Final = (
    "The embedded model's runtime (xllamacpp) is not installed. It has wheels for Linux with glibc "
    "(x86-64, ARM64), macOS 13 and later, and Windows (x86-64): "
    "pip install 'chatgpt-to-api[local]'."
)


def runtime_available() -> bool:
    """Whether the runtime is installed; without it the gateway runs without the embedded model."""
    return find_spec("xllamacpp") is not None
