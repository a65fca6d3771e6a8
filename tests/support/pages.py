"""Pages of documentation: their code blocks, links and tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[2]

_BLOCK: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def page(name: str) -> str:
    """The text of a page, by its path in the repository."""
    return (REPOSITORY / name).read_text("utf-8")


def pages() -> list[Path]:
    """Every page: those at the top, and those in docs."""
    return [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").glob("*.md"))]


def blocks(name: str, language: str) -> list[str]:
    """The code blocks of a page in one language, in order."""
    return [code for found, code in _BLOCK.findall(page(name)) if found == language]


def prose(text: str) -> str:
    """A page's text without its code blocks."""
    return _BLOCK.sub("", text)


def links(text: str) -> list[str]:
    """The targets of a page's links."""
    return _LINK.findall(prose(text))


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
