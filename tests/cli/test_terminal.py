"""Output on a terminal contains no control sequences, and JSON keeps its content."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from tests.command_line import victor_words
from tests.engine.support import engine_on, until_end, workspace

HARM = "\x9b31m\x9d0;title\x9c\u202efdp.exe\u2066\u200b\x7f\x1b[2J"
FILES = {
    "harm.py": f"print({HARM!r})\n",
    "bad.py": f"import json\nprint(json.dumps({{'error': {{'type': 'E', 'message': {HARM!r}}}}}))\n",
    "victor.yaml": f"""
        handlers:
          say: {{command: [{json.dumps(sys.executable)}, harm.py]}}
          bad: {{command: [{json.dumps(sys.executable)}, bad.py]}}
        """,
    "w.yaml": """
        workflows:
          w:
            nodes:
              - {id: say, type: compute, handler: say, next: [bad]}
              - {id: bad, type: compute, handler: bad}
        """,
}


def printed(root: Path, *words: str, terminal: bool) -> str:
    """Run a command with a terminal or a pipe as its output, and return the output."""
    command = victor_words(root, *words)
    if not terminal:
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=90, check=True)
        return done.stdout.decode()
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        data = bytearray()
        try:
            while part := os.read(ours, 65_536):
                data += part
        except OSError:  # the end of a terminal
            pass
        os.close(ours)
        assert process.wait(90) == 0, data
    return data.decode().replace("\r\n", "\n")


def acting(text: str) -> list[str]:
    return [char for char in text if char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cf")]


@pytest.mark.process
async def test_output_contains_no_control_sequences(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    async with engine_on(root) as engine:
        run = (await engine.start_run("w", state={"given": HARM})).id
        await until_end(engine, run)
    for words in (
        ("runs", "show", run),
        ("runs", "logs", run),
        ("runs", "list"),
        ("runs", "dead"),
    ):
        shown = printed(root, *words, terminal=True)
        assert shown, words
        assert acting(shown) == [], words
    for words in (("runs", "show", run), ("runs", "list"), ("runs", "dead")):
        shown, piped = (printed(root, *words, "--json", terminal=on) for on in (True, False))
        assert acting(shown) == [], words
        assert json.loads(shown) == json.loads(piped), words
    assert json.loads(printed(root, "runs", "show", run, "--json", terminal=True))["state"]["given"] == HARM
    lines = printed(root, "runs", "logs", run, "--json", terminal=True)
    assert acting(lines) == []
    assert HARM.split("\x1b")[0] in [json.loads(line)["text"].split("\x1b")[0] for line in lines.splitlines()]
