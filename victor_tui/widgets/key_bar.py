"""The line of available keys at the bottom. Help and quit are always visible.

The footer of Textual has a widget for each key, and composes all of them again when a key appears or
disappears. With each move of the cursor this took longer than anything else on the screen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.reactive import reactive
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from victor_tui.screen_lifecycle import is_alive

ALWAYS = ("help", "leave")
"""Actions whose keys are always visible."""


@dataclass(frozen=True)
class ShownKey:
    """One key with its action. `enabled` is False if the action is not available now or not permitted."""

    action: str
    key: str
    display: str
    description: str
    enabled: bool
    tooltip: str
    refused: bool = False
    """Whether the current user needs another role. The key then shows which."""

    @property
    def width(self) -> int:
        """Width in cells, including spaces."""
        return cell_len(self.display) + 2 + (cell_len(self.description) + 1 if self.description else 0)


class KeyBar(Widget):
    """The active bindings that fit into the line. A click on one presses its key.

    If the line is too short, the last bindings of the screen are dropped first. The help lists all.
    """

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-bar--key", "key-bar--description"}
    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; color: $footer-foreground; background: $footer-background; }
    KeyBar > .key-bar--key {
        color: $footer-key-foreground; background: $footer-key-background; text-style: bold;
    }
    KeyBar > .key-bar--description {
        color: $footer-description-foreground; background: $footer-description-background;
    }
    """

    keys: reactive[tuple[ShownKey, ...]] = reactive(())

    def __init__(self, refusal: Callable[[str, object], str | None] = lambda action, node: None) -> None:
        """`refusal` returns why the current user may not take an action of a node, or None."""
        super().__init__()
        self._refusal = refusal

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._update)

    def _update(self, screen: Screen[object]) -> None:
        if screen is self.screen and is_alive(screen):
            self.keys = tuple(self._shown())

    def _shown(self) -> list[ShownKey]:
        """Return each action once, with its first key."""
        found: dict[str, ShownKey] = {}
        for node, binding, enabled, tooltip in self.screen.active_bindings.values():
            if binding.show and binding.action not in found:
                display = self.app.get_key_display(binding)
                refusal = self._refusal(binding.action, node)
                found[binding.action] = ShownKey(
                    binding.action,
                    binding.key,
                    display,
                    binding.description,
                    enabled and refusal is None,
                    refusal or tooltip or binding.description,
                    enabled and refusal is not None,
                )
        return list(found.values())

    @property
    def drawn(self) -> list[ShownKey]:
        """The keys that fit into the line."""
        kept = list(self.keys)
        excess = sum(shown.width for shown in kept) - self.size.width
        for shown in self.keys[::-1]:
            if excess > 0 and shown.action not in ALWAYS:
                excess -= shown.width
                kept.remove(shown)
        return kept

    def render_line(self, y: int) -> Strip:
        base, key = self.rich_style, self.get_component_rich_style("key-bar--key")
        words = self.get_component_rich_style("key-bar--description")
        pieces = []
        for shown in self.drawn:
            dim = Style(dim=not shown.enabled or None)
            pieces.append(Segment(f" {shown.display} ", key + dim))
            if shown.description:
                pieces.append(Segment(f"{shown.description} ", words + dim))
        return Strip(pieces).adjust_cell_length(self.size.width, base)

    def _at(self, x: int) -> ShownKey | None:
        end = 0
        for shown in self.drawn:
            end += shown.width
            if x < end:
                return shown
        return None

    def on_mouse_move(self, event: events.MouseMove) -> None:
        shown = self._at(event.x)
        self.tooltip = shown.tooltip if shown else None

    def on_mouse_down(self, event: events.MouseDown) -> None:
        shown = self._at(event.x)
        if shown is None:
            return
        if shown.enabled or shown.refused:
            self.app.simulate_key(shown.key)
        else:
            self.app.bell()
