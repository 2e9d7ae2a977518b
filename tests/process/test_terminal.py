"""The console in a real terminal, with the keyboard only: the typed answers are stored."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import workspace
from tests.process.terminal import Terminal, needs_tmux
from tests.process.test_kill import attached
from tests.tui.test_form import AMISS, TABLE

pytestmark = [pytest.mark.process, needs_tmux, pytest.mark.timeout(900)]

OPEN = "╭──"
"""The corner of a dialog that no toast covers."""
AT_ONCE = "console: {undo: 0}"
"""The configuration in which answers are in force at once."""
LEAVES = "esc again discards them"
"""What a form inside a form says before it gives up what was typed."""
NAMES = {
    "enter": "Enter", "tab": "Tab", "space": "Space", "down": "Down", "end": "End", "home": "Home",
    "backspace": "BSpace", "escape": "Escape", "ctrl+s": "C-s",
}  # fmt: skip
"""tmux's names for Textual's keys."""

Question = dict[str, Any]
Stored = tuple[str, Any, str]
"""Outcome, answer and comment."""

HALVES = [pytest.param(slice(start, None, 2), id=name) for start, name in enumerate(("even", "odd"))]
"""Two processes of pytest-xdist can take one half each: a table takes longer than any other test."""


def one_after_the_other(questions: list[Question]) -> str:
    """Return a workflow with all these requests, whatever the answers; the node ids are `q00`, `q01`, …"""
    nodes = []
    for number, question in enumerate(questions):
        node = {"id": f"q{number:02}", "type": "hitl", "name": name_of(number), "prompt": "Well?", **question}
        if number + 1 < len(questions):
            after = f"q{number + 1:02}"
            yes_no = node["hitl_type"] in ("approval", "confirmation", "review") and "choices" not in node
            node["next"] = {"approved": after, "rejected": after} if yes_no else [after]
        nodes.append(node)
    return json.dumps({"workflows": {"asks": {"nodes": nodes}}})


def name_of(number: int) -> str:
    return f"Asked {number:02}"


def stored(root: Path) -> dict[str, Stored]:
    """Return the answers by node, read without the engine."""
    path = f"file:{root / '.state' / 'victor.db'}?mode=ro"
    with closing(sqlite3.connect(path, uri=True)) as connection:
        rows = connection.execute(
            "SELECT node_id, outcome, answer, comment FROM requests WHERE status = 'answered'"
        )
        return {
            node: (outcome, None if answer is None else json.loads(answer), comment)
            for node, outcome, answer, comment in rows
        }


def press(terminal: Terminal, keys: list[str]) -> None:
    """Type without waiting: keys by the names of tmux, and texts that start with `=`."""
    for key in keys:
        if key.startswith("="):
            terminal.text(key[1:])
        elif key == "Escape":  # with a following key it would be interpreted as Alt
            again = LEAVES in terminal.screen()
            terminal.keys(key)
            terminal.until(gone=[LEAVES]) if again else terminal.until(LEAVES)
        else:
            terminal.keys(key)


def as_pressed(keys: list[str]) -> list[str]:
    """Return the keys of Textual as keys of tmux, with consecutive letters as a text."""
    found: list[str] = []
    for key in keys:
        if key in NAMES:
            found.append(NAMES[key])
        elif found and found[-1].startswith("="):
            found[-1] += key
        else:
            found.append(f"={key}")
    return found


def open_dialog(terminal: Terminal, number: int) -> None:
    """Answer from the inbox, when the request is shown."""
    terminal.until(name_of(number))
    terminal.keys("a")
    terminal.until(OPEN)


def sent(terminal: Terminal, root: Path, node: str) -> bool:
    """Press ctrl+s unless the request of `node` is answered; return whether it is."""
    if node in stored(root):
        return True
    terminal.keys("C-s")
    return False


def refused(terminal: Terminal, words: str) -> bool:
    """Press ctrl+s unless the dialog shows these words; return whether it does."""
    screen = terminal.screen()
    if OPEN in screen and " ".join(words.split()) in " ".join(screen.split()):
        return True
    terminal.keys("C-s")
    return False


async def answer_all(root: Path, given: list[tuple[list[str], Stored]]) -> None:
    """Answer every request of `asks` in a terminal of 80x24, and compare the stored answers.

    Between the key that opens the dialog and the last key there are no waits; `C-s` at the end is repeated
    until the dialog accepts it.
    """
    with Terminal(root) as terminal:
        async with attached(root) as port:
            run = await port.start_run("asks")
            terminal.keys("3")
            for number, (keys, expected) in enumerate(given):
                terminal.until(name_of(number), gone=[OPEN])  # the dialog before it has closed
                assert keys[-1] == "C-s"
                press(terminal, ["a", *keys[:-1]])
                node = f"q{number:02}"
                terminal.eventually(f"{node} is answered", lambda node=node: sent(terminal, root, node))
                assert stored(root)[node] == expected
            terminal.eventually("the run has ended", lambda: status(root, run.id) == "succeeded")


def status(root: Path, run_id: str) -> str:
    with closing(sqlite3.connect(f"file:{root / '.state' / 'victor.db'}?mode=ro", uri=True)) as connection:
        (found,) = connection.execute("SELECT status FROM runs WHERE id = ?", (run_id,)).fetchone()
        return str(found)


SHIP = [{"value": "ship", "label": "Ship", "description": "now", "style": "success"}, "hold", "drop"]
KINDS: list[tuple[Question, list[str], Stored]] = [
    ({"hitl_type": "approval"}, ["Left", "C-s"], ("approved", True, "")),
    ({"hitl_type": "approval"}, ["Right", "C-s"], ("rejected", False, "")),
    ({"hitl_type": "approval", "require_comment": True},
     ["Right", "C-t", "=not y", "BSpace", "BSpace", "= now", "C-s"], ("rejected", False, "not now")),
    ({"hitl_type": "approval"}, ["Tab", "=fine", "Tab", "Enter", "C-s"], ("approved", True, "fine")),
    ({"hitl_type": "approval", "choices": SHIP}, ["Down", "C-s"], ("answered", "hold", "")),
    ({"hitl_type": "confirmation"}, ["Left", "C-s"], ("approved", True, "")),
    ({"hitl_type": "confirmation"}, ["Right", "C-s"], ("rejected", False, "")),
    ({"hitl_type": "choice", "choices": SHIP}, ["Down", "Down", "Enter", "C-s"], ("answered", "drop", "")),
    ({"hitl_type": "choice", "choices": SHIP, "multiple": True}, ["Space", "Down", "Down", "Space", "Tab", "=two", "C-s"],
     ("answered", ["ship", "drop"], "two")),
    ({"hitl_type": "input"}, ["=first", "Enter", "=secnd", "Left", "Left", "=o", "C-s"], ("answered", "first\nsecond", "")),
    ({"hitl_type": "review", "context_keys": ["text"]}, ["Left", "C-s"], ("approved", True, "")),
    ({"hitl_type": "review", "context_keys": ["text"]}, ["Right", "C-s"], ("rejected", False, "")),
    ({"hitl_type": "review", "context_keys": ["text"], "allow_edit": True},
     ["Down", "End", "=, changed", "Tab", "Tab", "Enter", "C-s"], ("approved", "one\ntwo, changed\nthree", "")),
    ({"hitl_type": "override", "default_value": "scale up"}, ["C-s"], ("accepted", "scale up", "")),
    ({"hitl_type": "override", "default_value": {"by": 2}}, ['={"by": 3}', "Tab", "=more", "C-s"],
     ("overridden", {"by": 3}, "more")),
    ({"hitl_type": "override", "default_value": 3, "input_schema": {"type": "integer"}}, ["BSpace", "=5", "C-s"],
     ("overridden", 5, "")),
]  # fmt: skip


async def test_every_kind_is_answered(tmp_path: Path) -> None:
    first = {"id": "write", "type": "transform", "transform": r"text = 'one\ntwo\nthree'", "next": ["q00"]}
    content = json.loads(one_after_the_other([question for question, _, _ in KINDS]))
    content["workflows"]["asks"]["nodes"].insert(0, first)
    root = workspace(tmp_path, {"victor.yaml": AT_ONCE, "workflows/asks.yaml": json.dumps(content)})
    await answer_all(root, [(keys, expected) for _, keys, expected in KINDS])


@pytest.mark.parametrize("half", HALVES)
async def test_each_construct_of_a_schema_is_filled(tmp_path: Path, half: slice) -> None:
    questions = [{"hitl_type": "input", "input_schema": schema} for _, schema, _, _ in TABLE[half]]
    root = workspace(
        tmp_path, {"victor.yaml": AT_ONCE, "workflows/asks.yaml": one_after_the_other(questions)}
    )
    given = [([*as_pressed(keys), "C-s"], ("answered", expected, "")) for _, _, keys, expected in TABLE[half]]
    await answer_all(root, given)


@pytest.mark.parametrize("half", HALVES)
async def test_an_answer_that_does_not_match_the_schema_is_refused(tmp_path: Path, half: slice) -> None:
    files = {
        f"workflows/w{number:02}.yaml": one_after_the_other([{"hitl_type": "input", "input_schema": schema}])
        .replace("asks", f"w{number:02}").replace(name_of(0), name_of(number))
        for number, (_, schema, _, _, _) in enumerate(AMISS[half])
    }  # fmt: skip
    root = workspace(tmp_path, {"victor.yaml": "{}", **files})
    with Terminal(root) as terminal:
        async with attached(root) as port:
            terminal.keys("3")
            for number, (_, _, keys, _, words) in enumerate(AMISS[half]):
                run = await port.start_run(f"w{number:02}")
                open_dialog(terminal, number)
                press(terminal, as_pressed(keys))
                terminal.eventually(words, lambda words=words: refused(terminal, words))
                terminal.keys("Escape")
                terminal.until(gone=[OPEN])
                await port.cancel_run(run.id)
                terminal.until(gone=[name_of(number)])
    assert stored(root) == {}


async def test_the_editor_gets_the_last_input(tmp_path: Path) -> None:
    why = {"type": "object", "properties": {"why": {"type": "string", "maxLength": 900}}}
    questions: list[Question] = [{"hitl_type": "input"}, {"hitl_type": "input", "input_schema": why}]
    root = workspace(
        tmp_path, {"victor.yaml": AT_ONCE, "workflows/asks.yaml": one_after_the_other(questions)}
    )
    editor = root / "editor"
    # It takes over the terminal, like an editor, and prints when it is ready.
    editor.write_text('#!/bin/sh\necho "EDITING $(cat "$1")"\nread line\nprintf "%s" " $line" >> "$1"\n')
    editor.chmod(0o755)
    with Terminal(root, environment={"EDITOR": str(editor)}) as terminal:
        async with attached(root) as port:
            await port.start_run("asks")
            terminal.keys("3")
            for number in range(2):
                open_dialog(terminal, number)
                press(terminal, ["=because of thx", "BSpace", "=is", "C-x"])
                terminal.until("EDITING because of this")
                press(terminal, ["=and that", "Enter"])
                terminal.until(OPEN, "because of this and that", gone=["EDITING"])
                terminal.send(gone=[OPEN])
    said = "because of this and that"
    assert stored(root) == {"q00": ("answered", said, ""), "q01": ("answered", {"why": said}, "")}
