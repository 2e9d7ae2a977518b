"""The content of a form: the state of each field, the fields for this state, and the value that results."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy, deepcopy
from typing import Any

from victor_engine.inputs import validate
from victor_tui.widgets.form_fields import (
    TEXT_KINDS,
    Field,
    FormError,
    Key,
    Path,
    is_inside,
    json_of,
    read_json,
    read_state,
    start_of,
    value_at,
)
from victor_tui.widgets.form_plan import Group, Plan
from victor_tui.widgets.form_schema import ABSENT, Resolver, Schema, UnsupportedError, index_of
from victor_tui.widgets.form_secrets import masked, mentions_secret, unmasked

ROUNDS = 6
"""Maximum number of times that the fields change each other until the next key."""


class FormModel:
    """The fields of `schema` for a value that is entered, starting from `initial`.

    `put` changes the state of a field, and `update` finds the fields for the new state. The state of a field that
    goes stays, so that nothing is lost when it comes back.
    """

    def __init__(self, schema: Schema, initial: Any = None) -> None:
        self.schema = schema
        self._base: Any = ABSENT if initial is None else deepcopy(initial)
        self._fresh = True
        self._states: dict[Key, Any] = {}
        self._start: dict[Key, Any] = {}
        self._known: set[Path] = set()
        self._groups: dict[Path, bool] = {}
        self.fields: list[Field] = []
        try:
            self._resolver: Resolver | None = Resolver(schema)
        except UnsupportedError as error:
            self._resolver = None
            self._whole = Field((), "json", schema, True, reason=str(error))
        self.update()

    @property
    def drawable(self) -> bool:
        """Whether the form has fields, instead of one JSON text."""
        return not (len(self.fields) == 1 and self.fields[0].kind == "json" and not self.fields[0].path)

    # --- state ---------------------------------------------------------------------------------

    def state(self, field: Field) -> Any:
        return self._states[field.key]

    def put(self, field: Field, state: Any) -> None:
        self._states[field.key] = state

    def update(self) -> bool:
        """Find the fields for the present state. Return whether they changed."""
        changed = False
        for _ in range(ROUNDS):
            fields, groups = self._planned()
            if fields == self.fields:
                break
            changed = True
            self.fields = fields
            self._groups.update({group.path: group.required for group in groups})
            for field in fields:
                self._known.add(field.path)
                if field.kind == "variant":
                    self._states[field.key] = field.default
                    continue
                start = start_of(field, self._base_at(field.path), fresh=self._fresh)
                self._start.setdefault(field.key, start)
                held = self._states.setdefault(field.key, start)
                if not _fits(field, held):
                    self._states[field.key] = start
        return changed

    def _planned(self) -> tuple[list[Field], list[Group]]:
        if self._resolver is None:
            return [self._whole], []
        self._resolver.steps = 0
        picks = {key: state for key, state in self._states.items() if key[1] == "variant"}
        base = ABSENT if self._base is ABSENT else self._base
        plan = Plan(self._resolver, self.present(), base, picks).make()
        return plan.fields, plan.groups

    def _base_at(self, path: Path) -> Any:
        return value_at(self._base, path)

    # --- values --------------------------------------------------------------------------------

    def value_of(self, field: Field) -> Any:
        """Return the value of a field, or ABSENT. Raise FormError for an invalid text."""
        null = self._base_at(field.path) is None and not self._fresh
        state = self._states.get(field.key)
        if state is None and field.kind in TEXT_KINDS:
            state = ""
        return read_state(field, state, null=null)

    def present(self) -> Any:
        """Return the value as far as it is valid, for conditions."""
        if not self.fields:
            return self._base
        return self._assembled(lambda field, text: ABSENT)

    def text_value(self) -> Any:
        """Return the value for JSON. The text of an invalid field stands for its value."""
        return self._assembled(lambda field, text: text)

    def read(self) -> Any:
        """Return the value of the form. Raise FormError for an invalid field.

        Empty optional fields are left out. So are incomplete optional objects that the user did not change: an
        unticked check box alone does not require the rest.
        """

        def fail(field: Field, text: str) -> Any:
            self.value_of(field)

        value = self._assembled(fail)
        return None if value is ABSENT else value

    def _assembled(self, invalid: Any) -> Any:
        values: dict[Path, Any] = {}
        for field in self.fields:
            if field.kind == "variant":
                continue
            try:
                values[field.path] = self.value_of(field)
            except FormError:
                values[field.path] = invalid(field, self._states[field.key])
        if () in values:
            return values[()]
        if not any(field.path for field in self.fields):
            return ABSENT
        left_out = self._left_out(values)
        present = self._present_groups()
        found = _extras(self._base, (), self._known, present)
        for path in sorted(present, key=len):
            if self._groups.get(path):
                _target(found, path)
        for path, value in values.items():
            if value is not ABSENT and not any(path[: len(way)] == way for way in left_out):
                _target(found, path[:-1])[path[-1]] = value
        return found

    def _present_groups(self) -> set[Path]:
        """Return the objects whose members are fields now."""
        return {field.path[:length] for field in self.fields for length in range(len(field.path))}

    def _left_out(self, values: Mapping[Path, Any]) -> list[Path]:
        """Return the paths of optional objects that are incomplete and unchanged."""
        ways = {field.path[:length] for field in self.fields for length in field.optional}
        left: list[Path] = []
        for way in sorted(ways, key=len):
            inside = [
                field for field in self.fields if field.path[: len(way)] == way and field.kind != "variant"
            ]
            edited = [field for field in inside if field.kind != "fixed"]
            touched = any(self._states[field.key] != self._start.get(field.key) for field in edited)
            lacks = any(
                values[field.path] is ABSENT
                and field.in_object
                and all(length <= len(way) for length in field.optional)
                for field in inside
            )
            if not touched and value_at(self._base, way) is ABSENT and (lacks or not edited):
                left.append(way)
        return left

    # --- errors --------------------------------------------------------------------------------

    def field_errors(self, field: Field) -> dict[str, str]:
        """Return the errors of one field. An empty field has none."""
        try:
            value = self.value_of(field)
        except FormError as error:
            return {"": str(error)}
        return {} if value is ABSENT or value == [] else validate(field.schema, value)

    def errors(self, value: Any) -> dict[str, str]:
        """Return the errors of the answer by path: those of fields, and rules of whole objects.

        Variants that do not match are explained by the fields of the selected one.
        """
        whole = validate(self.schema, value)
        if not whole:
            return {}
        inner: dict[str, str] = {}
        for field in self.fields:
            if field.kind in ("variant", "fixed"):
                continue
            if value_at(value, field.path) is ABSENT:
                if field.required:
                    inner[field.name] = "is required"
                continue
            for path, text in self.field_errors(field).items():
                inner[".".join(part for part in (field.name, path) if part)] = text
        outer = {
            path: text
            for path, text in whole.items()
            if not (
                text.startswith("matches none")
                and any(p == path or not path or is_inside(p, path) for p in inner)
            )
        }
        inner_texts = set(inner.values())
        return {
            **inner,
            **{path: text for path, text in outer.items() if path not in inner and text not in inner_texts},
        }

    # --- JSON and drafts -----------------------------------------------------------------------

    def json(self) -> tuple[str, dict[str, Any]]:
        """Return the value as JSON text in which masks stand for secrets, and the secrets by their masks."""
        value = self.text_value()
        if value is ABSENT:
            return "", {}
        secrets: dict[str, Any] = {}
        shown = deepcopy(value)
        for field in self.fields:
            inner = value_at(shown, field.path)
            if inner is ABSENT or field.kind == "variant" or not has_secret(field):
                continue
            hidden = masked({"writeOnly": True} if field.secret else field.schema, inner, secrets)
            if not field.path:
                shown = hidden
            else:
                _target(shown, field.path[:-1])[field.path[-1]] = hidden
        return json_of(shown), secrets

    def load(self, text: str, secrets: Mapping[str, Any]) -> None:
        """Take the value of a JSON text over into the fields. Raise FormError if the form cannot show it."""
        value = unmasked(read_json(text, ""), secrets) if text.strip() else ABSENT
        other = copy(self)
        other._base, other._fresh = value, False
        other._states, other._start, other._groups = {}, {}, {}
        other._known, other.fields = set(), []
        other.update()
        where = None if value is ABSENT else _difference(value, other.text_value(), ())
        if self.drawable and not other.drawable:
            where = ()
        if where is not None:
            raise FormError(".".join(where), "has no field for this value; correct it here, or send the JSON")
        hidden = {key: state for key, state in self._states.items() if key[1] != "variant"}
        other._states = {**hidden, **other._states}
        self.__dict__.update(other.__dict__)

    def draft(self) -> dict[str, Any]:
        """Return the state of all fields except secrets, for a draft."""
        secret = {field.key for field in self.fields if has_secret(field)}
        states = [
            [list(path), kind, slot, list(state) if isinstance(state, tuple) else state]
            for (path, kind, slot), state in sorted(self._states.items(), key=lambda item: item[0])
            if (path, kind, slot) not in secret and (path, kind, slot) in self._shown_keys()
        ]
        found: dict[str, Any] = {"states": states}
        if not self._fresh and self._base is not ABSENT and not secret:
            found["base"] = self._base
        return found

    def _shown_keys(self) -> set[Key]:
        present = {field.key for field in self.fields}
        return present | {key for key in self._states if key[1] in ("string", "text") and self._states[key]}

    def restore(self, draft: Mapping[str, Any]) -> None:
        """Restore the state of the fields. Parts that do not fit the schema any more are ignored."""
        if "base" in draft:
            self._base, self._fresh = deepcopy(draft["base"]), False
        for each in draft.get("states", ()):
            path, kind, slot, state = each
            key: Key = (tuple(map(str, path)), str(kind), int(slot))
            self._states[key] = tuple(state) if kind == "enum" and state is not None else state
        self.fields = []
        self.update()


def _fits(field: Field, state: Any) -> bool:
    """Return whether a state, which can come from a draft, is one of the widget of a field."""
    match field.kind:
        case "boolean":
            return state is None or isinstance(state, bool)
        case "enum":
            return state is None or index_of(field.options, state[0]) is not None
        case "multi":
            return isinstance(state, list) and all(
                index_of(field.options, each) is not None for each in state
            )
        case "rows":
            return isinstance(state, list)
        case "fixed":
            return True
    return isinstance(state, str)


def has_secret(field: Field) -> bool:
    """Return whether a field holds a secret, or an entry or a part that can hold one."""
    return field.secret or mentions_secret(field.schema)


def _target(root: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the object at a path; objects on the way are added."""
    for name in path:
        inner = root.get(name)
        if not isinstance(inner, dict):
            inner = root[name] = {}
        root = inner
    return root


def _extras(value: Any, path: Path, known: set[Path], groups: set[Path]) -> dict[str, Any]:
    """Return the members of `value` for which no field exists."""
    found: dict[str, Any] = {}
    for name, inner in value.items() if isinstance(value, Mapping) else ():
        way = (*path, name)
        if way in groups and isinstance(inner, Mapping):
            if more := _extras(inner, way, known, groups):
                found[name] = more
        elif way not in known and way not in groups:
            found[name] = deepcopy(inner)
    return found


def _difference(left: Any, right: Any, path: Path) -> Path | None:
    """Return the first path at which two JSON values differ; None if they are the same."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for name in {**left, **right}:
            if name not in left or name not in right:
                return (*path, name)
            if (found := _difference(left[name], right[name], (*path, name))) is not None:
                return found
        return None
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, pair in enumerate(zip(left, right, strict=True)):
            if (found := _difference(*pair, (*path, str(number)))) is not None:
                return found
        return None
    same = left == right and isinstance(left, bool) == isinstance(right, bool)
    return None if same else path
