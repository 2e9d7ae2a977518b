"""Definitions in the store: registered once, never overwritten, found by version or range."""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from victor_engine import jsonio
from victor_engine.api import Actor, MigrationEdge, MigrationPreview, MigrationStepResult
from victor_engine.definition.loader import definition_from_content
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.errors import DefinitionError, NotFoundError, UsageError, VictorError
from victor_engine.events import EventKind
from victor_engine.reserved import refusal
from victor_engine.store.db import Tx
from victor_engine.store.locks import Root
from victor_engine.store.queries.ids import Source
from victor_engine.store.queries.workflows import latest_of
from victor_engine.store.repositories import definitions
from victor_engine.store.repositories.definitions import Version
from victor_engine.versioning import aliases
from victor_engine.versioning.diff import change_lines, diff
from victor_engine.versioning.migration import WorkflowMigration, with_functions
from victor_engine.versioning.migration_reader import migration_from_block
from victor_engine.versioning.migration_steps import Handler, MigrationError, State
from victor_engine.versioning.ranges import select
from victor_engine.versioning.registry import WorkflowVersionRegistry, next_free
from victor_engine.versioning.semver import WorkflowVersion


class VersionConflictError(DefinitionError):
    """A registered version was declared again with different content."""

    code = "version_conflict"


class VersionRemovedError(VictorError):
    """The version is removed: new runs cannot start on it."""

    code = "version_removed"
    exit_code = 5


