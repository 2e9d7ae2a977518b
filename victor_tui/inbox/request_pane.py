"""The pane beside the inbox: facts that change with the clock above, prompt and context below.

Only the facts are drawn again each second; prompt and context are laid out when they change.
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
"""Lines of each part of the context that the pane shows."""


class RequestPreview(VerticalScroll, can_focus=True):
    """Shows one request, or nothing."""

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
        """Whether prompt and context of this key are there already."""
        return self._shown == key

    def show_body(self, key: Hashable, facts: Facts, context: Content, *, to_top: bool) -> None:
        """Show prompt and context under `key`."""
        self._shown = key
        self._prompt.update(facts.renderable())
        self._pieces.update(context)
        if to_top:
            self.scroll_home(animate=False)


def request_context(request: RequestInfo) -> Content:
    """The context of a request and the document that it is about, as far as a pane shows them."""
    pieces = context_pieces(request.context)
    if request.document is not None:
        style = diff_style if looks_like_diff(request.document) else None
        pieces.append(Piece("Document", "text", text_lines(request.document, style)))
    return context_content(pieces, _LINES, "enter opens the request")
