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


def _views() -> type[Provider]:
    from victor_tui.dialogs.views import ViewCommands

    return ViewCommands


PROVIDERS: frozenset[type[Provider] | Callable[[], type[Provider]]] = frozenset({_actions, _found, _views})
"""The actions and the saved views of the current screen, and things by name."""
