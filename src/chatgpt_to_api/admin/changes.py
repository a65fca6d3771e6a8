"""What requests that change the configuration have in common: versions, refusals, what stands
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from starlette.requests import Request

from chatgpt_to_api.config.managed import Unfit
from chatgpt_to_api.errors import Conflict, InvalidRequest

_TOLD: Final = 5
"""Most problems that one answer tells."""


def expected_version(request: Request) -> int | None:
    """Return the version that ``If-Match`` names, None for any. Raises InvalidRequest."""
    text = request.headers.get("if-match", "*").strip()
    if text == "*":
        return None
    number = text.removeprefix('"').removesuffix('"')
    if not (number.isascii() and number.isdigit() and len(number) < 18):
        raise InvalidRequest(
            'If-Match: expected the version as GET gives it, such as "7". Nothing was changed.',
            param="If-Match",
            code="invalid_value",
        )
    return int(number)


@contextmanager
def naming(rename: Callable[[str], str]) -> Iterator[None]:
    """Turn Unfit into an InvalidRequest that names each value as the sender did.

    ``rename`` makes that name, and any in a text, from the one in the whole configuration.
    """
    try:
        yield
    except Unfit as error:
        told = [rename(problem.message) for problem in error.problems[:_TOLD]]
        if len(error.problems) > _TOLD:
            told.append(f"and {len(error.problems) - _TOLD} more")
        raise InvalidRequest(
            f"{'; '.join(told)}. Nothing was changed.",
            param=rename(error.problems[0].key),
            code="invalid_value",
        ) from None


def stands_elsewhere(what: str, place: str, param: str) -> Conflict:
    """Return the refusal to change what the configuration gives."""
    return Conflict(
        f"{what} stands in {place} and is changed there only. Nothing was changed.",
        param=param,
        code="set_in_configuration",
    )
