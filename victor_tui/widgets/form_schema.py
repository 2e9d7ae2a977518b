"""Schemas as forms need them: references followed, `allOf` and conditions merged, variants listed.

A condition (`if`, `dependentRequired`, `dependentSchemas`) is evaluated on the present value. The result only decides
which fields there are: the answer is validated against the schema as it was written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from victor_engine.inputs import validate
from victor_tui.text import one_line, word

ABSENT: Any = object()
"""The value of a field that is left out. `None` is the value `null`."""
Schema = Mapping[str, Any]

MAX_BYTES = 200_000
"""Maximum size of a schema that is drawn as a form."""
MAX_STEPS = 4000
"""Maximum number of schemas that one form combines: references can repeat each other without end."""

_SINGLE = frozenset(
    {"items", "contains", "not", "if", "then", "else", "additionalProperties", "propertyNames"}
    | {"unevaluatedItems", "unevaluatedProperties"}
)
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_APPLIED = frozenset(
    {"$ref", "allOf", "if", "then", "else", "dependentSchemas", "dependentRequired"}
    | {"$defs", "definitions", "$schema", "$id", "$comment"}
)
"""The keywords that `Resolver.resolve` replaces by their effect, or that have none."""
_DYNAMIC = frozenset({"$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor"})
_LARGEST = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
_SMALLEST = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})
_FIRST = frozenset({"title", "description", "default", "examples", "deprecated", "contentMediaType"})
_TYPE_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "yes or no",
    "array": "list",
    "object": "object",
    "null": "null",
}


class UnsupportedError(Exception):
    """A part of a schema without a widget. The text says why."""


class Resolver:
    """The combination of the parts of one schema.

    `contained` returns a part as a schema of its own: its references lead to a copy of the root in its `$defs`.
    """

    def __init__(self, schema: Schema) -> None:
        self.steps = 0
        if len(json.dumps(schema, default=str)) > MAX_BYTES:
            raise UnsupportedError(f"the schema is larger than {MAX_BYTES // 1000} kB")
        self.root: dict[str, Any] = _moved(schema)
        self.root.pop("$id", None)

    def contained(self, schema: Any) -> dict[str, Any]:
        """Return a part of the root, with moved references, as a complete schema."""
        if not isinstance(schema, Mapping):
            return {} if schema is not False else {"not": {}}
        if '"$ref"' not in json.dumps(schema, default=str):
            return dict(schema)
        return {**schema, "$defs": {**schema.get("$defs", {}), "root": self.root}}

    def resolve(self, schema: Any, value: Any, refs: frozenset[str], used: set[str]) -> dict[str, Any]:
        """Return one schema without references, `allOf` and conditions, for the present `value`.

        `refs` are the references that led here; those that are followed are added to `used`. Raise UnsupportedError
        for a part that a form cannot show.
        """
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise UnsupportedError("the schema refers to too many parts")
        if not isinstance(schema, Mapping):
            return {} if schema is not False else {"not": {}}
        if unknown := sorted(_DYNAMIC & set(schema)):
            raise UnsupportedError(f"{unknown[0]} has no field")
        found = {
            key: part for key, part in schema.items() if key not in _APPLIED and not key.startswith("x-")
        }
        if "$ref" in schema:
            reference = str(schema["$ref"])
            if reference in refs:
                raise UnsupportedError("the schema refers to itself")
            used.add(reference)
            target = self._lookup(reference)
            found = merge(found, self.resolve(target, value, refs | {reference}, used))
        for part in schema.get("allOf", ()):
            found = merge(found, self.resolve(part, value, refs, used))
        for branch in self._branches(schema, value):
            found = merge(found, self.resolve(branch, value, refs, used))
        return found

    def _branches(self, schema: Schema, value: Any) -> list[Any]:
        """Return the schemas that conditions add for `value`."""
        found: list[Any] = []
        if "if" in schema and ("then" in schema or "else" in schema):
            test = schema["if"]
            if value is ABSENT and isinstance(test, Mapping) and {"properties", "required"} & set(test):
                value = {}
            if value is not ABSENT:
                holds = not validate(self.contained(test), value)
                found.append(schema.get("then" if holds else "else", {}))
        present = value if isinstance(value, Mapping) else {}
        found += [part for name, part in schema.get("dependentSchemas", {}).items() if name in present]
        for name, needed in schema.get("dependentRequired", {}).items():
            if name in present:
                found.append({"required": list(needed)})
        return found

    def _lookup(self, reference: str) -> Any:
        where = reference.removeprefix(MOVED)
        if where == reference or (where and not where.startswith("/")):
            raise UnsupportedError(f"the reference {one_line(reference, 80)} has no field")
        return lookup(self.root, "#" + where)


def lookup(root: Any, reference: str) -> Any:
    """Return the part of `root` at a local reference, or None."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    for step in reference.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        try:
            root = root[int(step)] if isinstance(root, list) else root[step]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return root


MOVED = "#/$defs/root"
"""Where references to the root of a schema lead after `_moved`."""


