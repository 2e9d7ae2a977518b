"""Hostile content in a real terminal: no control sequence of it is written, and the layout is unchanged."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.command_line import victor_words
from tests.engine.support import workspace
from tests.process.terminal import Terminal, needs_tmux
from tests.process.test_kill import attached
from tests.tui import absurd
from victor_engine.api import RequestQuery, RunQuery
from victor_engine.text import sign
from victor_tui.text import is_harmless

pytestmark = [pytest.mark.process, needs_tmux, pytest.mark.timeout(600)]

WORK = f"""
import sys
sys.stdin.read()
text = {absurd.LINE!r}
print(text, file=sys.stderr)
print(text)
print({absurd.FAKE!r}, file=sys.stderr)
sys.exit(3)
"""
CHOICES = [
    {"value": f"{number}{absurd.LINE}", "label": f"{number}{absurd.LINE}", "description": absurd.LINE}
    for number in range(30)
]
ASKS = {
    "hitl_type": "choice",
    "name": absurd.LINE,
    "prompt": absurd.PROMPT,
    "choices": CHOICES,
    "context_keys": ["said", "deep"],
}
CSI = re.compile(r"\x1b\[([<=>?]?)([0-9;:]*)([ -/]?)([@-~])")
WRITES = {"m", "H", "h", "l", "u", "t", "p", "n", "c", "A", "B", "C", "D", "J", "K"}
"""How the console's own sequences end: colours, positions, modes and questions to the terminal."""
TITLE = re.compile(r"\x1b\]2;([^\x00-\x1f\x7f-\x9f]*)\x07")
POINTER = re.compile(r"\x1b\]22;[a-z-]*(\x07|\x1b\\)")
NOTE = re.compile(r"\x1bPtmux;\x1b\x1b\](9;victor|777;notify;victor): ([^\x00-\x1f\x7f-\x9f]*)\x07\x1b\\")


def hostile_workspace(path: Path, notify: str = "auto") -> Path:
    nodes = [
        {"id": "gate", "type": "hitl", **ASKS, "next": ["work"]},
        {"id": "work", "type": "compute", "handler": "bad", "name": absurd.LINE},
    ]
    victor = {"handlers": {"bad": {"command": [sys.executable, "work.py"]}}, "console": {"notify": notify}}
    content = {"workflows": {"asks": {"description": absurd.LINE, "nodes": nodes}}}
    files = {"victor.yaml": json.dumps(victor), "work.py": "", "workflows/asks.yaml": json.dumps(content)}
    root = workspace(path, files)
    (root / "work.py").write_text(WORK)
    return root


def only_its_own(raw: str) -> None:
    """Check that the output has only the control sequences of the console."""
    titles = TITLE.findall(raw)
    assert titles
    assert all(re.fullmatch(r"victor( · \d+ waiting)?", title) for title in titles)
    rest = POINTER.sub("", NOTE.sub("", TITLE.sub("", raw)))
    for private, numbers, between, end in CSI.findall(rest):
        assert end in WRITES, (private, numbers, between, end)
    for sequence in ("\x1b[6n", "\x1b[5;10r", "\x1b[!p", "\x1bc"):
        assert sequence not in rest
    rest = CSI.sub("", rest).replace("\a", "").replace("\x1b7", "").replace("\x1b8", "")
    # DECRQSS and similar sequences start with ESC P or ESC _, links and titles with ESC ].
    assert not [rest[match.start() : match.start() + 40] for match in re.finditer("\x1b", rest)]
    assert {char for char in rest if not is_harmless(char)} <= {"\r"}


def frame_stands(screen: str) -> bool:
    """Check that every line is as wide as the terminal, and that the border of the dialog is complete."""
    lines = screen.rstrip("\n").split("\n")
    top = next((place for place, line in enumerate(lines) if line.startswith("╭──")), None)
    if top is None or not lines[top].endswith("──╮"):
        return False
    bottom = next(place for place, line in enumerate(lines) if place > top and line.startswith("╰──"))
    inside = lines[top + 1 : bottom]
    return all(
        line.startswith("│") and line.endswith("│") and cell_len(line) == len(lines[top]) for line in inside
    )


def fits(screen: str) -> bool:
    """Check that no line is wider than the terminal, and that the tabs are at their positions."""
    lines = screen.split("\n")
    return lines[1].startswith(" 1 Schedules   2 Runs   3 Inbox") and max(map(cell_len, lines)) <= 80


