"""Patches: the change that one attempt makes to the state of a run.

A patch is stored as `{"s": {key: value}, "d": [key, …], "x": {key: [subkey, …]}, "m": {key: {subkey: value}}}`: keys
that are set, keys that are deleted, and keys whose object loses or gets members (one level deep). `"k"` names keys that
are set to a value inside another set key (`shared_values`). Absent parts are empty. Deletions are applied first, then
settings, then dropped members, then merges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from victor_engine import jsonio
from victor_engine.reserved import SECRETS, reserved_in
from victor_engine.store.shared_values import restore, shared_in, without


class Patch(Struct, frozen=True):
    """An immutable change of a state. It is idempotent."""

    set: Mapping[str, Any] = {}
    delete: tuple[str, ...] = ()
    merge: Mapping[str, Mapping[str, Any]] = {}
    drop: Mapping[str, Sequence[str]] = {}

    @property
    def empty(self) -> bool:
        return not (self.set or self.delete or self.merge or self.drop)

    def keys(self) -> frozenset[str]:
        """Return every top-level key that the patch changes."""
        return frozenset(self.set) | frozenset(self.delete) | frozenset(self.merge) | frozenset(self.drop)

    def apply(self, state: dict[str, Any]) -> None:
        """Change `state` in place. Objects whose members change are copied, so that snapshots do not change.

        A changed key loses its references to secrets, because its new value can have another origin.
        """
        kept = state.get(SECRETS)
        if isinstance(kept, dict) and SECRETS not in self.set:
            state[SECRETS] = {key: places for key, places in kept.items() if key not in self.keys()}
        for key in self.delete:
            state.pop(key, None)
        state.update(self.set)
        for key, names in self.drop.items():
            old = state.get(key)
            if isinstance(old, dict):
                state[key] = _without(old, names)
        for key, members in self.merge.items():
            old = state.get(key)
            state[key] = {**old, **members} if isinstance(old, dict) else dict(members)

    def then(self, later: Patch) -> Patch:
        """Return one patch with the effect of this patch followed by `later`."""
        # Of a key that is set, the value is known, so its members are dropped here.
        settings = {key: value for key, value in self.set.items() if key not in later.delete}
        _drop_known(settings, self.drop)
        settings.update(later.set)
        _drop_known(settings, later.drop)
        replaced = {*later.set, *later.delete}
        merges = {key: dict(members) for key, members in self.merge.items() if key not in replaced}
        drops = {key: names for key, names in self.drop.items() if key not in {*settings, *later.delete}}
        for key, names in later.drop.items():
            if key not in settings:
                drops[key] = tuple(dict.fromkeys((*drops.get(key, ()), *names)))
            if key in merges:
                merges[key] = _without(merges[key], names)
        for key, members in later.merge.items():
            if isinstance(settings.get(key), dict):
                settings[key] = {**settings[key], **members}
            else:
                merges[key] = {**merges.get(key, {}), **members}
        deleted = dict.fromkeys((*self.delete, *later.delete))
        gone = tuple(key for key in deleted if key not in settings)
        return Patch(settings, gone, merges, drops)

    def without_reserved(self) -> tuple[Patch, tuple[str, ...]]:
        """Return the patch without the settings and deletions of reserved names, and those names.

        Merges and dropped members stay: only the engine makes them.
        """
        names = reserved_in((*self.set, *self.delete))
        if not names:
            return self, ()
        settings = {key: value for key, value in self.set.items() if key not in names}
        deleted = tuple(key for key in self.delete if key not in names)
        return Patch(settings, deleted, self.merge, self.drop), names

    def to_data(self) -> dict[str, Any]:
        """Return the stored form. A value that stands under two keys is stored once, see `shared_values`."""
        data: dict[str, Any] = {}
        if shared := shared_in(self.set):
            data["s"], data["k"] = without(self.set, shared), shared
        elif self.set:
            data["s"] = dict(self.set)
        if self.delete:
            data["d"] = list(self.delete)
        if self.drop:
            data["x"] = {key: list(names) for key, names in self.drop.items()}
        if self.merge:
            data["m"] = {key: dict(members) for key, members in self.merge.items()}
        return data

    def to_json(self) -> str | None:
        """Return the stored form; None for an empty patch."""
        if self.empty:
            return None
        if not (self.delete or self.merge or self.drop or shared_in(self.set)):
            return jsonio.dumps_text({"s": self.set})
        return jsonio.dumps_text(self.to_data())

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> Patch:
        settings = data.get("s", {})
        if "k" in data:
            settings = dict(settings)
            restore(settings, data["k"])
        return Patch(settings, tuple(data.get("d", ())), data.get("m", {}), data.get("x", {}))

    @staticmethod
    def from_json(text: str | None) -> Patch:
        return EMPTY if text is None else Patch.from_data(jsonio.loads(text))


def _without(members: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name not in names}


def _drop_known(settings: dict[str, Any], drop: Mapping[str, Sequence[str]]) -> None:
    for key, names in drop.items():
        if isinstance(settings.get(key), dict):
            settings[key] = _without(settings[key], names)


EMPTY = Patch()
