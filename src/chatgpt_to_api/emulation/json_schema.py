"""JSON Schema: the client's schema checked, and values checked against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from chatgpt_to_api.emulation.schema_work import (
    MOST_PLACES,
    TooMuchWork,
    can_explain,
    check_places,
)
from chatgpt_to_api.errors import InvalidRequest

PARAM: Final = "response_format.json_schema.schema"

_BACKTRACKS: Final = 100_000
"""Most steps back of one regular expression of a schema: no pattern keeps the gateway busy."""
_LONGEST: Final = 200


class Schema:
    """A caller's JSON Schema. Nothing is ever fetched for it: references lead inside it only."""

    __slots__ = ("_schema", "_validator")

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raise InvalidRequest, naming the place, for what is no JSON Schema."""
        import jsonschema_rs as rs  # 6 MB, and only some requests need it

        self._schema = schema
        try:
            check_places(schema)
            self._validator = rs.validator_for(
                dict(schema), offline=True, pattern_options=rs.FancyRegexOptions(_BACKTRACKS)
            )
        except rs.ValidationError as error:
            where = PARAM + path(error.instance_path)
            raise _no_schema(where, error.message) from None
        except TooMuchWork:
            why = f"it is too much: at most {MOST_PLACES} places, references written out"
            raise _no_schema(PARAM, why) from None
        except (ValueError, rs.ReferencingError) as error:
            raise _no_schema(PARAM, str(error)) from None

    def problem(self, value: object) -> tuple[str, str] | None:
        """Return where ``value`` does not fit first, and why; None where it fits."""
        try:
            if self._validator.is_valid(value):
                return None
            if not can_explain(self._schema, value):
                return "$", "it does not fit the schema"
            for error in self._validator.iter_errors(value):
                return "$" + path(error.instance_path), error.message[:_LONGEST]
        except ValueError as error:  # deeper than it can look
            return "$", str(error)[:_LONGEST]
        return None


def path(steps: Sequence[str | int]) -> str:
    """Return a place inside a value as it is written in code."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step[:64]}" for step in steps)


def _no_schema(where: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"'{where[:_LONGEST]}' is not valid JSON Schema: {why[:_LONGEST]}",
        param=PARAM,
        code="invalid_json_schema",
    )
