"""Migrations: steps that move a run's state, and its position, from one version to another."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib import import_module
from typing import Any

from victor_engine import jsonio
from victor_engine.config.places import did_you_mean
from victor_engine.errors import DefinitionError, UntrustedError, VictorError
from victor_engine.versioning.semver import WorkflowVersion

State = dict[str, Any]


class MigrationError(VictorError, ValueError):
    """A migration cannot be registered, found or applied; nothing has been changed."""

    code = "migration"
    exit_code = 3


class MigrationType(StrEnum):
    """What a step does. Node and edge steps speak of where a run stands; field steps of its state."""

    ADD_NODE = "add_node"
    REMOVE_NODE = "remove_node"
    RENAME_NODE = "rename_node"
    MODIFY_NODE = "modify_node"
    ADD_EDGE = "add_edge"
    REMOVE_EDGE = "remove_edge"
    CHANGE_START = "change_start"
    ADD_FIELD = "add_field"
    REMOVE_FIELD = "remove_field"
    RENAME_FIELD = "rename_field"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationStep:
    """One step.

    | type | node_id | old_value | new_value |
    |---|---|---|---|
    | add_field, remove_field | the field (dotted) | | the default |
    | rename_field | | old name | new name |
    | add_node | the node | | the node that it comes before: a run that stands there does it first |
    | modify_node, change_start | the node | | |
    | remove_node | the node | | where a run that stands on it goes on |
    | rename_node | | old id | new id |
    | add_edge | | from | to |
    | remove_edge | where a run that came over it goes on | from | to |
    | custom | | | a function by `custom_handler` or `package.module:function` |
    """

    type: MigrationType
    node_id: str | None = None
    old_value: Any = None
    new_value: Any = None
    custom_handler: Callable[[State], State] | str | None = None
    description: str = ""

    @property
    def field(self) -> str:
        name = self.node_id or (self.new_value if self.type is not MigrationType.ADD_FIELD else None)
        if not isinstance(name, str) or not name:
            raise MigrationError(f"{self.type.value}: the field is not named; give node_id (in YAML: field)")
        return name

    def describe(self) -> str:
        """The step in plain words."""
        if self.description:
            return self.description
        return {
            MigrationType.ADD_FIELD: f"add field {self.node_id} = {self.new_value!r}",
            MigrationType.REMOVE_FIELD: f"remove field {self.node_id}",
            MigrationType.RENAME_FIELD: f"rename field {self.old_value} to {self.new_value}",
            MigrationType.CUSTOM: f"custom: {_handler_name(self.custom_handler)}",
            MigrationType.RENAME_NODE: f"rename node {self.old_value or self.node_id} to {self.new_value}",
            MigrationType.REMOVE_NODE: f"remove node {self.node_id}"
            + (f", runs on it go on at {self.new_value}" if self.new_value else ""),
            MigrationType.ADD_NODE: f"add node {self.node_id}"
            + (f" before {self.new_value}" if self.new_value else ""),
            MigrationType.ADD_EDGE: f"add edge {self.old_value} to {self.new_value}",
            MigrationType.REMOVE_EDGE: f"remove edge {self.old_value} to {self.new_value}",
        }.get(
            self.type, f"{self.type.value.replace('_', ' ')} {self.node_id or self.new_value or ''}".strip()
        )


def _handler_name(handler: Callable[[State], State] | str | None) -> str:
    return handler if isinstance(handler, str) else getattr(handler, "__name__", "?")


# --- dotted fields -----------------------------------------------------------------------------


def _owner(state: State, path: str, *, create: bool = False) -> tuple[State | None, str]:
    """The object that holds the last part of a dotted path, and that part."""
    *parents, last = path.split(".")
    value: Any = state
    for part in parents:
        if create and isinstance(value, dict):
            value = value.setdefault(part, {})
        else:
            value = value.get(part) if isinstance(value, dict) else None
        if not isinstance(value, dict):
            if create:
                raise MigrationError(f"{path}: {part} is not an object, so nothing can be added to it")
            return None, last
    return value, last


def _add_field(step: MigrationStep, state: State) -> None:
    owner, last = _owner(state, step.field, create=True)
    assert owner is not None
    owner.setdefault(last, copy.deepcopy(step.new_value))


def _remove_field(step: MigrationStep, state: State) -> None:
    owner, last = _owner(state, step.field)
    if owner is not None:
        owner.pop(last, None)


def _rename_field(step: MigrationStep, state: State) -> None:
    old, new = step.old_value or step.node_id, step.new_value
    if not isinstance(old, str) or not isinstance(new, str):
        raise MigrationError("rename_field needs old_value and new_value (in YAML: from and to)")
    owner, last = _owner(state, old)
    if owner is None or last not in owner:
        return
    target, name = _owner(state, new, create=True)
    assert target is not None
    if name in target:
        raise MigrationError(f"rename_field: {new!r} is there already, so {old!r} cannot take its name")
    target[name] = owner.pop(last)


def load_handler(reference: Callable[[State], State] | str | None) -> Callable[[State], State]:
    """A custom step's function, from itself or from `package.module:function`."""
    if callable(reference):
        return reference
    if not isinstance(reference, str) or ":" not in reference:
        raise MigrationError(f"custom: {reference!r} is no function; write package.module:function")
    module, _, name = reference.partition(":")
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
    except Exception as error:
        raise MigrationError(f"{step.describe()}: {type(error).__name__}: {error}") from error
    if not isinstance(result, dict):
        raise MigrationError(f"{step.describe()} returned a {type(result).__name__}, not the state")
    try:
        jsonio.dumps(result)
    except TypeError as error:
        raise MigrationError(f"{step.describe()} returned what JSON cannot hold: {error}") from error
    return result


