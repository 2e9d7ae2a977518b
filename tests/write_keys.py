"""Generate `docs/keys.md` from the table of keys: ``python -m tests.write_keys``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from textual.keys import format_key

from victor_tui.key_table import DIALOG_KEYS, GLOBAL, SCREEN_KEYS, WIDGET_KEYS, Key

PAGE = Path(__file__).parents[1] / "docs" / "keys.md"
TITLES = {
    "choice": "Fields that list the values that exist",
    "screen": "Every screen",
    "schedules": "Schedules",
    "timelines": "Day view of the schedules",
    "months": "Month view of the schedules",
    "runs": "Runs",
    "run": "One run",
    "dead": "Dead letters",
    "grids": "Grid of the newest runs",
    "compare": "Comparison of two runs",
    "inbox": "Inbox",
    "history": "History",
    "versions": "Versions",
    "table": "A table",
    "filter": "The filter",
    "lines": "A view of lines",
    "log": "A log",
    "graph": "The graph of a run",
    "tree": "A tree of values",
    "gantt": "The attempts of a run",
    "grid": "The cells of the grid",
    "timeline": "The lanes of the day view",
    "month": "The days of the month view",
    "rows": "A list of objects in a form",
    "dialog": "Every dialog",
    "start": "The start of a run with inputs",
    "command": "The command line",
    "listing": "Messages and actions",
    "editor": "A dialog with a long text",
    "answer": "A request",
    "together": "Several requests",
    "redrive": "A redrive",
    "views": "Saved views",
    "pick": "The list of workflows",
}
"""The title of each scope."""
INTRODUCTION = """
# Keys

Generated from `victor_tui/key_table.py`. To generate it again: `python -m tests.write_keys`.

The console needs no mouse. `?` shows the keys of the current screen or dialog, `ctrl+p` finds an action by its name.
No letter sends a decision: approve, reject and choose in the dialog of the request, and send with `ctrl+s`. Letters
that stop or remove something, such as `K`, ask for a confirmation first. A keymap file changes keys by their id: see
[Find your way in the console](guides/console.md#change-the-keys).
"""


def sign(name: str) -> str:
    """Return a key as people write it, such as `/`, `ctrl+s` or `enter`."""
    special = {"enter": "enter", "left": "←", "right": "→", "up": "↑", "down": "↓", "delete": "delete"}
    modifier, _, key = name.rpartition("+")
    return f"{modifier}+{key}" if modifier else special.get(key) or format_key(key)


def rows(keys: Iterable[Key]) -> Iterator[str]:
    """Yield the lines of the table of these keys. Keys of one action share a line."""
    yield "| key | name | action | id |"
    yield "|---|---|---|---|"
    for key in keys:
        signs = " ".join(f"`{sign(each)}`" for each in key.each)
        yield f"| {signs} | {key.name} | {key.about} | `{key.id}` |"


def page() -> str:
    """Return the text of the page."""
    lines = [*INTRODUCTION.strip().split("\n"), "", "## On all screens", "", *rows(GLOBAL)]
    for scopes in (SCREEN_KEYS, WIDGET_KEYS, DIALOG_KEYS):
        for scope, keys in scopes.items():
            lines += ["", f"## {TITLES[scope]}", "", *rows(keys)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
