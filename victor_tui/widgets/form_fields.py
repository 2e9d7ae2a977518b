"""The fields of a form for a JSON Schema: their kinds, and the parsing of their texts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from victor_tui.text import one_line

FieldKind = Literal["string", "text", "number", "integer", "boolean", "enum", "multi", "list", "rows", "json"]
_DRAWN_KEYWORDS = frozenset(
    {
        *("type", "properties", "required", "title", "description", "default", "enum", "const", "format"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "pattern", "items", "minItems", "maxItems", "uniqueItems"),
        *("examples", "additionalProperties", "$schema", "$id", "$comment", "deprecated"),
    }
)
"""The supported keywords of a schema. A schema with others is edited as JSON."""
ABSENT: Any = object()
"""The value of a field that is left out. `None` is the value `null`."""


@dataclass(frozen=True, slots=True)
class Field:
    """One widget of a form: the path of its value, its kind, and its schema.

    `required` is whether the form requires it, `in_object` whether its object requires it. `optional` has the
    lengths of `path` that lead to optional objects.
    """

    path: tuple[str, ...]
    kind: FieldKind
    schema: Mapping[str, Any]
    required: bool
    in_object: bool = True
    optional: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        return one_line(str(self.schema.get("title") or " › ".join(self.path) or "Answer"), 120)

    @property
    def name(self) -> str:
        return ".".join(self.path)


def _kind_of(schema: Mapping[str, Any]) -> FieldKind | None:
    """Return the kind of field of a schema that is not an object; None if no widget supports it."""
    if not set(schema) <= _DRAWN_KEYWORDS:
        return None
    if "enum" in schema:
        return "enum"
    match schema.get("type"):
        case "string":
            long = schema.get("maxLength", 0) > 200 or schema.get("format") in ("textarea", "multiline")
            return "text" if long else "string"
        case "number" | "integer" | "boolean" as simple:
            found: FieldKind = simple
            return found
        case "array":
            items = schema.get("items")
            if not isinstance(items, Mapping):
                return "json"
            if "enum" in items:
                return "multi"
            if fields_of(items) and items.get("properties"):
                return "rows"
            return "list" if _kind_of(items) in ("string", "number", "integer") else "json"
        case _:
            return None


def fields_of(
    schema: Mapping[str, Any],
    path: tuple[str, ...] = (),
    needed: bool = True,
    in_object: bool = True,
    optional: tuple[int, ...] = (),
) -> list[Field] | None:
    """Return the fields of a schema in its order, or None if the form does not support it."""
    if schema.get("type") == "object" or "properties" in schema:
        if not set(schema) <= _DRAWN_KEYWORDS or not schema.get("properties"):
            return None
        found: list[Field] = []
        for name, member in schema["properties"].items():
            if not isinstance(member, Mapping):
                return None
            wanted = name in schema.get("required", ())
            way = (*path, name)
            inner = fields_of(
                member, way, needed and wanted, wanted, (*optional, *(() if wanted else (len(way),)))
            )
            if inner is None:
                inner = [Field(way, "json", member, needed and wanted, wanted, optional)]
            found.extend(inner)
        return found
    kind = _kind_of(schema)
    if kind is None:
        return None
    return [Field(path, kind, schema, needed, in_object, tuple(n for n in optional if n < len(path)))]


def value_at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


class FormError(ValueError):
    """An invalid value in a field. `path` is dotted, and empty for the whole form."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def is_inside(path: str, name: str) -> bool:
    return bool(name) and path.startswith(name + ".")


def index_of(values: list[Any], wanted: Any) -> int | None:
    """Return the index of `wanted`, or None. Unlike in Python, 1 and true differ in JSON."""
    for index, value in enumerate(values):
        if value == wanted and isinstance(value, bool) == isinstance(wanted, bool):
            return index
    return None


def read_scalar(kind: str, text: str, path: str) -> Any:
    try:
        if kind == "integer":
            if "_" in text:
                raise ValueError
            return int(text)
        if kind == "number":
            number = float(text)
            if not math.isfinite(number) or "_" in text:
                raise ValueError
            return (
                int(number) if number.is_integer() and "e" not in text.lower() and "." not in text else number
            )
    except (ValueError, OverflowError):
        raise FormError(path, "must be a whole number" if kind == "integer" else "must be a number") from None
    return text
