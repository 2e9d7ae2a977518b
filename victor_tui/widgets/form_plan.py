"""The fields of a form for the present value: which fields there are can depend on what was entered.

A part of a schema without a widget becomes a field for JSON. So does a part that exceeds the budget of a form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from victor_engine.inputs import validate
from victor_tui.text import one_line, word
from victor_tui.widgets.form_fields import Field, FieldKind, Key, Path, value_at
from victor_tui.widgets.form_schema import (
    ABSENT,
    MOVED,
    Resolver,
    UnsupportedError,
    index_of,
    is_object,
    is_secret,
    merge,
    single_values,
    split_types,
    variant_title,
)

MAX_FIELDS = 200
MAX_DEPTH = 8
MAX_OPTIONS = 1000
"""Maximum number of options of a list. More texts are typed, with completion."""


@dataclass(frozen=True, slots=True)
class Group:
    """An object whose members are fields. `required` is whether the form requires it."""

    path: Path
    required: bool


@dataclass(frozen=True, slots=True)
class _Spot:
    """The position of a part of the schema."""

    path: Path = ()
    needed: bool = True
    wanted: bool = True
    optional: tuple[int, ...] = ()
    titles: tuple[str, ...] = ()
    default: Any = ABSENT
    refs: frozenset[str] = frozenset()
    secret: bool = False


@dataclass
class Plan:
    """The fields of a schema in its order.

    `value` is the present value, `base` the value that the form started from, `picks` the selected variants.
    """

    resolver: Resolver
    value: Any
    base: Any
    picks: Mapping[Key, int | None]
    fields: list[Field] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)

    def make(self) -> Plan:
        self._add(self.resolver.root, _Spot(refs=frozenset({MOVED})))
        return self

    # --- one part of the schema ----------------------------------------------------------------

    def _add(self, schema: Any, spot: _Spot) -> None:
        used: set[str] = set()
        before = len(self.fields), len(self.groups)
        try:
            found = self.resolver.resolve(schema, value_at(self.value, spot.path), spot.refs, used)
            self._add_resolved(found, replace(spot, refs=spot.refs | used))
        except UnsupportedError as error:
            del self.fields[before[0] :], self.groups[before[1] :]
            plain = schema if isinstance(schema, Mapping) else {}
            self._json({**plain, "default": plain.get("default", ABSENT)}, spot, str(error))

    def _add_resolved(self, schema: dict[str, Any], spot: _Spot) -> None:
        default = spot.default if spot.default is not ABSENT else schema.get("default", ABSENT)
        spot = replace(spot, default=default, secret=spot.secret or is_secret(schema))
        schema, nullable = self._choose(schema, spot)
        if schema.get("readOnly") or "const" in schema:
            self._fixed(schema, spot)
        elif is_object(schema) and (schema.get("properties") or schema.get("required")) and not spot.secret:
            start = value_at(self.base, spot.path)
            picked = any(each.kind == "variant" and each.path == spot.path for each in self.fields)
            if start is not ABSENT and not isinstance(start, Mapping) and not picked:
                raise UnsupportedError("the value is not an object")
            self._members(schema, spot)
        elif not schema.get(_LEFT_OUT):
            self._widget(schema, spot, nullable)

    def _widget(self, schema: dict[str, Any], spot: _Spot, nullable: bool) -> None:
        kind, more = self._kind(schema, spot, nullable)
        if kind is None:
            self._json(schema, spot, str(more.get("reason", "")))
        else:
            self._append(kind, schema, spot, nullable=nullable, **more)

    def _append(self, kind: FieldKind, schema: dict[str, Any], spot: _Spot, **more: Any) -> None:
        more.setdefault("default", spot.default)
        if len(self.fields) >= MAX_FIELDS:
            raise UnsupportedError(f"it has more than {MAX_FIELDS} fields")
        if kind in ("json", "rows", "multi", "list"):
            schema = {
                **schema,
                **({"items": self.resolver.contained(schema["items"])} if "items" in schema else {}),
            }
        self.fields.append(
            Field(
                spot.path,
                kind,
                self.resolver.contained({k: v for k, v in schema.items() if k != "default"}),
                spot.needed,
                spot.wanted,
                tuple(length for length in spot.optional if length < len(spot.path)),
                spot.titles,
                secret=spot.secret,
                **more,
            )
        )

    def _json(self, schema: dict[str, Any], spot: _Spot, reason: str) -> None:
        default = spot.default if spot.default is not ABSENT else schema.get("default", ABSENT)
        self._append(
            "json", {k: v for k, v in schema.items() if v is not ABSENT}, spot, default=default, reason=reason
        )

    def _fixed(self, schema: dict[str, Any], spot: _Spot) -> None:
        """Add a value that is shown and not edited."""
        value = schema["const"] if "const" in schema else value_at(self.base, spot.path)
        shown = "" if schema.get(_PICKED) else "not editable"
        self._append("fixed", schema, spot, default=spot.default if value is ABSENT else value, reason=shown)

    def _members(self, schema: dict[str, Any], spot: _Spot) -> None:
        self.groups.append(Group(spot.path, spot.needed))
        required = schema.get("required", ())
        members = {**schema.get("properties", {})}
        for name in required:  # a member without a schema of its own
            members.setdefault(name, schema.get("additionalProperties", True))
        if len(spot.path) >= MAX_DEPTH:
            raise UnsupportedError("it is nested too deeply for fields")
        if len(self.fields) + len(members) > MAX_FIELDS:
            raise UnsupportedError(f"it has more than {MAX_FIELDS} fields")
        for name, member in members.items():
            if member is False:
                continue
            wanted = name in required
            path = (*spot.path, name)
            title = member.get("title") if isinstance(member, Mapping) else None
            self._add(
                member,
                _Spot(
                    path,
                    spot.needed and wanted,
                    wanted,
                    (*spot.optional, *(() if wanted else (len(path),))),
                    (*spot.titles, one_line(str(title or name), 80)),
                    value_at(spot.default, (name,)),
                    spot.refs,
                    spot.secret,
                ),
            )

    # --- variants ------------------------------------------------------------------------------

    def _choose(self, schema: dict[str, Any], spot: _Spot) -> tuple[dict[str, Any], bool]:
        """Return the schema with the selected variants, and whether the value can be null.

        A list of variants that the user selects from is added as a field of its own.
        """
        nullable = False
        for slot in range(4):
            schema, null = split_types(schema)
            nullable = nullable or null
            word_ = "oneOf" if "oneOf" in schema else "anyOf"
            if word_ not in schema:
                break
            rest = {key: part for key, part in schema.items() if key != word_}
            value = value_at(self.value, spot.path)
            used: set[str] = set()
            options = [self.resolver.resolve(each, value, spot.refs, used) for each in schema[word_]]
            listed = [single_values(option) for option in options]
            if all(each is not None for each in listed) and not is_object(rest):
                pairs = [pair for each in listed if each is not None for pair in each]
                own = rest.get("enum")
                pairs = [p for p in pairs if own is None or index_of(own, p[0]) is not None]
                schema = {
                    **rest,
                    "enum": [value for value, _ in pairs],
                    _LABELS: [label for _, label in pairs],
                }
                continue
            others = [option for option in options if option.get("type") != "null"]
            if len(others) == 1 and len(options) > 1:
                nullable, schema = True, merge(rest, others[0])
                continue
            picked = self._variant(rest, options, spot, slot)
            if picked is None:
                return {_LEFT_OUT: True}, False
            schema = merge(rest, options[picked])
            if "const" in schema or schema.get("type") == "null":
                schema = {"const": schema.get("const"), _PICKED: True}
        if nullable and not self._takes_null(schema, spot):
            picked = self._variant(schema, [{}, {"type": "null", "title": "null"}], spot, 4)
            if picked != 0:
                return ({_LEFT_OUT: True} if picked is None else {"const": None, _PICKED: True}), False
            nullable = False
        return schema, nullable

    def _takes_null(self, schema: dict[str, Any], spot: _Spot) -> bool:
        """Return whether the widget of a schema can show null itself."""
        if is_object(schema) and schema.get("properties"):
            return False
        return "enum" in schema or schema.get("type") in ("string", "number", "integer", "boolean", None)

    def _variant(
        self, rest: dict[str, Any], options: list[dict[str, Any]], spot: _Spot, slot: int
    ) -> int | None:
        """Add the list of variants, and return the selected one. An optional value can be left out."""
        optional = bool(spot.path) and not spot.wanted and not rest.get("properties")
        key: Key = (spot.path, "variant", slot)
        picked = self.picks.get(key, -1)
        if picked is not None and not 0 <= picked < len(options):
            start = value_at(self.base, spot.path)
            start = spot.default if start is ABSENT else start
            fitting = [number for number, option in enumerate(options) if self._fits(rest, option, start)]
            picked = fitting[0] if fitting else None if optional and start is ABSENT else 0
        elif picked is None and not optional:
            picked = 0
        titles = [one_line(variant_title(option, number), 80) for number, option in enumerate(options, 1)]
        if titles[0] == "variant 1":
            titles[0] = one_line(variant_title(rest, 1), 80)
        self._append(
            "variant",
            {key: rest[key] for key in ("title", "description") if key in rest},
            replace(spot, needed=not optional),
            options=tuple(range(len(options))),
            labels=tuple(_distinct(titles)),
            default=picked,
            slot=slot,
        )
        return picked

    def _fits(self, rest: dict[str, Any], option: dict[str, Any], value: Any) -> bool:
        if value is ABSENT or value is None:
            return value is None and option.get("type") == "null"
        return not validate(self.resolver.contained(merge(rest, option)), value)

    # --- kinds ---------------------------------------------------------------------------------

    def _kind(
        self, schema: dict[str, Any], spot: _Spot, nullable: bool
    ) -> tuple[FieldKind | None, dict[str, Any]]:
        """Return the kind of a schema that is not an object with members; None if no widget supports it."""
        start = value_at(self.base, spot.path)
        if spot.secret:
            kind = schema.get("type")
            return (kind if kind in ("string", "number", "integer") and "enum" not in schema else "json"), {}
        if "enum" in schema:
            return self._enum(schema, start, nullable)
        match schema.get("type"):
            case "string":
                if start is not ABSENT and not isinstance(start, str) and not (nullable and start is None):
                    return None, {}
                several = isinstance(start, str) and "\n" in start
                long = schema.get("maxLength", 0) > 200 or schema.get("format") in ("textarea", "multiline")
                return ("text" if long or several else "string"), {}
            case "number" | "integer" as simple:
                found: FieldKind = simple
                return found, {}
            case "boolean" if nullable:
                return "enum", {"options": (True, False, None), "labels": ("yes", "no", "null")}
            case "boolean":
                return ("boolean" if start is ABSENT or isinstance(start, bool) else None), {}
            case "null":
                return "fixed", {"default": None}
            case "array":
                return self._array(schema, spot, start)
            case "object":
                return None, {"reason": "its members have no names in the schema"}
        return None, {}

    def _enum(
        self, schema: dict[str, Any], start: Any, nullable: bool
    ) -> tuple[FieldKind | None, dict[str, Any]]:
        options = list(schema["enum"])
        labels = list(schema.get(_LABELS) or map(word, options))
        if nullable and index_of(options, None) is None:
            options.append(None)
            labels.append("null")
        if start is not ABSENT and index_of(options, start) is None:
            return None, {}
        if len(options) > MAX_OPTIONS:
            if all(isinstance(option, str) for option in options):
                return "string", {"options": tuple(options)}
            return None, {"reason": f"it has more than {MAX_OPTIONS} options"}
        return "enum", {"options": tuple(options), "labels": tuple(one_line(label, 200) for label in labels)}

    def _array(
        self, schema: dict[str, Any], spot: _Spot, start: Any
    ) -> tuple[FieldKind | None, dict[str, Any]]:
        items = schema.get("items")
        if not isinstance(items, Mapping) or "prefixItems" in schema:
            return None, {"reason": "its entries have no common schema"}
        used: set[str] = set()
        inner, null = split_types(self.resolver.resolve(items, ABSENT, frozenset(), used))
        entries = start if isinstance(start, list) else []
        if start is not ABSENT and not isinstance(start, list):
            return None, {}
        variants = inner.get("oneOf", inner.get("anyOf"))
        options = [self.resolver.resolve(each, ABSENT, frozenset(), used) for each in variants or ()]
        listed = [single_values(option) for option in options]
        if variants and all(each is not None for each in listed):
            pairs = [pair for each in listed if each is not None for pair in each]
            inner = {"enum": [value for value, _ in pairs], _LABELS: [label for _, label in pairs]}
            variants = None
        if is_secret(inner):
            return "json", {}
        if "enum" in inner and not variants:
            values = inner["enum"]
            places = [index_of(values, entry) for entry in entries]
            if None in places or len(set(places)) < len(places) or len(values) > MAX_OPTIONS:
                return None, {}
            labels = tuple(one_line(label, 200) for label in inner.get(_LABELS) or map(word, values))
            return "multi", {"options": tuple(values), "labels": labels}
        if is_object(inner) and (inner.get("properties") or variants):
            return "rows", {}
        if variants and all(is_object(option) and option.get("properties") for option in options):
            return "rows", {}
        kind = inner.get("type")
        if kind in ("string", "number", "integer") and not null and not variants:
            lines = [entry for entry in entries if not _one_per_line(kind, entry)]
            return ("list" if not lines else None), {}
        return None, {}


_LABELS = "x-labels"
"""The labels of the values of `enum`, which `Plan` puts into a schema. Authors' keys `x-*` are removed before."""
_PICKED = "x-picked"
"""Marks a constant that the list of variants shows already."""
_LEFT_OUT = "x-left-out"
"""Marks a value whose variant is not selected."""


def _one_per_line(kind: str, entry: Any) -> bool:
    if kind == "string":
        return isinstance(entry, str) and bool(entry) and entry == entry.strip() and "\n" not in entry
    return isinstance(entry, int | float) and not isinstance(entry, bool)


def _distinct(titles: list[str]) -> list[str]:
    """Return titles in which repeated ones have a number."""
    return [
        f"{title} ({number})" if titles.count(title) > 1 else title for number, title in enumerate(titles, 1)
    ]
