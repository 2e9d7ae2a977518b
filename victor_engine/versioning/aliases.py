"""Aliases: names such as `stable` for one version, or for two versions that share new runs by weight.

The target of an alias is never changed. A new target is added, so that the history is kept for rollbacks.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from victor_engine.api import Actor
from victor_engine.errors import ConflictError, NotFoundError, UsageError
from victor_engine.events import EventKind
from victor_engine.store.db import Tx
from victor_engine.store.locks import Root
from victor_engine.store.queries.ids import Source
from victor_engine.store.repositories import aliases as stored
from victor_engine.store.repositories import definitions, schedules
from victor_engine.versioning.ranges import parse_range
from victor_engine.versioning.semver import WorkflowVersion

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class AliasTarget:
    """The target of an alias. `other`, if it is given, gets `weight` percent of the new runs."""

    id: int
    version: str
    other: str | None = None
    weight: int = 0

    def choose(self, seed: str | None) -> str:
        """Return the version for one start. The same seed always gives the same version."""
        if self.other is None or seed is None:
            return self.version
        digest = hashlib.sha256(f"{self.id}:{seed}".encode()).digest()
        return self.other if int.from_bytes(digest[:8], "big") % 100 < self.weight else self.version

    @property
    def text(self) -> str:
        """The versions with their percentages, for messages and events."""
        if self.other is None:
            return self.version
        return f"{self.version} {100 - self.weight}% / {self.other} {self.weight}%"


def is_alias_name(spec: str | None) -> bool:
    """Return whether a version spec can only be an alias: not a version, a range or `latest`."""
    if spec is None or spec.strip() in ("", "latest") or _NAME.fullmatch(spec.strip()) is None:
        return False
    return _as_range(spec.strip()) is False


def _as_range(text: str) -> bool:
    try:
        WorkflowVersion.parse(text)
    except ValueError:
        pass
    else:
        return True
    try:
        parse_range(text)
    except UsageError:
        return False
    return True


def check_name(name: str) -> str:
    """Return the name of an alias. Raises UsageError if it is invalid or could be a version or a range."""
    if name == "latest" or _as_range(name) or re.fullmatch(r"[vV][0-9][0-9A-Za-z.+-]*", name):
        raise UsageError(
            f"{name!r} is a version or a range, so it cannot name an alias; use a name such as stable or canary"
        )
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name!r} cannot name an alias: use a lower-case letter, then up to 39 of a-z, 0-9, - and _"
        )
    return name


def target_of(source: Source, workflow: str, alias: str | None) -> AliasTarget | None:
    """Return the target of an alias, or None if the alias does not exist."""
    found = stored.pointing(source, workflow, (alias or "").strip())
    return None if found is None else AliasTarget(*found)


def all_targets(source: Source, workflow: str) -> list[tuple[str, AliasTarget]]:
    """Return each alias of a workflow with its target."""
    return [(name, AliasTarget(*found)) for name, found in stored.pointings(source, workflow)]


def set_alias(
    tx: Tx,
    workflow: str,
    alias: str,
    version: str,
    other: str | None = None,
    weight: int = 0,
    *,
    actor: Actor | None = None,
    note: str = "",
    action: str = "set",
) -> AliasTarget:
    """Point an alias at one version, or split new runs between two versions.

    Raises UsageError for a name that could be a version and for a weight outside 1 to 99, NotFoundError for a
    version that is not registered, and ConflictError for a removed version.
    """
    name = check_name(alias)
    tx.lock(Root.ALIAS, workflow)
    tx.lock(Root.DEFINITION, workflow)
    first = _startable(tx, workflow, version)
    second = _startable(tx, workflow, other) if other is not None else None
    if second is not None and not 1 <= weight <= 99:
        raise UsageError(f"the weight of {second} must be 1 to 99 percent, not {weight}")
    if second is None and weight:
        raise UsageError("a weight needs a second version")
    if first == second:
        raise UsageError(f"the second version must differ from the first, and both are {first}")
    old = target_of(tx, workflow, name)
    if old is not None and (old.version, old.other, old.weight) == (first, second, weight):
        return old
    found = _record(tx, workflow, name, first, second, weight, action, actor, note)
    stored.put(tx, workflow, name, found.id)
    data: dict[str, Any] = {"alias": name, "to": found.text, "action": action}
    if old is not None:
        data["was"] = old.text
    if note:
        data["note"] = note
    tx.event(EventKind.ALIAS_CHANGED, actor=actor, workflow=workflow, data=data)
    return found


def remove_alias(tx: Tx, workflow: str, alias: str, *, actor: Actor | None = None, note: str = "") -> None:
    """Remove an alias. Raises ConflictError, which names the schedules that use it."""
    tx.lock(Root.ALIAS, workflow)
    old = _existing(tx, workflow, alias)
    users = schedules_by(tx, workflow, alias)
    if users:
        raise ConflictError(
            f"the alias {alias!r} is used by {', '.join(users[:5])}; change the version of each schedule first"
        )
    _record(tx, workflow, alias, None, None, 0, "remove", actor, note)
    stored.delete(tx, workflow, alias)
    data = {"alias": alias, "was": old.text, **({"note": note} if note else {})}
    tx.event(EventKind.ALIAS_REMOVED, actor=actor, workflow=workflow, data=data)


def promote(
    tx: Tx, workflow: str, alias: str, onto: str | None = None, *, actor: Actor | None = None, note: str = ""
) -> AliasTarget:
    """Send all new runs of a split alias to its second version, or point alias `onto` at the target of `alias`."""
    tx.lock(Root.ALIAS, workflow)
    old = _existing(tx, workflow, alias)
    if onto is not None:
        return set_alias(
            tx, workflow, onto, old.other or old.version, actor=actor, note=note, action="promote"
        )
    if old.other is None:
        raise ConflictError(
            f"alias {alias!r} of {workflow} is not split: all its new runs start on {old.version} already; "
            "promote it onto another alias"
        )
    return set_alias(tx, workflow, alias, old.other, actor=actor, note=note, action="promote")


def roll_back(
    tx: Tx, workflow: str, alias: str, *, actor: Actor | None = None, note: str = ""
) -> AliasTarget:
    """Send all new runs to the version that had them before; see `rolls_back_to`."""
    tx.lock(Root.ALIAS, workflow)
    old = _existing(tx, workflow, alias)
    version = rolls_back_to(tx, workflow, alias)
    if version is None:
        raise ConflictError(
            f"alias {alias!r} of {workflow} cannot be rolled back: {old.version} is the only version it has had"
        )
    return set_alias(tx, workflow, alias, version, actor=actor, note=note, action="roll_back")


def rolls_back_to(source: Source, workflow: str, alias: str) -> str | None:
    """Return the version of a rollback: the main version of a split alias, else the last other full target.

    A second rollback goes further back, not to the version that the first one left. The main version of a split
    is a target as well: a promotion of the other version can be rolled back to it.
    """
    whole: list[str] = []
    split: str | None = None
    for version, other, action in stored.history(source, workflow, alias):
        split = version if other is not None else None
        if version is None:
            whole = []
        elif action == "roll_back" and version in whole:
            del whole[len(whole) - whole[::-1].index(version) :]
        elif not whole or whole[-1] != version:
            whole.append(version)
    if split is not None:
        return split
    return whole[-2] if len(whole) > 1 else None


def schedules_by(source: Source, workflow: str, spec: str) -> list[str]:
    """Return the ids of the schedules of a workflow with exactly this version spec."""
    return [schedule_id for schedule_id, used in schedules.specs_of(source, workflow) if used.version == spec]


def _existing(source: Source, workflow: str, alias: str) -> AliasTarget:
    found = target_of(source, workflow, alias)
    if found is None:
        known = ", ".join(name for name, _ in all_targets(source, workflow)) or "none"
        raise NotFoundError(f"{workflow} has no alias {alias!r}; it has: {known}")
    return found


def _startable(source: Source, workflow: str, version: str) -> str:
    try:
        full = str(WorkflowVersion.parse(version))
    except ValueError as error:
        raise UsageError(f"an alias points at one version, such as 1.2.0: {error}") from None
    found = definitions.version(source, workflow, full)
    if found is None:
        raise NotFoundError(
            f"{workflow} has no version {full}; list its versions with `victor versions list {workflow}`"
        )
    if found.removed is not None:
        raise ConflictError(f"{workflow} {full} is removed, and new runs cannot start on it: {found.removed}")
    return found.version


def _record(
    tx: Tx,
    workflow: str,
    alias: str,
    version: str | None,
    other: str | None,
    weight: int,
    action: str,
    actor: Actor | None,
    note: str,
) -> AliasTarget:
    pointing_id = stored.record(tx, workflow, alias, version, other, weight, action, actor=actor, note=note)
    return AliasTarget(pointing_id, version or "", other, weight)
