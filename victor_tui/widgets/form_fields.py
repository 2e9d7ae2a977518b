"""The fields of a form: what a JSON Schema asks for, how each is drawn, and how its text is read."""

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
"""What a schema may say and still be drawn; anything else goes to the editor."""
ABSENT: Any = object()
"""In place of a value that is left out; `None` is a value, `null`."""


@dataclass(frozen=True, slots=True)
class Field:
    """One widget of a form: where its value goes, how it is drawn, what its schema says.

    `required` is whether the form needs it, `in_object` whether the object around it does. `optional`
    are the lengths of `path` at which an object stands that may be left out.
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
    """How a member that is no object is drawn; None for what no widget can hold."""
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
    """The fields of a schema in its own order, or None where the form cannot draw it."""
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


class FormFault(ValueError):
    """A field holds what cannot be read as its type. `path` is dotted, empty for the whole."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def is_inside(path: str, name: str) -> bool:
    return bool(name) and path.startswith(name + ".")


def place_of(values: list[Any], wanted: Any) -> int | None:
    """Where `wanted` stands; unlike Python, JSON tells 1 from true."""
    for place, value in enumerate(values):
        if value == wanted and isinstance(value, bool) == isinstance(wanted, bool):
            return place
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
        raise FormFault(path, "must be a whole number" if kind == "integer" else "must be a number") from None
    return text
