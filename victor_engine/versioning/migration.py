"""Migrations: steps that change the state and the position of a run for another version."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from victor_engine import jsonio
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.errors import UntrustedError
from victor_engine.versioning.migration_steps import (
    Handler,
    MigrationError,
    MigrationStep,
    MigrationType,
    State,
    apply_step,
)
from victor_engine.versioning.semver import WorkflowVersion


@dataclass(frozen=True, slots=True)
class WorkflowMigration:
    """A migration from one version to another. `reverse` lists the steps back, if they are declared.

    Versions may be given as strings. `undoes` marks a migration that was derived from `reverse` of another one.
    """

    from_version: WorkflowVersion
    to_version: WorkflowVersion
    steps: tuple[MigrationStep, ...] | list[MigrationStep] = field(default_factory=tuple)
    description: str = ""
    breaking: bool = False
    downgrade: bool = False
    reverse: tuple[MigrationStep, ...] | list[MigrationStep] | None = None
    undoes: bool = False

    def __post_init__(self) -> None:
        for name in ("from_version", "to_version"):
            object.__setattr__(self, name, WorkflowVersion.of(getattr(self, name)))

    @property
    def migration_id(self) -> str:
        """The versions of the migration, such as `1.0.0->2.0.0`."""
        return f"{self.from_version}->{self.to_version}"

    @property
    def checksum(self) -> str:
        """The SHA-256 of the stored form, in which a custom function is its name."""
        return jsonio.digest(self.to_block())

    def apply_to_state(self, state: Mapping[str, Any], reserved: list[str] | None = None) -> State:
        """Return the state after all steps. The given state does not change, also if a step fails.

        The reserved names that the steps tried to write are added to `reserved`. Raises MigrationError, which
        names the step that failed.
        """
        current: State = copy.deepcopy(dict(state))
        for number in range(1, len(self.steps) + 1):
            current, names = self.apply_one(number, current)
            if reserved is not None:
                reserved.extend(names)
        return current

    def apply(self, state: Mapping[str, Any]) -> State:
        """Return the state after all steps. See `apply_to_state`."""
        return self.apply_to_state(state)

    def validate(self) -> list[str]:
        """Return the errors of the migration and its steps, empty if it can be registered."""
        try:
            self.check()
        except MigrationError as error:
            return [error.message]
        return []

    def apply_one(
        self,
        number: int,
        state: State,
        source: WorkflowDefinition | None = None,
        target: WorkflowDefinition | None = None,
    ) -> tuple[State, tuple[str, ...]]:
        """Apply step `number` (1 is the first). Return the state and the reserved names that it tried to write.

        `source` and `target` are the two versions, if they are known: a node that is renamed takes its result along.
        May change `state`. Raises MigrationError, which names the step.
        """
        step = self.steps[number - 1]
        try:
            return apply_step(step, state, undoes=self.undoes, source=source, target=target)
        except MigrationError as error:
            raise self.failure(number, error) from error

    def failure(self, number: int, error: MigrationError) -> MigrationError:
        """Return the error with the number and the description of the step that failed."""
        return MigrationError(
            f"{self.migration_id}, step {number} ({self.steps[number - 1].describe()}): {error.message}"
        )

    def check(self) -> None:
        """Raise MigrationError if the direction, the version of a breaking change or a step is invalid."""
        if self.from_version == self.to_version:
            raise MigrationError(f"{self.migration_id} leads from a version to itself")
        if self.to_version < self.from_version and not self.downgrade:
            raise MigrationError(
                f"{self.migration_id} leads to an older version; add downgrade: true if this is intended"
            )
        low, high = sorted((self.from_version, self.to_version))
        zero = low.major == 0 and low.minor != high.minor
        if self.breaking and low.major == high.major and not zero:
            raise MigrationError(
                f"{self.migration_id} is breaking, and a breaking change needs a new major version; "
                f"change the target to {low.bump_major()}, or remove breaking"
            )
        for kind, steps in (("step", self.steps), ("reverse step", self.reverse or ())):
            for number, step in enumerate(steps, 1):
                try:
                    step.check()
                except MigrationError as error:
                    raise MigrationError(f"{self.migration_id}, {kind} {number}: {error.message}") from error

    def backwards(self) -> WorkflowMigration | None:
        """Return the migration back, or None without `reverse`."""
        if not self.reverse:
            return None
        return WorkflowMigration(
            from_version=self.to_version,
            to_version=self.from_version,
            steps=tuple(self.reverse),
            description=f"Back from {self.description or self.migration_id}",
            breaking=self.breaking,
            downgrade=self.from_version < self.to_version,
            undoes=True,
        )

    def to_block(self) -> dict[str, Any]:
        """Return the stored form, which is that of `migrations:` in YAML."""
        return {
            "from_version": str(self.from_version),
            "to_version": str(self.to_version),
            "description": self.description,
            "breaking": self.breaking,
            "downgrade": self.downgrade,
            "steps": [step.to_block() for step in self.steps],
            **({"reverse": [step.to_block() for step in self.reverse]} if self.reverse else {}),
        }


def renamed_nodes(path: Iterable[WorkflowMigration]) -> dict[str, str]:
    """Return the old and the new id of each node that the migrations of a path rename."""
    names: dict[str, str] = {}
    for migration in path:
        for step in migration.steps:
            if step.type is MigrationType.RENAME_NODE:
                first = next((old for old, new in names.items() if new == step.old_name), step.old_name)
                names[first] = str(step.new_value)
    return {old: new for old, new in names.items() if old != new}


def with_functions(migration: WorkflowMigration, load: Callable[[str], Handler] | None) -> WorkflowMigration:
    """Return the migration with its functions loaded.

    Raises UntrustedError if functions must not be loaded (`load` is None), and MigrationError if loading fails.
    """
    steps = []
    for step in migration.steps:
        reference = step.custom_handler
        if step.type is MigrationType.CUSTOM and isinstance(reference, str):
            if load is None:
                raise UntrustedError(
                    f"{migration.migration_id} calls {reference}, which only an engine on a trusted workspace may "
                    "execute; trust the workspace (`victor trust`) and use an engine"
                )
            try:
                function = load(reference)
            except (Exception, SystemExit) as error:  # an import may raise any error
                raise MigrationError(
                    f"{migration.migration_id}: {reference} cannot be loaded: {type(error).__name__}: {error}"
                ) from error
            step = replace(step, custom_handler=function, description=step.describe())
        steps.append(step)
    return replace(migration, steps=tuple(steps))
