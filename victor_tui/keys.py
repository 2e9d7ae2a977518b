"""The bindings of the table of keys.

Classes take their bindings when they are created. So `use_keymap` is called before the screens are imported.
"""

from __future__ import annotations

from textual.binding import Binding, BindingType

from victor_tui.key_table import SCOPES, SCREENS, Key
from victor_tui.keymap import Keymap

__all__ = ["SCREENS", "bindings", "key_of", "keymap_problems", "use_keymap"]

_used = Keymap({})


def use_keymap(keymap: Keymap) -> None:
    """Use the keys of the user for all bindings that are created later."""
    global _used
    _used = keymap


def keymap_problems() -> tuple[str, ...]:
    """Return the problems with the keymap of the user."""
    return _used.problems


def key_of(id: str, key: str) -> str:
    """Return the key that the user gave an action, or `key`."""
    return _used.keys.get(id, key)


def bindings(*scopes: str) -> list[BindingType]:
    """Return the bindings of these scopes of the table of keys."""
    return [_binding(key) for scope in scopes for key in SCOPES[scope]]


def _binding(key: Key) -> Binding:
    return Binding(
        _used.keys.get(key.id, key.keys),
        key.action,
        key.name,
        id=key.id,
        tooltip=key.about,
        show=key.show,
        priority=key.priority,
    )