def _moved(schema: Any) -> Any:
    """Return a schema whose local references lead into `$defs/root`. Values such as `default` stay."""
    if not isinstance(schema, Mapping):
        return schema
    found: dict[str, Any] = {}
    for key, part in schema.items():
        if key == "$ref" and isinstance(part, str) and part.startswith("#"):
            found[key] = MOVED + part[1:]
        elif key in _SINGLE:
            found[key] = _moved(part)
        elif key in _LISTS and isinstance(part, list):
            found[key] = [_moved(each) for each in part]
        elif key in _MAPS and isinstance(part, Mapping):
            found[key] = {name: _moved(each) for name, each in part.items()}
        else:
            found[key] = part
    return found


# --- merging -----------------------------------------------------------------------------------


def merge(mine: dict[str, Any], theirs: Schema) -> dict[str, Any]:
    """Return one schema for a value that must match both. Words such as the title are those of the first.

    Parts that cannot be combined are kept under `allOf`: they are validated, but change no field.
    """
    found, rest = dict(mine), {}
    for key, part in theirs.items():
        if key not in found:
            found[key] = part
            continue
        own = found[key]
        combined = part if key == "allOf" else _combined(key, own, part)
        if key == "allOf":
            found[key] = [*own, *part]
        elif combined is not None:
            found[key] = combined
        elif own != part:
            rest[key] = part
    if rest:
        found["allOf"] = [*found.get("allOf", ()), rest]
    return found


def _combined(key: str, own: Any, part: Any) -> Any:
    """Return the value of one keyword for both schemas; None if they cannot be combined."""
    if key in _FIRST:
        return own
    if key in ("readOnly", "writeOnly"):
        return own or part
    if key in _LARGEST:
        return max(own, part)
    if key in _SMALLEST:
        return min(own, part)
    if key == "required":
        return [*own, *(name for name in part if name not in own)]
    if key == "properties":
        both = {name: _both(own[name], inner) if name in own else inner for name, inner in part.items()}
        return {**own, **both}
    if key == "items":
        return _both(own, part)
    if key == "type":
        return _common_types(_listed(own), _listed(part))
    if key == "enum":
        return [item for item in own if index_of(part, item) is not None]
    return None


def _both(own: Any, part: Any) -> Any:
    if own is False or part is False:
        return False
    return own if own == part else {"allOf": [own, part]}


def _common_types(own: list[str], part: list[str]) -> Any:
    common = [name for name in own if name in part or (name == "integer" and "number" in part)]
    if "number" in own and "integer" in part and "integer" not in common:
        common.append("integer")
    return common[0] if len(common) == 1 else common or None


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def index_of(values: list[Any] | tuple[Any, ...], wanted: Any) -> int | None:
    """Return the index of `wanted`, or None. Unlike in Python, 1 and true differ in JSON."""
    for index, value in enumerate(values):
        if value == wanted and isinstance(value, bool) == isinstance(wanted, bool):
            return index
    return None


# --- variants ----------------------------------------------------------------------------------


def split_types(schema: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return a schema without `null` among its types, and whether it had it. Several types become variants."""
    kinds = schema.get("type")
    if not isinstance(kinds, list):
        return schema, False
    others = [kind for kind in kinds if kind != "null"]
    found = {**schema, "type": others[0]} if len(others) == 1 else {**schema}
    if len(others) > 1:
        del found["type"]
        options = [{"type": kind} for kind in others]
        if "oneOf" in found or "anyOf" in found:
            found["allOf"] = [*found.get("allOf", ()), {"type": others}]
        else:
            found["anyOf"] = options
    elif not others:
        found["type"] = "null"
    return found, "null" in kinds and bool(others)


def single_values(option: Schema) -> list[tuple[Any, str]] | None:
    """Return the values of an option that only lists values, with their labels; None for another option."""
    if option.get("type") == "null":
        return [(None, str(option.get("title") or "null"))]
    if "const" in option:
        return [(option["const"], _labelled(option, option["const"]))]
    if "enum" in option and not {"oneOf", "anyOf", "properties"} & set(option):
        return [(value, word(value)) for value in option["enum"]]
    return None


def _labelled(option: Schema, value: Any) -> str:
    title = str(option.get("title") or word(value))
    description = option.get("description")
    return f"{title} — {description}" if description else title


def variant_title(option: Schema, number: int) -> str:
    """Return the label of a variant: its title, its constant member, its required members, or its type."""
    if option.get("title"):
        return str(option["title"])
    if "const" in option:
        return word(option["const"])
    members = option.get("properties", {})
    for member in members.values():
        if isinstance(member, Mapping) and "const" in member:
            return word(member["const"])
    if option.get("required"):
        return ", ".join(map(str, option["required"]))
    if members:
        return ", ".join(members)
    kind = option.get("type")
    if isinstance(kind, str):
        return str(option.get("format") or _TYPE_WORDS.get(kind, kind))
    return f"variant {number}"


def is_object(schema: Schema) -> bool:
    return schema.get("type") == "object" or ("type" not in schema and "properties" in schema)


def is_secret(schema: Schema) -> bool:
    """Return whether a value is masked and never kept in a draft."""
    return bool(schema.get("writeOnly")) or schema.get("format") == "password"
