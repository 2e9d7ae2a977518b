"""The providers of the command palette, imported on first use."""

from __future__ import annotations

from collections.abc import Callable

from textual.command import Provider


def _actions() -> type[Provider]:
    from victor_tui.command_palette import ActionCommands

    return ActionCommands


def _found() -> type[Provider]:
    from victor_tui.found_commands import FoundCommands

    return FoundCommands


PROVIDERS: frozenset[type[Provider] | Callable[[], type[Provider]]] = frozenset({_actions, _found})
"""The actions of the current screen, and things by name."""
