"""The pruning of unused versions: which versions nothing refers to, and their deletion."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime

from victor_engine.api import Actor, PruneReport, VersionPrune
from victor_engine.domain import plans
from victor_engine.events import EventKind
from victor_engine.store.db import Tx
from victor_engine.store.queries import pruning as rows
from victor_engine.store.repositories import definitions, deployments, schedules
from victor_engine.versioning.catalog import version_to_show
from victor_engine.versioning.stored_migrations import load_registry

KIND = "pruning"
"""The kind of these plans."""

_VERSIONS = "versions of"
_SEEN = "attempts until"

Declared = Callable[[], frozenset[tuple[str, str]]]
"""Returns the workflows and versions that the files of the workspace declare."""


def plan(
    connection: sqlite3.Connection, workflow: str | None, declared: Declared, now: datetime
) -> PruneReport:
    """Return the versions that nothing uses, and for each other version the reason why it stays."""
    names = (
        [version_workflow(connection, workflow)] if workflow is not None else definitions.names(connection)
    )
    seen, used = rows.attempted(connection, after=0)
    found = []
    for name in names:
        reasons = _reasons(connection, name, declared(), used)
        for version, (_, checksum) in rows.checksums(connection, name).items():
            reason = reasons.get(version, "")
            found.append((VersionPrune(name, version, "kept" if reason else "ready", reason), checksum))
    items = [
        plans.PlanItem(
            f"{each.workflow} {each.version}",
            {"checksum": checksum[:12], "used": each.reason},
            "" if each.reason else "deleted",
            each.reason,
        )
        for each, checksum in found
    ]
    document = plans.plan_of(
        KIND,
        now,
        rule={_VERSIONS: workflow or "all workflows"},
        target={},
        items=items,
        options={_SEEN: seen},
    )
    return PruneReport(False, tuple(each for each, _ in found), document.token())


def version_workflow(connection: sqlite3.Connection, workflow: str) -> str:
    """Return the workflow if it has versions. Raise NotFoundError."""
    from victor_engine.versioning.catalog import resolve

    if not definitions.is_known(connection, workflow):
        resolve(connection, workflow)
    return workflow


def prune(tx: Tx, shown: plans.Plan, declared: Declared, actor: Actor, note: str) -> PruneReport:
    """Delete the versions that a plan lists, unless something uses them now."""
    after = int(shown.options[_SEEN] or 0)
    _, used = rows.attempted(tx.connection, after=after)
    done = []
    for item in shown.items:
        workflow, _, version = item.id.rpartition(" ")
        if not item.effect:
            done.append(VersionPrune(workflow, version, "kept", item.reason))
            continue
        known = rows.checksums(tx.connection, workflow).get(version)
        now: plans.Facts | None = None
        if known is not None:
            reason = _reasons(tx.connection, workflow, declared(), used).get(version, "")
            now = {"checksum": known[1][:12], "used": reason}
        changed = plans.what_changed(item.facts, now, ())
        if known is None or changed:
            done.append(VersionPrune(workflow, version, "kept", plans.left_out(changed), changed))
            continue
        definitions.delete(tx, workflow, known[0])
        data = {"version": version, "checksum": known[1], **({"note": note} if note else {})}
        tx.event(EventKind.VERSION_PRUNED, actor=actor, workflow=workflow, data=data)
        done.append(VersionPrune(workflow, version, "deleted"))
    return PruneReport(True, tuple(done))


def _reasons(
    connection: sqlite3.Connection, workflow: str, declared: frozenset[tuple[str, str]], attempted: set[int]
) -> dict[str, str]:
    """Return the reason why a version stays, for each version that stays."""
    # The newest row stays, so that no later version gets the id of a deleted one.
    newest = rows.newest(connection)
    started = rows.with_runs(connection, workflow)
    moved = rows.moved(connection, workflow)
    uses = dict(_uses(connection, workflow))
    found = {}
    for each in definitions.versions(connection, workflow):
        if each.in_force:
            found[each.version] = "it is in force"
        elif (workflow, each.version) in declared:
            found[each.version] = "a file of the workspace declares it"
        elif each.id in started or each.id in attempted or each.version in moved:
            found[each.version] = "runs have used it"
        elif each.version in uses:
            found[each.version] = uses[each.version]
        elif each.id == newest:
            found[each.version] = "it was registered last"
    if not any(each.in_force for each in definitions.versions(connection, workflow)):
        latest = version_to_show(connection, workflow, "*")
        if latest is not None:
            found.setdefault(latest, "it is the newest version of a workflow that no file declares")
    return found


def _uses(connection: sqlite3.Connection, workflow: str) -> Iterator[tuple[str, str]]:
    """Yield versions with what refers to them. The first reason for a version is the last one yielded."""
    edges = load_registry(connection, workflow).get_migrations(workflow)
    froms = {str(edge.from_version) for edge in edges}
    for edge in edges:
        if str(edge.to_version) in froms:
            yield str(edge.to_version), "migrations lead through it"
    for parent, spec in rows.child_versions(connection, workflow):
        shown = version_to_show(connection, workflow, spec)
        if shown is not None:
            yield shown, f"workflow {parent} starts it"
    for schedule_id, used in schedules.specs_of(connection, workflow):
        shown = version_to_show(connection, workflow, used.version)
        if shown is not None:
            yield shown, f"schedule {schedule_id} starts it"
    for alias, version in rows.pointed(connection, workflow):
        yield version, f"alias {alias} points at it, or did so"
    undone = deployments.to_undo(connection)
    before = undone.replaced.versions.get(workflow) if undone is not None else None
    if before is not None:
        yield before, "`victor deploy --undo` brings it back"


__all__ = ["KIND", "Declared", "plan", "prune"]
