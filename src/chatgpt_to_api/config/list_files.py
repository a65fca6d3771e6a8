"""``api_keys.txt`` and ``proxies.txt``: one thing per line; blanks and ``#`` comments ignored."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Final

import msgspec

from chatgpt_to_api.config.token_files import Skipped
from chatgpt_to_api.wire.proxy import Proxy, parse_proxy
from chatgpt_to_api.wire.secret import MASK, Secret

MAX_KEY: Final = 1024
"""Longest client key, characters."""


class KeyFile(msgspec.Struct, frozen=True):
    """The client keys of ``api_keys.txt``, each once, and the lines that hold none."""

    keys: tuple[Secret, ...] = ()
    skipped: tuple[Skipped, ...] = ()


class ProxyFile(msgspec.Struct, frozen=True):
    """The proxies of ``proxies.txt`` in order, each once, and the lines that hold none."""

    proxies: tuple[Proxy, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def parse_api_keys(content: bytes) -> KeyFile:
    """Read client keys: any text without control characters, blanks around it taken off."""
    keys: dict[Secret, None] = {}
    skipped: list[Skipped] = []
    for where, line in _lines(content, skipped):
        if not line.isprintable():
            skipped.append(Skipped(where, "it holds a character that no header may hold"))
        elif MASK in line:
            skipped.append(Skipped(where, "it is a masked key; the whole one is needed"))
        elif len(line) > MAX_KEY:
            skipped.append(Skipped(where, f"it is longer than {MAX_KEY} characters"))
        else:
            keys[Secret(line)] = None
    return KeyFile(tuple(keys), tuple(skipped))


def parse_proxies(content: bytes) -> ProxyFile:
    """Read outbound proxies in every form that ``wire.proxy.parse_proxy`` knows."""
    proxies: dict[Proxy, None] = {}
    skipped: list[Skipped] = []
    for where, line in _lines(content, skipped):
        try:
            proxies[parse_proxy(line)] = None
        except ValueError as error:
            skipped.append(Skipped(where, str(error)))
    return ProxyFile(tuple(proxies), tuple(skipped))


def _lines(content: bytes, skipped: list[Skipped]) -> Iterator[tuple[str, str]]:
    """Give each line that says something, stripped, with its place."""
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeError:
        skipped.append(Skipped("the file", "it is not text in UTF-8 or UTF-16"))
        return
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if line and not line.startswith("#"):
            yield f"line {number}", line
