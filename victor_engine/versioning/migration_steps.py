"""The steps of migrations: their types, their fields and their effect on a state."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Any

from victor_engine import jsonio
from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.definition.model import Node, WorkflowDefinition
from victor_engine.errors import VictorError
from victor_engine.reserved import RECORDS, reserved_in, with_reserved_of

State = dict[str, Any]
Handler = Callable[[State], State]


class MigrationError(VictorError, ValueError):
    """A migration cannot be registered, found or applied; nothing has been changed."""

    code = "migration"
    exit_code = 3


class FunctionFailedError(Exception):
    """The function of a custom step failed in a process of its own. The message is complete."""


class MigrationType(StrEnum):
    """The types of steps. Node and edge steps change the position of a run, field steps its state."""

    ADD_NODE = "add_node"
    REMOVE_NODE = "remove_node"
    RENAME_NODE = "rename_node"
    MODIFY_NODE = "modify_node"
    ADD_EDGE = "add_edge"
    REMOVE_EDGE = "remove_edge"
    CHANGE_START = "change_start"
    CHANGE_START_NODE = "change_start"
    ADD_FIELD = "add_field"
    REMOVE_FIELD = "remove_field"
    RENAME_FIELD = "rename_field"
    CUSTOM = "custom"

    @classmethod
    def _missing_(cls, value: object) -> MigrationType | None:
        return cls.CHANGE_START if value == "change_start_node" else None

    @classmethod
    def named(cls, value: str) -> MigrationType:
        """Return the type of this name. Raises MigrationError, which names the closest type."""
        try:
            return cls(value)
        except ValueError:
            known = [member.value for member in cls]
            raise MigrationError(f"unknown type {value!r}. {did_you_mean(str(value), known)}") from None


@dataclass(frozen=True, slots=True)
class MigrationStep:
    """One step of a migration.

    | type | node_id | old_value | new_value |
    |---|---|---|---|
    | add_field, remove_field | the field (dotted) | | the default |
    | rename_field | | old name | new name |
    | add_node | the node | | its successor: a run at that node executes the new node first |
    | modify_node, change_start | the node | | |
    | remove_node | the node | | the node at which a run continues |
    | rename_node | | old id | new id |
    | add_edge | | from | to |
    | remove_edge | the node at which a run that is cut off continues | from | to |
    | custom | | | a function by `custom_handler` or `package.module:function` |
    """

    type: MigrationType
    node_id: str | None = None
    old_value: Any = None
    new_value: Any = None
    description: str = ""
    custom_handler: Handler | str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", MigrationType.named(self.type))

    @property
    def old_name(self) -> Any:
        """The old name of a rename: `old_value`, or `node_id` if only that is given."""
        return self.old_value or self.node_id

    def apply(self, state: Mapping[str, Any]) -> State:
        """Return the state after this step. The given state does not change. Raises MigrationError if it fails."""
        return apply_step(self, copy.deepcopy(dict(state)))[0]

    def check(self) -> None:
        """Raise MigrationError if a field that the type needs is missing or invalid."""
        kind = self.type
        if kind in (MigrationType.ADD_FIELD, MigrationType.REMOVE_FIELD):
            _check_path(self.node_id, f"{kind}: the field is missing; add node_id (in YAML: field)")
        elif kind is MigrationType.RENAME_FIELD:
            needs = "rename_field needs old_value and new_value (in YAML: from and to)"
            old, new = _check_path(self.old_name, needs), _check_path(self.new_value, needs)
            if new == old or new.startswith(f"{old}.") or old.startswith(f"{new}."):
                raise MigrationError(
                    f"rename_field: {old!r} cannot become {new!r}, because one contains the other"
                )
        elif kind is MigrationType.CUSTOM:
            _check_handler(self.custom_handler)
        elif kind is MigrationType.RENAME_NODE:
            _check_names(
                kind, self.old_name, self.new_value, "old_value and new_value (in YAML: from and to)"
            )
        elif kind in (MigrationType.ADD_EDGE, MigrationType.REMOVE_EDGE):
            _check_names(
                kind, self.old_value, self.new_value, "old_value and new_value (in YAML: from and to)"
            )
        elif kind is not MigrationType.CHANGE_START:
            _check_names(kind, self.node_id or self.old_value, "-", "node_id (in YAML: node)")

    def describe(self) -> str:
        """Return the description of the step, or a text about its fields."""
        if self.description:
            return self.description
        old, new, node = self.old_name, self.new_value, self.node_id
        return {
            MigrationType.ADD_FIELD: f"add field {node} = {new!r}",
            MigrationType.REMOVE_FIELD: f"remove field {node}",
            MigrationType.RENAME_FIELD: f"rename field {old} to {new}",
            MigrationType.CUSTOM: f"custom: {_handler_name(self.custom_handler)}",
            MigrationType.RENAME_NODE: f"rename node {old} to {new}",
            MigrationType.REMOVE_NODE: f"remove node {node or old}"
            + (f", runs at it continue at {new}" if new else ""),
            MigrationType.ADD_NODE: f"add node {node}" + (f" before {new}" if new else ""),
            MigrationType.MODIFY_NODE: f"modify node {node or old}",
            MigrationType.ADD_EDGE: f"add edge {self.old_value} to {new}",
            MigrationType.REMOVE_EDGE: f"remove edge {self.old_value} to {new}",
            MigrationType.CHANGE_START: f"change start {node or new or ''}".strip(),
        }[self.type]

    def to_block(self) -> dict[str, Any]:
        """Return the stored form, which is that of YAML; a custom function becomes its module and name."""
        block: dict[str, Any] = {"type": self.type.value}
        for name, value in (("node_id", self.node_id), ("old_value", self.old_value)):
            if value is not None:
                block[name] = value
        if self.new_value is not None:
            block["new_value"] = self.new_value
        if self.description:
            block["description"] = self.description
        handler = self.custom_handler
        if handler is not None:
            named = handler if isinstance(handler, str) else f"{handler.__module__}:{handler.__qualname__}"
            block["custom_handler"] = named
        return block


def _check_path(path: Any, otherwise: str) -> str:
    if not isinstance(path, str) or not path:
        raise MigrationError(otherwise)
    if not all(path.split(".")):
        raise MigrationError(f"{path!r} is not a field; write a name, or names separated by single dots")
    return path


def _check_names(kind: MigrationType, one: Any, other: Any, needs: str) -> None:
    if not (isinstance(one, str) and one and isinstance(other, str) and other):
        raise MigrationError(f"{kind} needs {needs}")


def _check_handler(handler: Handler | str | None) -> None:
    if not callable(handler) and not (isinstance(handler, str) and all(handler.partition(":"))):
        raise MigrationError(f"custom: {handler!r} is not a function; write package.module:function")


def _handler_name(handler: Handler | str | None) -> str:
    return handler if isinstance(handler, str) else getattr(handler, "__name__", "?")


# --- steps on a state --------------------------------------------------------------------------


def apply_step(
    step: MigrationStep,
    state: State,
    *,
    undoes: bool = False,
    source: WorkflowDefinition | None = None,
    target: WorkflowDefinition | None = None,
) -> tuple[State, tuple[str, ...]]:
    """Return the state after a step, and the reserved names that the step tried to write.

    May change `state`; if it raises MigrationError, the step may be partly done. Reserved names do not change,
    except that the records of a node follow its renaming, as its result does. `source` and `target` are the versions
    before and after the migration, if they are known; they give the key of the result. With `undoes`, the step
    reverts an earlier one, which may have created the objects around its field: objects that become empty are
    removed too.
    """
    step.check()
    if step.type is MigrationType.RENAME_NODE:
        old, new = step.old_name, step.new_value
        _move_records(state, old, new)
        _move_result(state, _output_key(source, old), _output_key(target, new))
        return state, ()
    kept = copy.deepcopy({name: state[name] for name in reserved_in(state)})
    return with_reserved_of(kept, _changed(step, state, undoes))


def _changed(step: MigrationStep, state: State, undoes: bool) -> State:
    if step.type is MigrationType.ADD_FIELD:
        _add(state, str(step.node_id), copy.deepcopy(step.new_value))
    elif step.type is MigrationType.REMOVE_FIELD:
        _pop(state, str(step.node_id), undoes)
    elif step.type is MigrationType.RENAME_FIELD:
        _rename(state, step.old_name, step.new_value, undoes)
    elif step.type is MigrationType.CUSTOM:
        return _custom(step, state)
    return state


_MISSING: Any = object()


def _owners(state: State, path: str) -> list[State]:
    """Return the objects along a dotted path, from the state to the owner of the last part; [] if one is missing."""
    owners: list[State] = [state]
    for part in path.split(".")[:-1]:
        value = owners[-1].get(part)
        if not isinstance(value, dict):
            return []
        owners.append(value)
    return owners


def _add(state: State, path: str, value: Any) -> Any:
    """Set a field if it is missing, and create the objects around it. Return its value."""
    *parents, last = path.split(".")
    owner = state
    for part in parents:
        inner = owner.setdefault(part, {})
        if not isinstance(inner, dict):
            raise MigrationError(f"{path}: {part} is not an object, so a field cannot be added to it")
        owner = inner
    return owner.setdefault(last, value)


def _pop(state: State, path: str, prune: bool) -> Any:
    """Remove a field and return its value. With `prune`, also remove the objects that become empty."""
    owners = _owners(state, path)
    parts = path.split(".")
    if not owners or parts[-1] not in owners[-1]:
        return _MISSING
    value = owners[-1].pop(parts[-1])
    for depth in range(len(owners) - 1, 0, -1):
        if not prune or owners[depth]:
            break
        del owners[depth - 1][parts[depth - 1]]
    return value


def _rename(state: State, old: str, new: str, prune: bool) -> None:
    owners = _owners(state, new)
    if owners and new.split(".")[-1] in owners[-1]:
        if _owners(state, old) and old.split(".")[-1] in _owners(state, old)[-1]:
            raise MigrationError(
                f"rename_field: {old!r} cannot become {new!r}, because {new!r} exists already"
            )
        return
    value = _pop(state, old, prune)
    if value is not _MISSING:
        _add(state, new, value)


def load_handler(reference: Handler | str | None) -> Handler:
    """Return the function of a custom step, which may be given as `package.module:function`."""
    _check_handler(reference)
    if callable(reference):
        return reference
    module, _, name = str(reference).partition(":")
    try:
        function = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise MigrationError(f"custom: {reference} cannot be loaded: {error}") from error
    if not callable(function):
        raise MigrationError(f"custom: {reference} is not a function")
    return function  # type: ignore[no-any-return]


def _custom(step: MigrationStep, state: State) -> State:
    handler = load_handler(step.custom_handler)
    try:
        result = handler(copy.deepcopy(state))
    except FunctionFailedError as error:
        raise MigrationError(str(error)) from error
    except (
        Exception,
        SystemExit,
    ) as error:  # sys.exit() in a function of the workspace must not end the engine
        raise MigrationError(f"{step.describe()}: {type(error).__name__}: {error}") from error
    if not isinstance(result, dict):
        raise MigrationError(
            f"{step.describe()} returned a value of type {type(result).__name__}; it must return the state (a dict)"
        )
    try:
        # The copy through JSON is the value that is stored, and the function has no reference to it.
        found: State = jsonio.loads(jsonio.dumps(result))
    except (TypeError, ValueError, RecursionError) as error:
        raise MigrationError(
            f"{step.describe()} returned a value that JSON cannot represent: {error}"
        ) from error
    return found


def _output_key(definition: WorkflowDefinition | None, node_id: str) -> str:
    """Return the state key of the result of a node; without a definition, the key of a node without `output`."""
    node = None if definition is None else definition.nodes.get(node_id)
    return (node or Node(id=node_id)).output_key


def _move_result(state: State, old: str, new: str) -> None:
    """Move the result of a node to its new key."""
    if old == new or old not in state:
        return
    if new in state:
        raise MigrationError(
            f"rename_node: the result {old!r} cannot become {new!r}, because the state has {new!r} already"
        )
    state[new] = state.pop(old)


def _move_records(state: State, old: str, new: str) -> None:
    """Move the records of a node, its answers and handled errors, to its new id."""
    for name in sorted(RECORDS):
        records = state.get(name)
        if isinstance(records, dict) and old in records and new not in records:
            records[new] = records.pop(old)
