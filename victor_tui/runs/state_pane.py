"""The state of a run before and after one attempt, and the changes of the attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import ContentSwitcher, Static

from victor_engine.api import AttemptInfo, AttemptState
from victor_tui.runs.comparison import change_lines
from victor_tui.text import clean, plural
from victor_tui.theme import node_mark
from victor_tui.widgets.graph import toned
from victor_tui.widgets.json_view import ValueTree
from victor_tui.widgets.lines import LineView

VIEWS = ("after", "before", "changes")
"""The views of an attempt, in the order of the key that switches them."""


class StatePane(Vertical):
    """A state as a tree, or the changes of an attempt as lines."""

    DEFAULT_CSS = """
    StatePane #state-head { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    StatePane ContentSwitcher { height: 1fr; }
    """

    def __init__(self, read: Callable[[int], Awaitable[AttemptState | None]], *, id: str) -> None:
        """Create the pane. `read` returns the state of an attempt, or None after it showed an error."""
        super().__init__(id=id)
        self.view = VIEWS[0]
        self._read_around = read
        self._state: dict[str, Any] = {}
        self.around: AttemptState | None = None
        self._known: tuple[int, str] | None = None
        """The attempt of `around` and its status. The state is read again when they change."""

    def compose(self) -> ComposeResult:
        yield Static("", id="state-head", markup=False)
        with ContentSwitcher(initial="state-tree"):
            yield ValueTree(id="state-tree")
            yield LineView(id="state-changes")

    def show(self, state: dict[str, Any], attempt: AttemptInfo | None) -> None:
        """Show the state of an attempt when it is loaded; without an attempt the current state."""
        self._state = state
        if attempt is None:
            self._known = self.around = None
            self._draw()
        elif self._known != (attempt.id, attempt.status):
            self.screen.run_worker(self._read(attempt), group="state", exclusive=True)
        else:
            self._draw()

    async def _read(self, attempt: AttemptInfo) -> None:
        around = await self._read_around(attempt.id)
        if around is not None and self.is_attached:
            self.around, self._known = around, (attempt.id, attempt.status)
            self._draw()

    def _draw(self) -> None:
        around = self.around
        tree, changes = self.query_one(ValueTree), self.query_one("#state-changes", LineView)
        switcher = self.query_one(ContentSwitcher)
        switcher.current = "state-changes" if around is not None and self.view == "changes" else "state-tree"
        self.query_one("#state-head", Static).update(self._head(around))
        if around is None:
            tree.show(self._state)
            return
        tree.show(
            around.before if self.view == "before" else around.after,
            {} if self.view == "before" else _marks(around.attempt.changes),
        )
        nothing = [Content.styled("  no changes", "$foreground-muted")]
        changes.set_lines(change_lines(around.changes, max(40, self.size.width)) or nothing)

    def _head(self, around: AttemptState | None) -> Content:
        if around is None:
            return Content.styled(" current state", "$foreground-muted")
        attempt = around.attempt
        mark = node_mark(attempt.status)
        again = f" #{attempt.number}" if attempt.number > 1 else ""
        loop = f" ×{attempt.iteration}" if attempt.iteration > 1 else ""
        words = {
            "after": f"{plural(len(around.changes), 'change')}",
            "before": "state before it",
            "changes": "its changes",
        }[self.view]
        return Content.assemble(
            (f" {'before' if self.view == 'before' else 'after'} ", "$foreground-muted"),
            (clean(f"{attempt.node_id}{loop}{again}"), "bold"),
            (f" {mark.glyph} ", toned(mark.tone)),
            (words, "$foreground-muted"),
            ("  b switches", "$foreground-muted"),
        )

    def turn(self) -> None:
        """Show the next view of the same attempt."""
        self.view = VIEWS[(VIEWS.index(self.view) + 1) % len(VIEWS)]
        if self.around is not None:
            self._draw()
        self.focus_view()

    def focus_view(self) -> None:
        """Focus the visible view."""
        shown = "#state-changes" if self.view == "changes" and self.around is not None else "#state-tree"
        self.query_one(shown).focus()


def _marks(changes: dict[str, Any]) -> dict[str, str]:
    """Return the signs of the top-level keys that an attempt changed."""
    marks = dict.fromkeys(changes.get("set", {}), "+")
    marks |= dict.fromkeys(changes.get("merged", {}), "~")
    return marks | dict.fromkeys(changes.get("deleted", []), "-")
