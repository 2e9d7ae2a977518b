"""The dialog that exports what a screen lists."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Label, Static

from victor_engine.api import RunInfo
from victor_engine.errors import VictorError
from victor_tui.base_screen import TableScreen
from victor_tui.dialogs.base import DialogBody, Held, SendingDialog
from victor_tui.exports import (
    MAX_ROWS,
    PAGE,
    ExportError,
    Pages,
    check_new,
    event_pages,
    export,
    listed,
    request_pages,
    run_pages,
)
from victor_tui.history.facts import event_query
from victor_tui.history.screen import HistoryScreen
from victor_tui.inbox.screen import InboxScreen
from victor_tui.runs.columns import is_stuck
from victor_tui.runs.screen import RunsScreen
from victor_tui.text import clean
from victor_tui.versions.rows import VersionRow
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.table import LineTable


def pages_of(screen: TableScreen) -> Pages:
    """Return the pages of all rows that match the filter of a screen."""
    port, now = screen.port, screen.now()
    if isinstance(screen, RunsScreen):
        stuck = screen.filter.stuck
        return run_pages(port, screen.filter.run_query(PAGE), lambda run: not stuck or is_stuck(run, now))
    if isinstance(screen, HistoryScreen):
        if screen.view == "runs":
            return run_pages(port, screen.filter.run_query(PAGE), _any_run)
        return event_pages(port, event_query(screen.filter, PAGE, activity=screen.view == "activity"))
    if isinstance(screen, InboxScreen):
        return request_pages(port, screen.requests.query())
    table = next(table for table in screen.query(LineTable) if table.display)
    return listed([row.info if isinstance(row, VersionRow) else row for row in table.rows])


def _any_run(run: RunInfo) -> bool:
    return True


def file_name(screen: TableScreen) -> str:
    """Return a name for the file of an export."""
    return f"{screen.MODE}-{screen.now().astimezone(screen.console.zone):%Y%m%d-%H%M%S}.csv"


class ExportDialog(SendingDialog[Path | None], Held[Path | None]):
    """Asks for the file of an export. Dismisses with its path, or None."""

    SENDS = "yes"

    def __init__(self, filter: str, name: str) -> None:
        super().__init__()
        self._filter, self._file = filter, name

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(Content.styled("Export the list", "bold"), id="head")
            with DialogBody(id="body", can_focus=False):
                shown = f"All rows that match the filter: {self._filter or 'none'}"
                yield Static(clean(shown), markup=False, classes="text")
                yield Label("File (.csv or .jsonl)", classes="label")
                yield Input(str(Path.cwd() / self._file), id="name", compact=True)
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Export", id="yes", variant="primary", compact=True)
                yield Button("Cancel", id="no", compact=True)
                yield Label("ctrl+s export · esc cancel", classes="hint")

    def on_mount(self) -> None:
        self.query_one("#name").focus()

    def entered(self) -> None:
        self.show_error("ctrl+s exports.", "$warning")

    def action_submit(self) -> None:
        path = Path(os.path.expanduser(self.query_one("#name", Input).value.strip()))
        try:
            check_new(path)
        except ExportError as error:
            self.show_error(clean(error))
        else:
            self.dismiss(path)


async def export_list(screen: TableScreen) -> None:
    """Ask for a file, export the list of a screen to it, and report the number of rows."""
    console = screen.console
    bar = screen.query_one(FilterBar)
    path: Any = await console.push_screen_wait(ExportDialog(bar.value, file_name(screen)))
    if path is None:
        return
    console.notify(clean(f"Exporting to {path} …"), timeout=3, markup=False)
    try:
        count = await export(pages_of(screen), path)
    except VictorError as error:
        console.report(error)
    except ExportError as error:
        console.notify(clean(error), title="Error", severity="error", timeout=10, markup=False)
    else:
        cut = f" The export ends at {MAX_ROWS:,} rows." if count >= MAX_ROWS else ""
        console.notify(clean(f"Exported {count:,} rows to {path}.{cut}"), markup=False)
