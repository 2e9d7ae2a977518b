"""The catalog of definitions in the store: registered once, never overwritten, found by version or range."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from victor_engine import jsonio
from victor_engine.api import ASKED_WORKFLOW, Actor
from victor_engine.definition.content import checksum as content_checksum
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.definition.stored_content import definition_from_content
from victor_engine.errors import DefinitionError, NotFoundError, UsageError, VictorError
from victor_engine.events import EventKind
from victor_engine.store.db import Tx
from victor_engine.store.locks import Root
from victor_engine.store.queries.ids import Source
from victor_engine.store.queries.workflows import latest_of
from victor_engine.store.repositories import definitions
from victor_engine.store.repositories.definitions import Version
from victor_engine.versioning import aliases
from victor_engine.versioning.diff import diff
from victor_engine.versioning.ranges import select
from victor_engine.versioning.registry import next_free
from victor_engine.versioning.semver import WorkflowVersion


class VersionConflictError(DefinitionError):
    """A registered version was declared again with different content."""

    code = "version_conflict"


class VersionRemovedError(VictorError):
    """The version is removed: new runs cannot start on it."""

    code = "version_removed"
    exit_code = 5


class Declared(Protocol):
    """The declaration of a version in a file, as far as the catalog needs it."""

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
    """A registered definition. `created` is true if this call registered it."""

    definition_id: int
    version: str
    created: bool


@dataclass(frozen=True, slots=True)
class Resolved:
    """The version that a spec resolves to, with the data to start a run on it."""

    id: int
    workflow: str
    version: str
    deprecated: str | None
    pointing_id: int | None = None  # the target of the alias that chose it


def find_registered(source: Source, definition: Declared, checksum: str) -> Registered | None:
    """Return the registered definition with exactly this content, or None. Only reads."""
    version = None if definition.version is None else _normal(definition)
    found = definitions.with_content(source, definition.name, checksum, version)
    if found is None and version is not None:
        # The stored checksum can be that of the short form of the version, which older releases computed.
        known = definitions.version(source, definition.name, version)
        if known is not None and content_checksum(_content(source, known.id)) == checksum:
            found = known.id, version
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
            "which does not have the form major.minor.patch"
        ) from None


def normal_version(version: str) -> str:
    """Return the full form of a version. Raises DefinitionError if the text is not a version."""
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
    """Register a version. Raises VersionConflictError if it is registered with different content.

    A workflow without a version gets revisions 0.0.1, 0.0.2, … as its content changes.
    """
    tx.lock(Root.DEFINITION, definition.name)
    known = find_registered(tx, definition, checksum)
    if known is not None:
        return known
    rows = definitions.places(tx, definition.name)
    taken = {WorkflowVersion.parse(version) for version, _, _ in rows}
    unversioned = definition.version is None
    if unversioned:
        version = _next_revision(taken)
    else:
        version = WorkflowVersion.parse(_normal(definition))
        refuse_conflict(tx, definition, content, path)
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


def version_to_register(source: Source, definition: Declared) -> str:
    """Return the version under which a definition that is not registered would be registered. Only reads."""
    if definition.version is not None:
        return _normal(definition)
    return str(
        _next_revision({WorkflowVersion.parse(v) for v, _, _ in definitions.places(source, definition.name)})
    )


def _next_revision(taken: Collection[WorkflowVersion]) -> WorkflowVersion:
    newest = max((v for v in taken if v.major == 0 and v.minor == 0), default=WorkflowVersion(0, 0, 0))
    return next_free(newest, taken)


def refuse_conflict(
    source: Source, definition: Declared, content: Mapping[str, Any], path: str | None
) -> None:
    """Raise VersionConflictError if the version of a definition is registered with different content.

    The caller has found that this content is not registered (`find_registered`).
    """
    if definition.version is None:
        return
    version = WorkflowVersion.parse(_normal(definition))
    rows = definitions.places(source, definition.name)
    taken = {WorkflowVersion.parse(each): (known_id, where) for each, known_id, where in rows}
    if version not in taken:
        return
    known_id, where = taken[version]
    lines = [change.describe() for change in diff(_content(source, known_id), content)]
    more = f" (and {len(lines) - 8} more)" if len(lines) > 8 else ""
    raise VersionConflictError(
        f"{path or definition.name}: {definition.name} {version} is registered with different content"
        + (f" (from {where})" if where and where != path else "")
        + f". A version never changes: use version {next_free(version, taken)}. "
        f"Differences: {'; '.join(lines[:8])}{more}"
    )


def put_in_force(tx: Tx, workflow: str, definition_id: int, actor: Actor | None = None) -> None:
    """Make a registered version the one in force, with an event if another one was."""
    before = definitions.in_force(tx, workflow)
    if before is not None and before[0] == definition_id:
        return
    definitions.put_in_force(tx, workflow, definition_id)
    if before is not None:
        _, found = definitions.version_by_id(tx, definition_id)
        data = {"version": found.version, "before": before[1]}
        tx.event(EventKind.VERSION_IN_FORCE, actor=actor, workflow=workflow, data=data)


def resolve(source: Source, workflow: str, spec: str | None = None, *, seed: str | None = None) -> Resolved:
    """Return the version that `spec` resolves to: an exact version, a range, `latest` (or None), or an alias.

    `latest` is the version in force, which the files declare. A range, or `latest` without one in force, selects a
    deprecated version only if all others are removed, and a removed one never. An exact version may be deprecated.
    A split alias chooses by `seed`; without a seed it resolves to its main version.

    Raises NotFoundError, which names the known versions, and VersionRemovedError if only removed versions match.
    """
    rows = definitions.versions(source, workflow) if workflow != ASKED_WORKFLOW else []
    if not rows:
        names = definitions.names(source)
        from victor_engine.config.yaml_locations import did_you_mean

        hint = did_you_mean(workflow, names) if names else "No workflow is registered yet"
        raise NotFoundError(f"the workflow {workflow!r} does not exist. {hint}")
    by_version = {row.version: row for row in rows}
    target = aliases.target_of(source, workflow, spec) if aliases.is_alias_name(spec) else None
    if target is not None:
        chosen = target.choose(seed)
    elif aliases.is_alias_name(spec):
        known = ", ".join(name for name, _ in aliases.all_targets(source, workflow)) or "none"
        raise NotFoundError(
            f"{workflow} has no alias {spec!r}, and {spec!r} is not a version or a range. Aliases: {known}. "
            f"Versions: {_listed(by_version)}. Create the alias with `victor versions alias {workflow} {spec} VERSION`"
        )
    else:
        best = _choose(spec, by_version)
        if best is None:
            raise NotFoundError(
                f"{workflow} has no version {spec or 'latest'}; its versions are {_listed(by_version)}"
            )
        chosen = best
    found = by_version[chosen]
    if found.removed is not None:
        raise removed_error(workflow, found.version, found.removed, found.successor)
    return Resolved(
        found.id, workflow, found.version, found.deprecated, target.id if target is not None else None
    )


def _listed(versions: Iterable[str]) -> str:
    return ", ".join(map(str, sorted(map(WorkflowVersion.parse, versions))))


def _choose(spec: str | None, by_version: Mapping[str, Version]) -> str | None:
    """Return the best version that a spec allows: not deprecated or removed, else not removed, else any."""
    if spec is None or spec.strip() in ("latest", ""):
        declared = next((version for version, row in by_version.items() if row.in_force), None)
        return latest_of(
            [(version, row.deprecated, row.removed) for version, row in by_version.items()], declared
        )
    available = [version for version, row in by_version.items() if row.removed is None]
    current = [version for version in available if by_version[version].deprecated is None]
    return select(spec, current) or select(spec, available) or select(spec, by_version)


def version_to_show(source: Source, workflow: str, spec: str | None) -> str | None:
    """Return the version that a query with this spec shows, or the spec itself if it does not resolve."""
    if spec is None or spec == "latest":
        return spec
    target = aliases.target_of(source, workflow, spec)
    if target is not None:
        return target.version
    return in_range(spec, definitions.version_names(source, workflow)) or spec


def in_range(spec: str, versions: Iterable[str]) -> str | None:
    """Return the newest of some versions that a spec allows, or None. An invalid spec allows none."""
    try:
        return select(spec, versions)
    except UsageError:
        return None


def removed_error(workflow: str, version: str, message: str, successor: str | None) -> VersionRemovedError:
    """Return the error for a start on a removed version."""
    use = f". Use {successor}" if successor else ""
    return VersionRemovedError(
        f"{workflow} {version} is removed, and new runs cannot start on it: {message}{use}"
    )


def refuse_removed(source: Source, definition_id: int) -> None:
    """Raise VersionRemovedError if a definition is removed."""
    workflow, found = definitions.version_by_id(source, definition_id)
    if found.removed is not None:
        raise removed_error(workflow, found.version, found.removed, found.successor)


def load_definition(connection: sqlite3.Connection, definition_id: int) -> tuple[WorkflowDefinition, str]:
    """Return a stored definition and its version. Raises NotFoundError if it does not exist."""
    row = definitions.content(connection, definition_id)
    if row is None:
        raise NotFoundError(f"the store has no definition {definition_id}")
    return definition_from_content(row[0], jsonio.loads(row[1])), row[2]
