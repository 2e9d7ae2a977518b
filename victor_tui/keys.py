"""The keys that are the same on every screen: letters, digits, F-keys, arrows and safe control keys only."""

from __future__ import annotations

from textual.binding import Binding, BindingType

SCREENS: tuple[tuple[str, str, str], ...] = (
    ("schedules", "Schedules", "S"),
    ("runs", "Runs", "R"),
    ("inbox", "Inbox", "I"),
    ("history", "History", "H"),
    ("versions", "Versions", "V"),
)
"""Mode, title and letter of each screen. Its digit is its position in this list."""

SCREEN_BINDINGS: list[BindingType] = [
    Binding(
        f"{number},{letter}",
        f"show('{mode}')",
        title,
        id=f"app.{mode}",
        tooltip=f"Show the {title.lower()} screen",
        show=False,
    )
    for number, (mode, title, letter) in enumerate(SCREENS, 1)
]

APP_BINDINGS: list[BindingType] = [
    *SCREEN_BINDINGS,
    Binding(
        "a", "answer", "Answer", id="app.answer", tooltip="Answer the most urgent open request", show=False
    ),
    Binding(
        "U", "take_back", "Undo answer", id="app.take_back", tooltip="Undo your newest answer", show=False
    ),
    Binding(
        "question_mark",
        "help",
        "Help",
        key_display="?",
        id="app.help",
        tooltip="Show all keys of this screen",
    ),
    Binding("f1", "help", "Help", id="app.help1", tooltip="Show all keys of this screen", show=False),
    Binding("f5", "reload", "Reload files", id="app.reload", tooltip="Reload the workflow files", show=False),
    Binding(
        "f8",
        "drain",
        "Drain",
        id="app.drain",
        tooltip="Drain, or stop draining",
        show=False,
    ),
    Binding(
        "f9",
        "start_engine",
        "Start an engine",
        id="app.start_engine",
        tooltip="Start an engine in this console if no other is running",
        show=False,
    ),
    Binding("q", "leave", "Quit", id="app.quit", tooltip="Close the console"),
    Binding("ctrl+q", "leave", "Quit", id="app.quit2", tooltip="Close the console", show=False),
]
