"""What the pages say is so: links, routes, settings, and two languages that agree."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import pytest
from starlette.routing import Route

from chatgpt_to_api.assembly.gateway import assemble
from chatgpt_to_api.config.catalogue import catalogue, upstream_catalogue
from chatgpt_to_api.config.load import Loaded, load
from chatgpt_to_api.server.conversation_site import BASES
from chatgpt_to_api.server.front import ServerFront
from chatgpt_to_api.store.lock import FolderLock
from support.pages import REPOSITORY, anchors, blocks, links, page, pages

PAIRS: Final = [
    ("README.md", "README_CN.md"),
    *(
        (f"docs/{name}.md", f"docs/{name}_CN.md")
        for name in (
            "guide",
            "tokens",
            "tools",
            "docker",
            "continuing",
            "upstreams",
            "responses-upstream",
            "ollama",
            "gemini",
            "anthropic",
        )
    ),
]

UNDOCUMENTED: Final = {
    "/favicon.ico": "browsers ask for it by themselves, and there is none",
    "/{id}:path": "below a base, it answers for what does not exist",
}
"""Routes that no page has to name, with the reason."""


@pytest.mark.parametrize("found", pages(), ids=lambda found: found.name)
def test_every_link_leads_somewhere(found: Path) -> None:
    """Files exist, headings too."""
    for link in links(found.read_text("utf-8")):
        target = urlsplit(link)
        if target.scheme:
            assert target.scheme in ("http", "https"), link
            continue
        file = found.parent / unquote(target.path) if target.path else found
        assert file.is_file(), f"{found.name}: {link}"
        if target.fragment:
            assert unquote(target.fragment) in anchors(file.read_text("utf-8")), link


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_both_languages_have_the_same_blocks(english: str, chinese: str) -> None:
    """Whoever reads the one pastes what whoever reads the other pastes."""
    for language in ("sh", "python", "toml", "json", ""):
        translated = [block.replace("你好！", "Hello!") for block in blocks(chinese, language)]
        assert translated == blocks(english, language), language


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_both_languages_have_the_same_parts(english: str, chinese: str) -> None:
    """As many headings, list items and table rows: nothing was left out of one."""
    for start in ("#", "- ", "| ", "1. "):
        counts = [
            sum(line.startswith(start) for line in page(name).splitlines())
            for name in (english, chinese)
        ]
        assert counts[0] == counts[1], f"lines that begin with {start!r}"


@pytest.mark.parametrize("name", ["README.md", "README_CN.md"])
def test_the_readmes_table_names_settings(name: str) -> None:
    """Each variable is one, and the default beside it is the code's."""
    settings = {env: s for s in (*catalogue(), *upstream_catalogue()) for env in s.env}
    rows = re.findall(r"^\| (`[A-Za-z_`、, ]+`) \| ([^|]*) \|", page(name), re.MULTILINE)
    assert len(rows) >= 10
    for variables, defaults in rows:
        names = re.findall(r"\w+", variables)
        shown = re.findall(r"`([^`]*)`", defaults)
        for place, variable in enumerate(names):
            default = settings[variable].default
            if shown:
                word = str(default).lower() if isinstance(default, bool) else str(default)
                assert shown[place] == word.removesuffix(".0"), variable


def documented_routes() -> str:
    return "".join(found.read_text("utf-8") for found in (REPOSITORY / "docs").glob("*.md"))


def routes(front: ServerFront) -> Iterator[tuple[str, str]]:
    """Every method and path that the server answers: the doors, and the program behind them."""
    for target in front.targets:
        yield "POST", target.decode()
    inner: Any = inspect.getclosurevars(front._app).nonlocals["app"]
    for route in inner.routes:
        assert isinstance(route, Route)
        methods = inspect.getclosurevars(route.endpoint).nonlocals.get("handlers", route.methods)
        for method in methods:
            if method != "HEAD":
                yield method, re.sub(r"\{\w+(:path)?\}", r"{id}\1", route.path)


async def test_every_route_is_documented(tmp_path: Path) -> None:
    """Method and path of each stand in some page; those of the conversation protocol once."""
    variables = {
        "CHATGPT_TO_API_DATA_DIR": str(tmp_path / "data"),
        "API_REVERSE_PROXY": "http://127.0.0.1:9/backend-api/conversation",
        "EMBEDDED_MODEL": "off",
    }
    text = documented_routes()
    found = set()

    def read() -> Loaded:
        return load(environ=variables, folder=tmp_path)

    with FolderLock.take(tmp_path / "data") as lock:
        async with assemble(read(), lock, read) as assembly:
            found = set(routes(assembly.front))
    assert ("POST", "/v1/chat/completions") in found
    assert ("GET", "/backend-api/conversation/{id}") in found
    for method, path in found:
        base = max((b for b in BASES if path.startswith(b + "/")), key=len, default="")
        own = path.removeprefix(base)
        if "session" in path:
            base, own = "", path
        if own in UNDOCUMENTED:
            continue
        said = own.removesuffix(":path")
        written = re.escape(said).replace(re.escape("{id}"), r"\{\w+\}")  # an id may be a name
        whole = re.escape(path.removesuffix(":path")).replace(re.escape("{id}"), r"\{\w+\}")
        if re.search(rf"`{method} {whole}(:\w+)?[`?]", text):
            continue  # of Ollama's, under a base that conversations have too; Gemini's by method
        assert re.search(rf"`{method} {written}[`?]", text), f"{method} {said}"
        assert f"`{base}`" in text


def texts() -> Iterator[Path]:
    """Every text file of the project."""
    for folder in (".ci", "bench", "docs", "requirements", "src", "tests"):
        for found in (REPOSITORY / folder).rglob("*"):
            if found.is_file() and "__pycache__" not in found.parts:
                yield found
    for found in REPOSITORY.iterdir():
        if found.is_file() and found.name != ".env":
            yield found


def test_no_page_or_file_tells_where_it_was_written() -> None:
    """Neither this machine's folders nor the host of a package index stands in any file."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True
    )
    hosts = {urlsplit(url).hostname or "" for url in re.findall(r"https?://[^'\s]+", done.stdout)}
    places = {str(REPOSITORY), str(Path.home())} - {"/", "/root"}
    telling = [re.escape(word) for word in (places | hosts) - {"", "127.0.0.1", "localhost"}]
    pattern = re.compile("|".join([*telling, r"pypi\.org", r"pythonhosted\.org"]))
    for found in texts():
        try:
            text = found.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        match = pattern.search(text)
        assert match is None, f"{found.relative_to(REPOSITORY)}: {match}"
