"""The report of the problems with the user's keymap when the console starts."""

from __future__ import annotations

from victor_tui.app_context import Console
from victor_tui.keys import key_of, keymap_problems
from victor_tui.text import clean


def report_keymap(console: Console) -> None:
    """Show one message for all problems with the keymap, and keep each of several for the list of messages."""
    problems = [clean(problem) for problem in keymap_problems()]
    if len(problems) > 1:
        for problem in reversed(problems):
            console.session.tell("warning", "Keymap", problem)
        problems = [
            f"{len(problems)} entries of keymap.yaml are ignored; {key_of('app.messages', '!')} lists them"
        ]
    for problem in problems:
        console.notify(problem, title="Keymap", severity="warning", timeout=15, markup=False)
