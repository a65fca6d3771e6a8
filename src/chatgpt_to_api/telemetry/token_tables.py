"""The tables tokens are counted with: loaded when first needed, in a thread, once.

A table takes about 70 MB of memory and 0.1 s of work, so nothing is loaded at start, and one table
serves every model but those known to use the older one.
"""

from __future__ import annotations

import asyncio
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Final, Literal, TypeAlias

import msgspec
import structlog

log = structlog.get_logger(__name__)

_COMPILED: Final = "bpe_openai._bindings"

Encoding: TypeAlias = Literal["o200k_base", "cl100k_base"]

_CL100K: Final = re.compile(
    r"gpt-3\.5|gpt-35|gpt-4(?:-(?!o)|-?turbo|$)|text-davinci-002-render|text-embedding|davinci-002|babbage-002"
)


_VENDORS: Final = re.compile(
    r"gpt-(?!2|oss)|gpt-35|chatgpt-|o[1-9](?:-|$)|davinci-002|babbage-002|text-embedding"
)
"""Models whose token ids are those of these tables; anybody else's may mean anything."""

_ORDINARY: Final[dict[Encoding, int]] = {"o200k_base": 199_998, "cl100k_base": 100_256}
"""Ids below this stand for text, those above for nothing or for signs such as the end of a text."""


class TokenTable(msgspec.Struct, frozen=True):
    """A loaded table. ``count`` counts a text's tokens: exactly, where there is a tokenizer.

    ``read`` gives the text of token ids, None where there is no tokenizer.
    """

    encoding: Encoding
    count: Callable[[str], int]
    read: Callable[[Sequence[int]], str] | None = None

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text that token ids stand for. Raises ValueError where one stands for none."""
        size = _ORDINARY[self.encoding]
        for token in ids:
            if not 0 <= token < size:
                raise ValueError(f"{token} is no token of text in {self.encoding}")
        if self.read is None:
            raise ValueError("the tokenizer has no wheel for this platform")
        try:
            return self.read(ids)
        except ValueError:
            raise ValueError("they begin or end within a character") from None


_loaded: dict[Encoding, TokenTable] = {}
_loading = asyncio.Lock()


def encoding_of(model: str) -> Encoding:
    """Return which table counts for ``model``: o200k for all that are not known to be older."""
    return "cl100k_base" if _CL100K.match(model) else "o200k_base"


async def vendors(model: str) -> TokenTable | None:
    """Return the table that token ids for ``model`` are made with, None where nobody knows it."""
    return await ensure(model) if _VENDORS.match(model) else None


async def ensure(model: str) -> TokenTable:
    """Return the table for ``model``, loading it first where it is not there yet."""
    encoding = encoding_of(model)
    table = _loaded.get(encoding)
    if table is None:
        async with _loading:
            table = _loaded.get(encoding)
            if table is None:
                table = _loaded[encoding] = await asyncio.to_thread(_load, encoding)
    return table


def _load(encoding: Encoding) -> TokenTable:
    try:
        bindings = _bindings()
    except ModuleNotFoundError:
        # Some platforms have no wheel of it (Intel Macs). An answer is worth more than a count.
        log.warning("token counts are estimates here: the tokenizer has no wheel for this platform")
        return TokenTable(encoding, estimate)
    tokenizer = bindings.tokenizer_for_encoding(encoding)
    return TokenTable(encoding, tokenizer.count, tokenizer.decode)


def estimate(text: str) -> int:
    """Return about how many tokens ``text`` has: a quarter of its bytes, by rule of thumb."""
    return -(-len(text.encode("utf-8", "replace")) // 4)


def _bindings() -> ModuleType:
    """Load the package's compiled part alone, once.

    Importing the package itself loads one table into memory at once (0.8 s, 70 MB), and its
    Encoding class keeps each table a second time, in Python.
    """
    module = sys.modules.get(_COMPILED)
    if module is not None:
        return module
    package = importlib.util.find_spec("bpe_openai")
    places = None if package is None else package.submodule_search_locations
    spec = importlib.machinery.PathFinder.find_spec(_COMPILED, places)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("bpe_openai is not installed", name=_COMPILED)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[_COMPILED] = module  # a compiled module must not be loaded twice
    return module