class Declared(Protocol):
    """What a file says of a version, as far as it is looked for by that."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str | None: ...
    @property
    def path(self) -> str | None: ...
    @property
    def migrations(self) -> Sequence[Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Registered:
    definition_id: int
    version: str
    created: bool


@dataclass(frozen=True, slots=True)
class Resolved:
    """The version that a spec means, with what is needed to start on it."""

    id: int
    workflow: str
    version: str
    deprecated: str | None
    pointing_id: int | None = None  # of the alias that chose it


def find_registered(source: Source, definition: Declared, checksum: str) -> Registered | None:
    """The row of a definition that is registered with just this content, if it is. A read only."""
    wanted = None if definition.version is None else _normal(definition)
    found = definitions.with_content(source, definition.name, checksum, wanted)
    return Registered(*found, False) if found is not None else None


def _content(source: Source, definition_id: int) -> Any:
    found = definitions.content(source, definition_id)
    return {} if found is None else jsonio.loads(found[1])


def _normal(definition: Declared) -> str:
    try:
        return str(WorkflowVersion.parse(definition.version or ""))
    except ValueError:
        raise DefinitionError(
            f"{definition.path or definition.name}: workflow {definition.name!r} has version {definition.version!r}, "
            "which is not major.minor.patch"
        ) from None


def normal_version(version: str) -> str:
    """The full form of a version string; DefinitionError if it is none."""
    try:
        return str(WorkflowVersion.parse(version))
    except ValueError as error:
        raise DefinitionError(str(error)) from None


def register_definition(
    tx: Tx,
    definition: Declared,
    content: Mapping[str, Any],
    text: str,
    path: str | None,
    checksum: str,
    actor: Actor | None = None,
) -> Registered:
    """Register a version under its content. VersionConflictError if it is taken by another content.

    A workflow without a version gets revisions 0.0.1, 0.0.2, … as its content changes.
    """
    tx.lock(Root.DEFINITION, definition.name)
    known = find_registered(tx, definition, checksum)
    if known is not None:
        return known
    rows = definitions.places(tx, definition.name)
    taken = {WorkflowVersion.parse(version): (known_id, where) for version, known_id, where in rows}
    unversioned = definition.version is None
    if unversioned:
        version = max((v for v in taken if v.major == 0 and v.minor == 0), default=WorkflowVersion(0, 0, 0))
        version = next_free(version, taken)
    else:
        version = WorkflowVersion.parse(_normal(definition))
        if version in taken:
            known_id, where = taken[version]
            lines = [change.describe() for change in diff(_content(tx, known_id), content)]
            more = f" (and {len(lines) - 8} more)" if len(lines) > 8 else ""
            raise VersionConflictError(
                f"{path or definition.name}: {definition.name} {version} is registered with another content"
                + (f" (from {where})" if where and where != path else "")
                + f". A version never changes: call this one {next_free(version, taken)}. "
                f"What differs: {'; '.join(lines[:8])}{more}"
            )
    definition_id = definitions.add(
        tx,
        definition.name,
        str(version),
        checksum=checksum,
        content=jsonio.dumps_text(dict(content)),
        text=text,
        path=path,
        unversioned=unversioned,
    )
    tx.event(
        EventKind.VERSION_REGISTERED,
        actor=actor,
        workflow=definition.name,
        data={"version": str(version), "checksum": checksum[:12], **({"path": path} if path else {})},
    )
    return Registered(definition_id, str(version), True)


def resolve(source: Source, workflow: str, spec: str | None = None, *, seed: str | None = None) -> Resolved:
    """The version that `spec` means: exact, a range, `latest` (or None), or an alias.

    NotFoundError names what there is. A deprecated version is passed over where a range or `latest`
    has a choice, and taken where it is named or there is no other. A removed one is passed over
    too; where only it would do, VersionRemovedError says why it was removed. An alias that is split
    chooses by `seed`; without one it is its main version.
    """
    rows = definitions.versions(source, workflow)
    if not rows:
        names = definitions.names(source)
        from victor_engine.config.yaml_locations import did_you_mean

        hint = did_you_mean(workflow, names) if names else "None is registered yet"
        raise NotFoundError(f"there is no workflow {workflow!r}. {hint}")
    by_version = {row.version: row for row in rows}
    pointing = aliases.pointing(source, workflow, spec) if aliases.is_alias_name(spec) else None
    if pointing is not None:
        chosen = pointing.choose(seed)
    elif aliases.is_alias_name(spec):
        known = ", ".join(name for name, _ in aliases.all_pointings(source, workflow)) or "none"
        raise NotFoundError(
            f"{workflow} has no alias {spec!r} (it has: {known}), and it is no version and no range; "
            f"there are {_listed(by_version)}; `victor versions alias {workflow} {spec} VERSION` sets it"
        )
    else:
        best = _choose(spec, by_version)
        if best is None:
            raise NotFoundError(
                f"{workflow} has no version {spec or 'latest'}; there are {_listed(by_version)}"
            )
        chosen = best
    found = by_version[chosen]
    if found.removed is not None:
        raise removed_error(workflow, found.version, found.removed, found.successor)
    return Resolved(
        found.id, workflow, found.version, found.deprecated, pointing.id if pointing is not None else None
    )


def _listed(versions: Iterable[str]) -> str:
    return ", ".join(map(str, sorted(map(WorkflowVersion.parse, versions))))


def _choose(spec: str | None, by_version: Mapping[str, Version]) -> str | None:
    """The best that a spec allows: neither deprecated nor removed, else not removed, else any."""
    if spec is None or spec.strip() in ("latest", ""):
        return latest_of([(version, row.deprecated, row.removed) for version, row in by_version.items()])
    there = [version for version, row in by_version.items() if row.removed is None]
    fresh = [version for version in there if by_version[version].deprecated is None]
    return select(spec, fresh) or select(spec, there) or select(spec, by_version)


def meant(source: Source, workflow: str, spec: str | None) -> str | None:
    """The version that a spec speaks of, for looking at it; the spec itself where that is unclear."""
    if spec is None or spec == "latest":
        return spec
    pointing = aliases.pointing(source, workflow, spec)
    if pointing is not None:
        return pointing.version
    return in_range(spec, definitions.version_names(source, workflow)) or spec


def in_range(spec: str, versions: Iterable[str]) -> str | None:
    """The newest of some versions that a spec allows; None if none, or if it is no spec."""
    try:
        return select(spec, versions)
    except UsageError:
        return None


def removed_error(workflow: str, version: str, message: str, successor: str | None) -> VersionRemovedError:
    use = f". Use {successor}" if successor else ""
    return VersionRemovedError(f"{workflow} {version} is removed, nothing new starts on it: {message}{use}")


def refuse_removed(source: Source, definition_id: int) -> None:
    """VersionRemovedError if nothing new may start on a definition."""
    workflow, found = definitions.version_by_id(source, definition_id)
    if found.removed is not None:
        raise removed_error(workflow, found.version, found.removed, found.successor)


def load_definition(connection: sqlite3.Connection, definition_id: int) -> tuple[WorkflowDefinition, str]:
    """A stored definition and its version."""
    row = definitions.content(connection, definition_id)
    if row is None:
        raise NotFoundError(f"there is no definition {definition_id} in the store")
    return definition_from_content(row[0], jsonio.loads(row[1])), row[2]


def register_migrations(
    tx: Tx, workflow: str, blocks: Iterable[Mapping[str, Any]], version: str | None = None
) -> int:
    """Register the migrations that a file of this version declares; how many were new.

    VersionConflictError for one that is known with other steps, or that another one's reverse contradicts.
    """
    tx.lock(Root.DEFINITION, workflow)
    registry = load_registry(tx, workflow)
    new = 0
    for migration in declared_migrations(blocks, version):
        key = (workflow, str(migration.from_version), str(migration.to_version))
        known = definitions.migration_checksum(tx, *key)
        if known is not None and known != migration.checksum:
            raise VersionConflictError(
                f"{workflow}: migration {migration.migration_id} is registered with other steps, and never "
                "changes once it is known; write it as it was, or lead to a new version"
            )
        try:
            registry.add_migration(workflow, migration)
        except MigrationError as error:
            raise VersionConflictError(error.message) from error
        if known is not None:
            continue
        definitions.add_migration(
            tx, *key, content=jsonio.dumps_text(migration.to_block()), checksum=migration.checksum
        )
        tx.event(
            EventKind.VERSION_MIGRATION,
            workflow=workflow,
            data={
                "from_version": key[1],
                "to_version": key[2],
                "steps": len(migration.steps),
                "checksum": migration.checksum,
            },
        )
        new += 1
    return new


def declared_migrations(blocks: Iterable[Mapping[str, Any]], version: str | None) -> list[WorkflowMigration]:
    """The migrations of a file of this version. DefinitionError or MigrationError names what is wrong."""
    return [migration_from_block(block, version) for block in blocks]


def migrations_known(source: Source, definition: Declared) -> bool:
    """Whether all that a file declares is registered just so. A read only; raises as `declared_migrations`."""
    if not definition.migrations:
        return True
    known = definitions.migration_checksums(source, definition.name)
    declared = declared_migrations(definition.migrations, definition.version)
    return all(migration.checksum in known for migration in declared)


def load_registry(source: Source, workflow: str) -> WorkflowVersionRegistry:
    """The stored migrations of one workflow as a registry."""
    registry = WorkflowVersionRegistry()
    for content in definitions.migrations(source, workflow):
        registry.add_migration(workflow, migration_from_block(jsonio.loads(content)))
    return registry


def migration_graph(source: Source, workflow: str) -> list[MigrationEdge]:
    """Every way between two versions of a workflow, also those that follow from a reverse."""
    return [
        MigrationEdge(
            from_version=str(migration.from_version),
            to_version=str(migration.to_version),
            description=migration.description,
            breaking=migration.breaking,
            reverse=migration.undoes,
            steps=tuple(step.describe() for step in migration.steps),
            checksum=migration.checksum,
        )
        for migration in load_registry(source, workflow).get_migrations(workflow)
    ]


Load = Callable[[str], Handler]
"""Loads the function of a custom step by its reference."""


def preview_migration(
    source: Source,
    workflow: str,
    from_version: str,
    to_version: str,
    state: Mapping[str, Any],
    load: Load | None = None,
) -> MigrationPreview:
    """A dry run on a state: the chain, and what each step changes. Writes nothing."""
    registry = load_registry(source, workflow)
    path = migration_path(registry, workflow, from_version, to_version, load)
    after: State = copy.deepcopy(dict(state))
    steps = []
    for migration in path:
        for number, step in enumerate(migration.steps, 1):
            before = copy.deepcopy(after)
            after, names = migration.apply_one(number, after)
            lines = (*change_lines(before, after), *([refusal(names)] if names else ()))
            steps.append(MigrationStepResult(migration.migration_id, step.describe(), lines))
    return MigrationPreview(
        path=tuple(migration.migration_id for migration in path),
        before=dict(state),
        after=after,
        steps=tuple(steps),
        breaking=any(migration.breaking for migration in path),
        alternatives=other_paths(registry, workflow, from_version, to_version),
    )


def other_paths(
    registry: WorkflowVersionRegistry, workflow: str, from_version: str, to_version: str
) -> tuple[tuple[str, ...], ...]:
    """The ways that are not taken, as ids of migrations, the best first."""
    found = registry.get_migration_paths(workflow, from_version, to_version)
    return tuple(tuple(migration.migration_id for migration in path) for path in found[1:])


def migration_path(
    registry: WorkflowVersionRegistry,
    workflow: str,
    from_version: str,
    to_version: str,
    load: Load | None = None,
) -> list[WorkflowMigration]:
    """The chain from one version to another, its functions loaded. MigrationError names the gap."""
    path = registry.get_migration_path(workflow, from_version, to_version)
    return [with_functions(migration, load) for migration in path]
