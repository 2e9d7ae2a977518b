"""The bindings of the table of keys, and the hints for keys that moved."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from victor_tui.key_table import MOVED, SCOPES, SCREENS, Key

__all__ = ["SCREENS", "bindings", "moved_hint"]


def bindings(*scopes: str) -> list[BindingType]:
    """Return the bindings of these scopes of the table of keys."""
    return [_binding(key) for scope in scopes for key in SCOPES[scope]]


def _binding(key: Key) -> Binding:
    return Binding(
        key.keys,
        key.action,
        key.name,
        id=key.id,
        tooltip=key.about,
        show=key.show,
        priority=key.priority,
    )


_HINTS = {(moved.scope, moved.key): moved.hint for moved in MOVED}


def moved_hint(scope: str, key: str) -> str | None:
    """Return the hint for a key that had another action in this scope in the last release, or None."""
    return _HINTS.get((scope, key))
