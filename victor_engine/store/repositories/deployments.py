"""The table `deployments`."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import Struct

from victor_engine.api import Actor, DeploymentCause, ScheduleSpec
from victor_engine.api.deployments import DeploymentInfo
from victor_engine.clock import from_us
from victor_engine.store.queries.ids import Source
from victor_engine.store.transaction import Tx


class Replaced(Struct, frozen=True, omit_defaults=True):
    """The values that a deployment replaced: the versions in force and the specs of files by workflow (None: there
    was none), the schedules that it disabled and enabled, and the versions that were not deprecated before. `settings`
    are the names of changed settings, which have no versions and stay."""

    versions: dict[str, str | None] = {}
    specs: dict[str, ScheduleSpec | None] = {}
    disabled: tuple[str, ...] = ()
    enabled: tuple[str, ...] = ()
    deprecated: tuple[tuple[str, str], ...] = ()
    settings: tuple[str, ...] = ()


class Deployment(NamedTuple):
    """A stored deployment. `files` is the digest of the files."""

    info: DeploymentInfo
    files: str
    replaced: Replaced


_SELECT = "SELECT number, at, actor, how, files, undoes, lines, replaced FROM deployments"


def _deployment(row: tuple[int, int, str, DeploymentCause, str, int | None, str, str]) -> Deployment:
    number, at, actor, how, files, undoes, lines, replaced = row
    by = msgspec.json.decode(actor, type=Actor).user
    texts = msgspec.json.decode(lines, type=tuple[str, ...])
    info = DeploymentInfo(number, from_us(at), by, how, texts, undoes)
    return Deployment(info, files, msgspec.json.decode(replaced, type=Replaced))


def latest(source: Source) -> Deployment | None:
    """Return the last deployment; None if there is none."""
    row = source.execute(f"{_SELECT} ORDER BY number DESC LIMIT 1").fetchone()
    return None if row is None else _deployment(row)


def to_undo(source: Source) -> Deployment | None:
    """Return the last deployment that was not undone and is not an undo; None if there is none."""
    row = source.execute(
        f"{_SELECT} WHERE how != 'undo' AND number NOT IN"
        " (SELECT undoes FROM deployments WHERE undoes IS NOT NULL) ORDER BY number DESC LIMIT 1"
    ).fetchone()
    return None if row is None else _deployment(row)


def listed(source: Source, limit: int) -> list[DeploymentInfo]:
    """Return the last deployments, newest first."""
    rows = source.execute(f"{_SELECT} ORDER BY number DESC LIMIT ?", (limit,))
    return [_deployment(row).info for row in rows]


def add(
    tx: Tx,
    actor: Actor,
    how: DeploymentCause,
    files: str,
    lines: tuple[str, ...],
    replaced: Replaced,
    undoes: int | None = None,
) -> DeploymentInfo:
    """Store a deployment, which never changes."""
    (number,) = tx.execute(
        "INSERT INTO deployments (at, actor, how, files, undoes, lines, replaced) VALUES (?,?,?,?,?,?,?)"
        " RETURNING number",
        (
            tx.now_us,
            msgspec.json.encode(actor).decode(),
            how,
            files,
            undoes,
            msgspec.json.encode(lines).decode(),
            msgspec.json.encode(replaced).decode(),
        ),
    ).fetchone()
    return DeploymentInfo(int(number), from_us(tx.now_us), actor.user, how, lines, undoes)