async def test_no_control_sequence_reaches_the_terminal(tmp_path: Path) -> None:
    root = hostile_workspace(tmp_path)
    raw = tmp_path / "raw"
    state = {"said": absurd.LINE, "deep": {absurd.LINE: [absurd.LINE, f"{absurd.FAKE}\n{absurd.LINE}"]}}
    with Terminal(root) as terminal:
        terminal.record(raw)
        async with attached(root) as port:
            await port.start_run("asks", state=state)
            terminal.keys("3")
            terminal.until("PWNED-CSI", lambda _: terminal.about("#{pane_title}") == "victor · 1 waiting")
            header = terminal.screen().split("\n")[0]
            assert "PWNED" not in header
            terminal.keys("a")
            terminal.until(frame_stands, "Send", "ctrl+s send")
            for keys in (["BTab"], ["PPage"], ["PPage"], ["Home"], ["NPage"], ["NPage"], ["End"]):
                terminal.keys(*keys)
                terminal.until(frame_stands, "Send", "ctrl+s send")
            terminal.resize(120, 40)
            terminal.until("ctrl+s send", "╭──")
            terminal.resize(80, 24)
            terminal.until(frame_stands, "Send", "ctrl+s send")
            terminal.keys("Escape")
            terminal.until(gone=["ctrl+s send"])
            listed = printed(root, "inbox", "list") + printed(root, "inbox", "show", await request_id(root))
            assert "PWNED-CSI" in listed
            await decide(root)
            terminal.until(lambda _: terminal.about("#{pane_title}") == "victor")
            terminal.keys("2")
            terminal.until("failed")
            (run,) = await port.runs(RunQuery())
            assert run.status == "failed"
            assert "PWNED-CSI" in printed(root, "runs", "show", run.id) + printed(root, "logs", run.id)
            terminal.keys("Enter")
            terminal.until("gate", "work")
            for key in ("Tab", "Down", "l", "s", "t", "g", "4", "1", "5", "3"):
                before = len(raw.read_bytes())
                terminal.keys(key)
                terminal.eventually("it draws", lambda before=before: len(raw.read_bytes()) > before)
                terminal.until(fits)
            terminal.until("No open requests")
            terminal.keys("v")
            terminal.until("PWNED-CSI", fits)
    text = raw.read_bytes().decode()
    assert "PWNED-CSI" in text
    only_its_own(text)


async def request_id(root: Path) -> str:
    async with attached(root) as port:
        return (await port.requests(RequestQuery()))[0].id


async def decide(root: Path) -> None:
    from victor_engine.api import Answer

    async with attached(root) as port:
        (request,) = await port.requests(RequestQuery())
        await port.answer(request.id, request.revision, Answer("answered", request.choices[0].value))


def printed(root: Path, *words: str) -> str:
    """Return the output of the command line, and check that it has no control sequences."""
    done = subprocess.run(victor_words(root, *words), capture_output=True, check=False, cwd=root, timeout=120)
    said = (done.stdout + done.stderr).decode()
    assert all(char == "\n" or sign(char) == char for char in said)
    return said


@pytest.mark.parametrize("notify", ["osc9", "osc777"])
async def test_a_request_is_reported_in_a_real_terminal(tmp_path: Path, notify: str) -> None:
    root = hostile_workspace(tmp_path, notify)
    raw = tmp_path / "raw"
    with Terminal(root, settings={"allow-passthrough": "on", "monitor-bell": "on"}) as terminal:
        terminal.record(raw)
        async with attached(root) as port:
            # With its first title the console has read the inbox. A request from before that is not reported as new.
            terminal.until("Schedules", lambda _: terminal.about("#{pane_title}") == "victor")
            assert terminal.about("#{window_bell_flag}") == "0"
            await port.start_run("asks")
            terminal.until(lambda _: terminal.about("#{pane_title}") == "victor · 1 waiting")
            terminal.eventually("the bell", lambda: terminal.about("#{window_bell_flag}") == "1")
            terminal.eventually(
                "the notification", lambda: NOTE.search(raw.read_bytes().decode(errors="replace"))
            )
    text = raw.read_bytes().decode()
    ((kind, words),) = NOTE.findall(text)
    assert kind.startswith("9" if notify == "osc9" else "777")
    assert "New request" in words
    assert "PWNED-CSI" in words
    only_its_own(text)
