"""Functions' names as this dialect allows them, and back to what the client calls them.

A name begins with a letter or underscore; letters, digits and ``_.:-`` follow, 64 in all. Any other
is rewritten, the same way each time, with a hash so that no two become one.
Source: https://ai.google.dev/api/caching#FunctionDeclaration
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from chatgpt_to_api.chat.request import ChatRequest

LONGEST: Final = 64

_FITTING: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_.:-]")
_HASH: Final = 8


def fitting(name: str) -> str:
    """Return what a function is called here."""
    if _FITTING.fullmatch(name):
        return name
    mark = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_HASH // 2)
    cleaned = _UNFIT.sub("_", name)[: LONGEST - _HASH - 2]
    return f"_{cleaned}_{mark.hexdigest()}"


def own_names(request: ChatRequest) -> Mapping[str, str]:
    """Return the client's names of the functions that are called something else here."""
    return {
        fitting(tool.name): tool.name for tool in request.tools if not _FITTING.fullmatch(tool.name)
    }