def _move_records(state: State, old: str, new: str) -> None:
    """What the engine itself keeps under a node's id: answers and errors that were handled."""
    for kept in ("human", "errors"):
        records = state.get(kept)
        if isinstance(records, dict) and old in records and new not in records:
            records[new] = records.pop(old)


def apply_step(step: MigrationStep, state: State) -> State:
    """One step on a state that is ours to change."""
    if step.type is MigrationType.ADD_FIELD:
        _add_field(step, state)
    elif step.type is MigrationType.REMOVE_FIELD:
        _remove_field(step, state)
    elif step.type is MigrationType.RENAME_FIELD:
        _rename_field(step, state)
    elif step.type is MigrationType.CUSTOM:
        return _custom(step, state)
    elif step.type is MigrationType.RENAME_NODE:
        old = step.old_value or step.node_id
        if isinstance(old, str) and isinstance(step.new_value, str):
            _move_records(state, old, step.new_value)
    return state


# --- whole migrations --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowMigration:
    """The way from one version to another. `reverse` lists the steps back, if there is a way back."""

    from_version: WorkflowVersion
    to_version: WorkflowVersion
    steps: tuple[MigrationStep, ...] | list[MigrationStep] = field(default_factory=tuple)
    description: str = ""
    breaking: bool = False
    downgrade: bool = False
    reverse: tuple[MigrationStep, ...] | list[MigrationStep] | None = None

    @property
    def migration_id(self) -> str:
        return f"{self.from_version}->{self.to_version}"

    @property
    def checksum(self) -> str:
        return jsonio.digest(migration_to_block(self))

    def apply_to_state(self, state: Mapping[str, Any]) -> State:
        """The state after all steps; the one given stays as it is, also if a step fails."""
        current: State = copy.deepcopy(dict(state))
        for number in range(1, len(self.steps) + 1):
            current = self.apply_one(number, current)
        return current

    def apply_one(self, number: int, state: State) -> State:
        """Step `number` (1 is the first) on a state that is ours to change; MigrationError names the step."""
        step = self.steps[number - 1]
        try:
            return apply_step(step, state)
        except MigrationError as error:
            raise self.failure(number, error) from error

    def failure(self, number: int, error: MigrationError) -> MigrationError:
        """An error, with the step at which it came."""
        return MigrationError(
            f"{self.migration_id}, step {number} ({self.steps[number - 1].describe()}): {error.message}"
        )

    def check(self) -> None:
        """What must hold before it is registered: direction, and breaking only with a major bump."""
        if self.from_version == self.to_version:
            raise MigrationError(f"{self.migration_id} leads from a version to itself")
        if self.to_version < self.from_version and not self.downgrade:
            raise MigrationError(
                f"{self.migration_id} leads backwards; mark it downgrade: true if it is meant to"
            )
        low, high = sorted((self.from_version, self.to_version))
        zero = low.major == 0 and low.minor != high.minor
        if self.breaking and low.major == high.major and not zero:
            raise MigrationError(
                f"{self.migration_id} is breaking, and a breaking change needs a new major version; "
                f"call the target {low.bump_major()}, or take breaking away"
            )


