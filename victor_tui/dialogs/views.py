"""The dialogs and the commands of the saved views of a screen."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, cast

import msgspec
from msgspec import UNSET
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Label, Static

from victor_tui.base_screen import TableScreen
from victor_tui.dialogs.base import DialogBody, Held, SendingDialog
from victor_tui.dialogs.picker import Picker
from victor_tui.keys import bindings
from victor_tui.saved_views import SavedView, ViewsError, read_views, remove_view, save_view, views_path
from victor_tui.screen_views import current_view, has_views, show_view
from victor_tui.text import clean, one_line, plain
from victor_tui.widgets.columns import Column


class SaveViewDialog(SendingDialog[SavedView | None], Held[SavedView | None]):
    """Asks for the name of a view, and saves it. Dismisses with the saved view, or None."""

    SENDS = "yes"

    def __init__(self, path: Path, view: SavedView) -> None:
        super().__init__()
        self._path = path
        self._view = view

    def compose(self) -> ComposeResult:
        shown = f"filter: {self._view.filter or 'none'}"
        with Vertical(id="box"):
            yield Static(Content.styled("Save this view", "bold"), id="head")
            with DialogBody(id="body", can_focus=False):
                yield Static(plain(one_line(shown, 200)), markup=False, classes="text")
                yield Label("Name (a view of this name is replaced)", classes="label")
                yield Input(self._view.name, id="name", compact=True)
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Save", id="yes", variant="primary", compact=True)
                yield Button("Cancel", id="no", compact=True)
                yield Label("ctrl+s save · esc cancel", classes="hint")

    def on_mount(self) -> None:
        self.query_one("#name").focus()

    def entered(self) -> None:
        self.show_error("ctrl+s saves.", "$warning")

    def action_submit(self) -> None:
        name = self.query_one("#name", Input).value.strip()
        view = msgspec.structs.replace(self._view, name=name)
        try:
            save_view(self._path, view)
        except ViewsError as error:
            self.show_error(str(error))
        else:
            self.dismiss(view)


SAVE: Literal["save"] = "save"
"""The result of the list of views if the user wants to save the current one."""


class ViewsDialog(Picker[SavedView | Literal["save"], SavedView]):
    """A list of the saved views. Dismisses with a view, `SAVE`, or None."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("views")
    PICKER_TITLE = "Saved views"
    EMPTY = "No view is saved: s saves the filter and the order of the screen."

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def columns(self) -> Sequence[Column[SavedView]]:
        return [
            Column("name", "Name", 20, lambda view, _: (view.name, "head")),
            Column("filter", "Filter", 30, lambda view, _: (view.filter, "plain"), None, 1, 1),
            Column("list", "List", 8, lambda view, _: (_list(view), "dim")),
        ]

    def name_of(self, row: SavedView) -> str:
        return row.name

    def text_of(self, row: SavedView) -> str:
        return f"{row.name} {row.filter}"

    def result_of(self, row: SavedView) -> SavedView:
        return row

    def on_mount(self) -> None:
        self._fill()

    def _fill(self) -> None:
        try:
            self.show_rows(read_views(self._path))
        except ViewsError as error:
            self.app.notify(str(error), title="Error", severity="error", markup=False)
            self.dismiss(None)

    def action_save(self) -> None:
        self.dismiss(SAVE)

    def action_remove(self) -> None:
        """Remove the view under the cursor."""
        view = self.table.row
        if view is not None:
            try:
                remove_view(self._path, view.name)
            except ViewsError as error:
                self.app.notify(str(error), title="Error", severity="error", markup=False)
            self._fill()


def _list(view: SavedView) -> str:
    if view.view is not UNSET:
        return view.view
    return "decided" if view.decided else ""


async def choose_view(screen: TableScreen) -> None:
    """Choose a saved view of a screen, or save its current one under a name."""
    chosen = await screen.console.push_screen_wait(ViewsDialog(views_path(screen.MODE)))
    if chosen == SAVE:
        await keep_view(screen)
    elif isinstance(chosen, SavedView):
        show_view(screen, chosen)


async def keep_view(screen: TableScreen) -> None:
    """Save the filter and the order of a screen under a name."""
    dialog = SaveViewDialog(views_path(screen.MODE), current_view(screen))
    saved = await screen.console.push_screen_wait(dialog)
    if saved is not None:
        screen.notify(clean(f"View saved: {saved.name}. F chooses it."), markup=False)


class ViewCommands(Provider):
    """The saved views of the screen as commands of the palette."""

    def _views(self) -> list[SavedView]:
        if not has_views(self.screen):
            return []
        try:
            return read_views(views_path(cast("TableScreen", self.screen).MODE))
        except ViewsError as error:
            self.app.notify(str(error), title="Error", severity="error", markup=False)
            return []

    def _use(self, view: SavedView) -> partial[None]:
        return partial(show_view, cast("TableScreen", self.screen), view)

    async def discover(self) -> Hits:
        for view in self._views():
            yield DiscoveryHit(plain(f"View: {view.name}"), self._use(view), help=plain(view.filter) or None)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for view in self._views():
            text = f"View: {view.name}"
            if (score := matcher.match(text)) > 0:
                yield Hit(score, plain(text), self._use(view), text=text, help=plain(view.filter) or None)
