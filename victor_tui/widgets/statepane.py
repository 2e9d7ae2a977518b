"""The state of a run around one attempt: before it, after it, and the difference that it made."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import ContentSwitcher, Static

from victor_engine.api import AttemptState
from victor_tui.text import clean, plural
from victor_tui.theme import node_mark
from victor_tui.widgets.comparison import change_lines
from victor_tui.widgets.graph import toned
from victor_tui.widgets.lines import LineView
from victor_tui.widgets.value import ValueTree

VIEWS = ("after", "before", "changes")
"""What can be shown of an attempt, in the order in which one steps through it."""


class StatePane(Vertical):
    """Shows a state as a tree, or what an attempt changed as lines."""

    DEFAULT_CSS = """
    StatePane #state-head { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    StatePane ContentSwitcher { height: 1fr; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.view = VIEWS[0]
        self.around: AttemptState | None = None

    def compose(self) -> ComposeResult:
        yield Static("", id="state-head", markup=False)
        with ContentSwitcher(initial="state-tree"):
            yield ValueTree(id="state-tree")
            yield LineView(id="state-changes")

    def show(self, state: dict[str, Any], around: AttemptState | None) -> None:
        """Show what an attempt did; without one the state as it is."""
        self.around = around
        tree, changes = self.query_one(ValueTree), self.query_one("#state-changes", LineView)
        switcher = self.query_one(ContentSwitcher)
        switcher.current = "state-changes" if around is not None and self.view == "changes" else "state-tree"
        self.query_one("#state-head", Static).update(self._head(around))
        if around is None:
            tree.show(state)
            return
        tree.show(
            around.before if self.view == "before" else around.after,
            {} if self.view == "before" else _marks(around.attempt.changes),
        )
        nothing = [Content.styled("  it changed nothing", "$foreground-muted")]
        changes.set_lines(change_lines(around.changes, max(40, self.size.width)) or nothing)

    def _head(self, around: AttemptState | None) -> Content:
        if around is None:
            return Content.styled(" as it is now", "$foreground-muted")
        attempt = around.attempt
        mark = node_mark(attempt.status)
        again = f" #{attempt.number}" if attempt.number > 1 else ""
        loop = f" ×{attempt.iteration}" if attempt.iteration > 1 else ""
        words = {
            "after": f"{plural(len(around.changes), 'change')}",
            "before": "as it was before",
            "changes": "what it changed",
        }[self.view]
        return Content.assemble(
            (f" {'before' if self.view == 'before' else 'after'} ", "$foreground-muted"),
            (clean(f"{attempt.node_id}{loop}{again}"), "bold"),
            (f" {mark.glyph} ", toned(mark.tone)),
            (words, "$foreground-muted"),
            ("  b turns", "$foreground-muted"),
        )

    def turn(self) -> None:
        """The next view of the same attempt."""
        self.view = VIEWS[(VIEWS.index(self.view) + 1) % len(VIEWS)]
        if self.around is not None:
            self.show(self.around.after, self.around)
        self.focus_view()

    def focus_view(self) -> None:
        """Give the focus to what is shown."""
        shown = "#state-changes" if self.view == "changes" and self.around is not None else "#state-tree"
        self.query_one(shown).focus()


def _marks(changes: dict[str, Any]) -> dict[str, str]:
    """The signs of the top-level keys that an attempt changed."""
    marks = dict.fromkeys(changes.get("set", {}), "+")
    marks |= dict.fromkeys(changes.get("merged", {}), "~")
    return marks | dict.fromkeys(changes.get("deleted", []), "-")
