"""JSON Schemas of the structs that decode requests and make replies.

msgspec makes schemas of its own, but knows none for ``Raw``, which here stands for "whatever JSON".
"""

from __future__ import annotations

import inspect
from typing import Any, Final

from msgspec import inspect as types

from chatgpt_to_api.openapi.parts import Schema, ref

_PLAIN: Final[dict[type[types.Type], str]] = {
    types.StrType: "string",
    types.IntType: "integer",
    types.FloatType: "number",
    types.BoolType: "boolean",
    types.NoneType: "null",
}
_BOUNDS: Final = {
    "ge": "minimum",
    "le": "maximum",
    "gt": "exclusiveMinimum",
    "lt": "exclusiveMaximum",
}


class Structs:
    """Collects schemas by name while others refer to them."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}

    def schema(self, struct: type, name: str = "") -> Schema:
        """Return a reference to the schema of ``struct``, which is kept under ``name``."""
        return self._shown(types.type_info(struct), name)

    def _shown(self, info: types.Type, name: str = "") -> Schema:
        match info:
            case types.Metadata(type=inner):
                return self._shown(inner)
            case types.StructType(cls=struct, fields=fields):
                name = name or struct.__name__
                if name not in self.components:
                    shown: Schema = {"type": "object"}
                    self.components[name] = shown
                    if struct.__doc__:
                        shown["description"] = inspect.cleandoc(struct.__doc__).split("\n\n")[0]
                    shown["properties"] = {
                        field.encode_name: self._shown(field.type) for field in fields
                    }
                    required = [field.encode_name for field in fields if field.required]
                    if required:
                        shown["required"] = required
                return ref(name)
            case types.UnionType(types=options):
                return {"anyOf": [self._shown(option) for option in options]}
            case types.LiteralType(values=values):
                return {"enum": list(values)}
            case types.EnumType(cls=enum):
                return {"enum": [member.value for member in enum]}
            case types.ListType(item_type=item) | types.VarTupleType(item_type=item):
                return {"type": "array", "items": self._shown(item)}
            case types.DictType(value_type=value):
                return {"type": "object", "additionalProperties": self._shown(value)}
        return _plain(info)


def _plain(info: types.Type) -> Schema:
    word = _PLAIN.get(type(info))
    if word is None:  # Raw, Any
        return {}
    shown: Schema = {"type": word}
    for bound, keyword in _BOUNDS.items():
        value: Any = getattr(info, bound, None)
        if value is not None:
            shown[keyword] = value
    return shown
