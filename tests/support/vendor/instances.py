"""An instance for a JSON Schema: what a model would fill in, taken from what it was asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class Hints:
    """Values a prompt offers: what it quotes, and its numbers, each used once and in order."""

    def __init__(self, prompt: str) -> None:
        self.quoted: list[str] = re.findall(r"""["']([^"'\n]{1,80})["']""", prompt)
        self.numbers: list[float] = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", prompt)]
        self._strings: Iterator[str] = iter(self.quoted)
        self._numbers: Iterator[float] = iter(self.numbers)

    def string(self, name: str) -> str:
        return next(self._strings, f"some {name}")

    def number(self, low: float, high: float) -> float:
        return next((n for n in self._numbers if low <= n <= high), max(low, min(high, 1)))


def instance(schema: Mapping[str, Any], hints: Hints, name: str = "value") -> Any:
    """Return a value that ``schema`` allows. ``name`` is the property it is for."""
    return _Filler(schema, hints).fill(schema, name)


class _Filler:
    def __init__(self, root: Mapping[str, Any], hints: Hints) -> None:
        self._root = root
        self._hints = hints

    def fill(self, schema: Mapping[str, Any], name: str) -> Any:
        if "$ref" in schema:
            return self.fill(self._at(schema["$ref"]), name)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        for several in ("anyOf", "oneOf", "allOf"):
            if several in schema:
                return self.fill(_first_not_null(schema[several]), name)
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next(k for k in kind if k != "null")
        match kind:
            case "object":
                return {key: self.fill(of, key) for key, of in schema.get("properties", {}).items()}
            case "array":
                count = max(1, schema.get("minItems", 1))
                return [self.fill(schema.get("items", {}), name) for _ in range(count)]
            case "integer" | "number":
                return self._number(schema, whole=kind == "integer")
            case "boolean":
                return True
            case "null":
                return None
        return self._hints.string(name)[: schema.get("maxLength")]

    def _number(self, schema: Mapping[str, Any], *, whole: bool) -> float:
        step = 1 if whole else 1e-6
        low = schema.get("minimum", schema.get("exclusiveMinimum", -1e15) + step)
        high = schema.get("maximum", schema.get("exclusiveMaximum", 1e15) - step)
        number = self._hints.number(low, high)
        return int(number) if whole else number

    def _at(self, reference: str) -> Any:
        found: Any = self._root
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        return found


def _first_not_null(options: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return next((option for option in options if option.get("type") != "null"), options[0])