def with_functions(
    migration: WorkflowMigration, load: Callable[[str], Callable[[State], State]] | None
) -> WorkflowMigration:
    """The migration with its functions loaded. UntrustedError where none may be (`load` is None)."""
    steps = []
    for step in migration.steps:
        reference = step.custom_handler
        if step.type is MigrationType.CUSTOM and isinstance(reference, str):
            if load is None:
                raise UntrustedError(
                    f"{migration.migration_id} calls {reference}, and nothing of this workspace is executed here; "
                    "trust it (`victor trust`) and ask an engine"
                )
            try:
                function = load(reference)
            except Exception as error:
                raise MigrationError(
                    f"{migration.migration_id}: {reference} cannot be loaded: {type(error).__name__}: {error}"
                ) from error
            step = replace(step, custom_handler=function, description=step.describe())
        steps.append(step)
    return replace(migration, steps=tuple(steps))


_STEP_KEYS = {
    "type", "node_id", "old_value", "new_value", "custom_handler", "description", "field", "from", "to", "default",
    "node", "handler", "before",
}  # fmt: skip
_BLOCK_KEYS = {
    "from_version",
    "to_version",
    "from",
    "to",
    "steps",
    "description",
    "breaking",
    "downgrade",
    "reverse",
}


def step_from_block(block: Mapping[str, Any]) -> MigrationStep:
    """A step from YAML: `node_id/old_value/new_value`, or plainly `field`, `from`, `to`, `default`."""
    for key in block:
        if key not in _STEP_KEYS:
            raise DefinitionError(f"migration step: unknown key {key!r}. {did_you_mean(key, _STEP_KEYS)}")
    name = str(block.get("type", "")).strip().lower()
    name = {"change_start_node": "change_start", "rename": "rename_field"}.get(name, name)
    try:
        kind = MigrationType(name)
    except ValueError:
        known = [member.value for member in MigrationType]
        raise DefinitionError(
            f"migration step: there is no type {name!r}. {did_you_mean(name, known)}"
        ) from None
    new = block.get("new_value", block.get("to", block.get("default", block.get("before"))))
    old = block.get("old_value", block.get("from"))
    node = block.get("node_id", block.get("field", block.get("node")))
    if kind is MigrationType.RENAME_FIELD and old is None:
        old = node
    return MigrationStep(
        type=kind,
        node_id=node,
        old_value=old,
        new_value=new,
        custom_handler=block.get("custom_handler", block.get("handler")),
        description=str(block.get("description", "")),
    )


def migration_from_block(block: Mapping[str, Any]) -> WorkflowMigration:
    """A migration from YAML. DefinitionError or MigrationError names what is wrong."""
    for key in block:
        if key not in _BLOCK_KEYS:
            raise DefinitionError(f"migration: unknown key {key!r}. {did_you_mean(key, _BLOCK_KEYS)}")
    try:
        source = WorkflowVersion.parse(str(block.get("from_version", block.get("from"))))
        target = WorkflowVersion.parse(str(block.get("to_version", block.get("to"))))
    except ValueError as error:
        raise DefinitionError(f"migration: {error}; give from_version and to_version") from None
    reverse = block.get("reverse")
    migration = WorkflowMigration(
        from_version=source,
        to_version=target,
        steps=tuple(step_from_block(step) for step in block.get("steps") or ()),
        description=str(block.get("description", "")),
        breaking=bool(block.get("breaking", False)),
        downgrade=bool(block.get("downgrade", False)),
        reverse=tuple(step_from_block(step) for step in reverse) if reverse else None,
    )
    migration.check()
    return migration


def migration_to_block(migration: WorkflowMigration) -> dict[str, Any]:
    """The stored form; a custom function is named by its module and name."""
    return {
        "from_version": str(migration.from_version),
        "to_version": str(migration.to_version),
        "description": migration.description,
        "breaking": migration.breaking,
        "downgrade": migration.downgrade,
        "steps": [_step_to_block(step) for step in migration.steps],
        **({"reverse": [_step_to_block(step) for step in migration.reverse]} if migration.reverse else {}),
    }


def _step_to_block(step: MigrationStep) -> dict[str, Any]:
    block: dict[str, Any] = {"type": step.type.value}
    for name in ("node_id", "old_value", "new_value", "description"):
        value = getattr(step, name)
        if value not in (None, ""):
            block[name] = value
    if step.custom_handler is not None:
        handler = step.custom_handler
        block["custom_handler"] = (
            handler if isinstance(handler, str) else f"{handler.__module__}:{handler.__qualname__}"
        )
    return block
