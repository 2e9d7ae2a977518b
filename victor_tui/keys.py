"""Keys that mean the same on every screen. Letters, digits, F-keys, arrows and safe control keys only."""

from __future__ import annotations

from textual.binding import Binding, BindingType

SCREENS: tuple[tuple[str, str, str], ...] = (
    ("schedules", "Schedules", "S"),
    ("runs", "Runs", "R"),
    ("inbox", "Inbox", "I"),
    ("history", "History", "H"),
    ("versions", "Versions", "V"),
)
"""Mode, title and letter of each screen; its digit is its place in this list."""

SCREEN_BINDINGS: list[BindingType] = [
    Binding(
        f"{place},{letter}",
        f"show('{mode}')",
        title,
        id=f"app.{mode}",
        tooltip=f"Show the {title.lower()} screen",
        show=False,
    )
    for place, (mode, title, letter) in enumerate(SCREENS, 1)
]

APP_BINDINGS: list[BindingType] = [
    *SCREEN_BINDINGS,
    Binding(
        "a", "answer", "Answer", id="app.answer", tooltip="Answer the most urgent open request", show=False
    ),
    Binding(
        "U", "take_back", "Take back", id="app.take_back", tooltip="Take your newest answer back", show=False
    ),
    Binding(
        "question_mark", "help", "Help", key_display="?", id="app.help", tooltip="All keys of this screen"
    ),
    Binding("f1", "help", "Help", id="app.help1", tooltip="All keys of this screen", show=False),
    Binding(
        "f5", "reload", "Reload files", id="app.reload", tooltip="Read the workflow files again", show=False
    ),
    Binding(
        "f8",
        "drain",
        "Drain or undrain",
        id="app.drain",
        tooltip="Start nothing more, or end that",
        show=False,
    ),
    Binding(
        "f9",
        "start_engine",
        "Start an engine",
        id="app.start_engine",
        tooltip="Start an engine in this console after the other one has ended",
        show=False,
    ),
    Binding("q", "leave", "Quit", id="app.quit", tooltip="Close the console"),
    Binding("ctrl+q", "leave", "Quit", id="app.quit2", tooltip="Close the console", show=False),
]
