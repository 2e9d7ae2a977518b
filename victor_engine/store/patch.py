"""Patches: the change that one attempt makes to the state of a run.

A patch is stored as `{"s": {key: value}, "d": [key, …], "m": {key: {subkey: value}}}`: keys that are set, keys that are
deleted, and keys whose object gets members set (one level deep). Absent parts are empty. Deletions are applied first,
then settings, then merges.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from victor_engine import jsonio
from victor_engine.reserved import SECRETS, reserved_in


class Patch(Struct, frozen=True):
    """An immutable change of a state. It is idempotent."""

    set: Mapping[str, Any] = {}
    delete: tuple[str, ...] = ()
    merge: Mapping[str, Mapping[str, Any]] = {}

    @property
    def empty(self) -> bool:
        return not (self.set or self.delete or self.merge)

    def keys(self) -> frozenset[str]:
        """Return every top-level key that the patch changes."""
        return frozenset(self.set) | frozenset(self.delete) | frozenset(self.merge)

    def apply(self, state: dict[str, Any]) -> None:
        """Change `state` in place. Merged objects are copied, so that snapshots do not change.

        A changed key loses its references to secrets, because its new value can have another origin.
        """
        kept = state.get(SECRETS)
        if isinstance(kept, dict) and SECRETS not in self.set:
            state[SECRETS] = {key: places for key, places in kept.items() if key not in self.keys()}
        for key in self.delete:
            state.pop(key, None)
        state.update(self.set)
        for key, members in self.merge.items():
            old = state.get(key)
            state[key] = {**old, **members} if isinstance(old, dict) else dict(members)

    def then(self, later: Patch) -> Patch:
        """Return one patch with the effect of this patch followed by `later`."""
        settings = {key: value for key, value in self.set.items() if key not in later.delete}
        settings.update(later.set)
        merges = {key: dict(members) for key, members in self.merge.items() if key not in later.delete}
        for key in later.set:
            merges.pop(key, None)
        for key, members in later.merge.items():
            if isinstance(settings.get(key), dict):
                settings[key] = {**settings[key], **members}
            else:
                merges[key] = {**merges.get(key, {}), **members}
        deleted = dict.fromkeys((*self.delete, *later.delete))
        gone = tuple(key for key in deleted if key not in settings)
        return Patch(settings, gone, merges)

    def without_reserved(self) -> tuple[Patch, tuple[str, ...]]:
        """Return the patch without the settings and deletions of reserved names, and those names.

        Merges stay: only the engine makes them.
        """
        names = reserved_in((*self.set, *self.delete))
        if not names:
            return self, ()
        settings = {key: value for key, value in self.set.items() if key not in names}
        deleted = tuple(key for key in self.delete if key not in names)
        return Patch(settings, deleted, self.merge), names

    def to_data(self) -> dict[str, Any]:
        data: dict[str, Any] = {}
        if self.set:
            data["s"] = dict(self.set)
        if self.delete:
            data["d"] = list(self.delete)
        if self.merge:
            data["m"] = {key: dict(members) for key, members in self.merge.items()}
        return data

    def to_json(self) -> str | None:
        """Return the stored form; None for an empty patch."""
        if not (self.delete or self.merge):
            return jsonio.dumps_text({"s": self.set}) if self.set else None
        return jsonio.dumps_text(self.to_data())

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> Patch:
        return Patch(data.get("s", {}), tuple(data.get("d", ())), data.get("m", {}))

    @staticmethod
    def from_json(text: str | None) -> Patch:
        return EMPTY if text is None else Patch.from_data(jsonio.loads(text))


EMPTY = Patch()
