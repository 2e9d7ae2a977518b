"""The fields of a form for a JSON Schema: their kinds, their texts, and the parsing of the texts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from victor_tui.text import one_line
from victor_tui.widgets.form_schema import ABSENT, index_of

FieldKind = Literal[
    "string",
    "text",
    "number",
    "integer",
    "boolean",
    "enum",
    "multi",
    "list",
    "rows",
    "json",
    "variant",
    "fixed",
]
Path = tuple[str, ...]
Key = tuple[Path, str, int]
"""A field in the life of a form: its path, its kind, and its number among the variants of one value."""
TEXT_KINDS = frozenset({"string", "text", "number", "integer", "list", "json"})
"""The kinds that are typed."""


@dataclass(frozen=True, slots=True)
class Field:
    """One widget of a form: the path of its value, its kind, and its schema.

    `required` is whether the form requires it, `in_object` whether its object requires it. `optional` has the
    lengths of `path` that lead to optional objects. `options` and `labels` are those of a list. `default` is the
    initial value. `reason` says why the field is JSON, or not editable; a constant without it is not shown.
    """

    path: Path
    kind: FieldKind
    schema: Mapping[str, Any]
    required: bool
    in_object: bool = True
    optional: tuple[int, ...] = ()
    titles: tuple[str, ...] = ()
    options: tuple[Any, ...] = ()
    labels: tuple[str, ...] = ()
    default: Any = ABSENT
    nullable: bool = False
    secret: bool = False
    slot: int = 0
    reason: str = ""

    @property
    def title(self) -> str:
        return one_line(" › ".join(self.titles) or "Answer", 120)

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def key(self) -> Key:
        return self.path, self.kind, self.slot

    @property
    def note(self) -> str:
        """The description, with the reason for a field without a widget."""
        parts = [str(self.schema.get("description") or "") if self.path else ""]
        if self.reason and self.kind == "json":
            parts.append(f"As JSON: {self.reason}.")
        return one_line(" ".join(part for part in parts if part), 400)


def value_at(value: Any, path: Path) -> Any:
    """Return the value at a path, or ABSENT."""
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return ABSENT
        value = value[name]
    return value


class FormError(ValueError):
    """An invalid value in a field. `path` is dotted, and empty for the whole form."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def is_inside(path: str, name: str) -> bool:
    return bool(name) and path.startswith(name + ".")


def read_scalar(kind: str, text: str, path: str) -> Any:
    """Return the number in a text, or the text. Raise FormError if it is not a number."""
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


def read_json(text: str, path: str) -> Any:
    """Return the value of a JSON text. Raise FormError, with line and column, if it is not JSON."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise FormError(path, f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError):
        raise FormError(path, "is nested too deeply, or has a number that is too long") from None


def _refuse(name: str) -> Any:
    raise ValueError(name)


def json_of(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


# --- the state of a widget ----------------------------------------------------------------------


def start_of(field: Field, value: Any, *, fresh: bool) -> Any:
    """Return the state of a widget for `value`, which can be ABSENT.

    It is a text for a typed kind, the value in a tuple or None for `enum`, a list for `multi` and `rows`, and a
    truth value for `boolean`: None, if the value is left out and the form is not `fresh`.
    """
    if value is ABSENT and fresh:
        value = field.default
    match field.kind:
        case "boolean":
            return bool(value) if value is not ABSENT else (False if fresh else None)
        case "enum":
            return None if value is ABSENT or index_of(field.options, value) is None else (value,)
        case "multi" | "rows":
            return list(value) if isinstance(value, list) else []
        case "list":
            return "\n".join(map(str, value)) if isinstance(value, list) else ""
        case "json":
            return "" if value is ABSENT else json_of(value)
        case "variant" | "fixed":
            return None
    if value is ABSENT or value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def read_state(field: Field, state: Any, *, null: bool = False) -> Any:
    """Return the value of a widget, or ABSENT. Raise FormError for an invalid text.

    `null` is whether an empty text is null although the field is optional.
    """
    match field.kind:
        case "boolean":
            return ABSENT if state is None else state
        case "enum":
            return ABSENT if state is None else state[0]
        case "multi" | "rows":
            return list(state) if state or field.required else ABSENT
        case "list":
            inner = str(field.schema["items"].get("type"))
            rows = [
                read_scalar(inner, line.strip(), field.name) for line in state.split("\n") if line.strip()
            ]
            return rows if rows or field.required else ABSENT
        case "fixed":
            return field.default
        case "variant":
            return ABSENT
    if not state.strip():
        return None if field.nullable and (field.required or null) else ABSENT
    if field.kind == "json":
        return read_json(state, field.name)
    return read_scalar(field.kind, state, field.name)
