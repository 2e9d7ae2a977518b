"""The preview pane of the inbox: facts at the top, prompt and context below.

The facts are redrawn every second. Prompt and context are laid out only when they change.
"""

from __future__ import annotations

from collections.abc import Hashable

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from victor_engine.api import RequestInfo
from victor_tui.inbox.request_context import Piece, context_content, context_pieces
from victor_tui.widgets.json_view import diff_style, looks_like_diff, text_lines
from victor_tui.widgets.preview import Facts

_LINES = 60
"""Maximum number of lines of each part of the context."""


class RequestPreview(VerticalScroll, can_focus=True):
    """A pane that shows one request, or nothing."""

    DEFAULT_CSS = """
    RequestPreview Static { height: auto; }
    RequestPreview #context-pane { margin-top: 1; }
    """

    def __init__(self) -> None:
        super().__init__(id="preview", classes="side")
        self._shown: Hashable = None
        self._facts = Static(markup=False)
        self._prompt = Static(markup=False)
        self._pieces = Static(markup=False, id="context-pane")

    def compose(self) -> ComposeResult:
        yield self._facts
        yield self._prompt
        yield self._pieces

    def show_head(self, facts: Facts) -> None:
        self._facts.update(facts.renderable())

    def is_showing(self, key: Hashable) -> bool:
        """Return whether the pane shows prompt and context of this key."""
        return self._shown == key

    def show_body(self, key: Hashable, facts: Facts, context: Content, *, to_top: bool) -> None:
        """Show prompt and context under `key`."""
        self._shown = key
        self._prompt.update(facts.renderable())
        self._pieces.update(context)
        if to_top:
            self.scroll_home(animate=False)


def request_context(request: RequestInfo) -> Content:
    """Return the context and the document of a request, with at most `_LINES` lines for each part."""
    pieces = context_pieces(request.context)
    if request.document is not None:
        style = diff_style if looks_like_diff(request.document) else None
        pieces.append(Piece("Document", "text", text_lines(request.document, style)))
    return context_content(pieces, _LINES, "enter opens the request")
