"""The view of a screen: its filter, its order, and its choice of a list."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from msgspec import UNSET

from victor_tui.base_screen import TableScreen
from victor_tui.saved_views import SavedView
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.table import LineTable


@runtime_checkable
class ShowsViews(Protocol):
    """A screen with choices beside its filter and its order."""

    def show_view(self, view: SavedView) -> None:
        """Show a view."""
        ...


def has_views(screen: object) -> bool:
    """Return whether a screen has views: it is a main screen with a filter that is mounted."""
    return isinstance(screen, TableScreen) and screen.KEYS == screen.MODE and bool(screen.query(FilterBar))


def current_view(screen: TableScreen) -> SavedView:
    """Return the view that a screen shows, without a name."""
    table = _table(screen)
    return SavedView(
        "",
        screen.query_one(FilterBar).value,
        table.sort_key,
        table.sort_reverse,
        bool(getattr(screen, "show_done", False)),
        getattr(screen, "wanted", UNSET),
    )


def show_view(screen: TableScreen, view: SavedView) -> None:
    """Show a view on a screen."""
    if isinstance(screen, ShowsViews):
        screen.show_view(view)
        return
    screen.show_filter(view.filter)
    _table(screen).sort_by(view.order, view.reverse)


def _table(screen: TableScreen) -> LineTable[Any]:
    """Return the table that is shown."""
    tables = list(screen.query(LineTable))
    return next((table for table in tables if table.display), tables[0])
