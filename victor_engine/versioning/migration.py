"""Migrations: steps that move a run's state, and its position, from one version to another."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from victor_engine import jsonio
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
    """The way from one version to another. `reverse` lists the steps back, if there is a way back.

    Versions may be given as strings. `undoes` marks a migration that came of another one's `reverse`.
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
        return f"{self.from_version}->{self.to_version}"

    @property
    def checksum(self) -> str:
        """SHA-256 of all that it says; a custom function counts by its name."""
        return jsonio.digest(self.to_block())

    def apply_to_state(self, state: Mapping[str, Any], reserved: list[str] | None = None) -> State:
        """The state after all steps; the one given stays as it is, also if a step fails.

        `reserved` gets the names that the steps tried to write and that the engine alone writes.
        """
        current: State = copy.deepcopy(dict(state))
        for number in range(1, len(self.steps) + 1):
            current, names = self.apply_one(number, current)
            if reserved is not None:
                reserved.extend(names)
        return current

    def apply_one(self, number: int, state: State) -> tuple[State, tuple[str, ...]]:
        """Return what step `number` (1 is the first) makes of a state that is ours to change, and the names
        that it tried to write and that the engine alone writes. MigrationError names the step."""
        try:
            return apply_step(self.steps[number - 1], state, undoes=self.undoes)
        except MigrationError as error:
            raise self.failure(number, error) from error

    def failure(self, number: int, error: MigrationError) -> MigrationError:
        """An error, with the step at which it came."""
        return MigrationError(
            f"{self.migration_id}, step {number} ({self.steps[number - 1].describe()}): {error.message}"
        )

    def check(self) -> None:
        """What must hold before it is registered: direction, breaking only with a major bump, whole steps."""
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
        for words, steps in (("step", self.steps), ("reverse step", self.reverse or ())):
            for number, step in enumerate(steps, 1):
                try:
                    step.check()
                except MigrationError as error:
                    raise MigrationError(f"{self.migration_id}, {words} {number}: {error.message}") from error

    def backwards(self) -> WorkflowMigration | None:
        """The way back, if it has one."""
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
        """The stored form, as it is written under `migrations:` in YAML."""
        return {
            "from_version": str(self.from_version),
            "to_version": str(self.to_version),
            "description": self.description,
            "breaking": self.breaking,
            "downgrade": self.downgrade,
            "steps": [step.to_block() for step in self.steps],
            **({"reverse": [step.to_block() for step in self.reverse]} if self.reverse else {}),
        }


def with_functions(migration: WorkflowMigration, load: Callable[[str], Handler] | None) -> WorkflowMigration:
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
            except (Exception, SystemExit) as error:  # a module may do anything when it is imported
                raise MigrationError(
                    f"{migration.migration_id}: {reference} cannot be loaded: {type(error).__name__}: {error}"
                ) from error
            step = replace(step, custom_handler=function, description=step.describe())
        steps.append(step)
    return replace(migration, steps=tuple(steps))
