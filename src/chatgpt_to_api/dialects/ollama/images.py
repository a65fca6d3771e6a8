"""Pictures: bare base64 in this dialect, data URLs everywhere else."""

from __future__ import annotations

from typing import Final

from chatgpt_to_api.chat.request import Image
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.wire.base64_check import base64_problem

_BEGINNINGS: Final = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("Qk", "image/bmp"),
)
"""How base64 of each kind of picture begins."""


def data_url(data: str) -> str:
    """Return a picture as a data URL; the type is told by how it begins."""
    if data.startswith("data:"):
        return data
    media = next((m for start, m in _BEGINNINGS if data.startswith(start)), "image/png")
    return f"data:{media};base64,{data}"


def bare_data(image: Image, param: str) -> str:
    """Return a picture's base64. Raises InvalidRequest for one that has to be fetched first."""
    head, comma, data = image.url.partition(",")
    if image.url.startswith("data:") and comma and head.endswith(";base64"):
        return data
    raise InvalidRequest(
        "The upstream takes pictures as base64 data only; with fetch_images = true the gateway "
        "fetches them for it.",
        param=param,
        code="unsupported_parameter",
    )


def image_problem(data: str) -> str | None:
    """Say why ``data`` is no picture of this dialect, None where it is one."""
    return base64_problem(data.partition(",")[2] if data.startswith("data:") else data)
