"""`victor run` on a terminal: a question of its run is answered right there."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from pathlib import Path

import pytest

from tests.command_line import victor_words
from tests.engine.support import workspace

pytestmark = pytest.mark.process

FLOW = {
    "victor.yaml": "",
    "w.yaml": """
        workflows:
          ask:
            nodes:
              - {id: gate, type: hitl, hitl_type: approval, prompt: "Ship \\e[2J it?", next: [where]}
              - {id: where, type: hitl, hitl_type: choice, prompt: "Where to?", choices: [left, right], next: [out]}
              - {id: out, type: transform, transform: "went = where"}
        """,
}


class Typist:
    """A user at the terminal of a command."""

    def __init__(self, root: Path, *words: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            victor_words(root, *words), stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        os.set_blocking(self._ours, False)
        self.seen = ""

    def until(self, text: str) -> str:
        """Read until a text appears, and return the output up to it."""
        limit = time.monotonic() + 60
        while text not in self.seen:
            assert time.monotonic() < limit, self.seen
            try:
                self.seen += os.read(self._ours, 65_536).decode()
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:  # the command has ended
                assert text in self.seen, self.seen
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, line: str) -> None:
        os.write(self._ours, f"{line}\n".encode())

    def end(self) -> int:
        code = self.process.wait(60)
        os.close(self._ours)
        return code


def test_the_questions_of_a_run_are_answered_on_its_terminal(tmp_path: Path) -> None:
    typist = Typist(workspace(tmp_path, FLOW), "run", "ask")
    shown = typist.until("Type approve or reject")
    assert "Ship ␛[2J it?" in shown
    typist.until("leaves it in the inbox")
    typist.type("maybe")
    typist.until("must be answered with approve or reject")
    typist.type("approve")
    typist.until("Type one of left, right")
    typist.type("right")
    typist.until("succeeded after")
    assert typist.end() == 0


def test_an_empty_line_leaves_a_question_in_the_inbox(tmp_path: Path) -> None:
    root = workspace(tmp_path, FLOW)
    typist = Typist(root, "run", "ask")
    typist.until("leaves it in the inbox")
    typist.type("")
    typist.until("left in the inbox")
    other = Typist(root, "inbox", "list")
    other.until("Ship")
    assert other.end() == 0
    typist.process.terminate()
    assert typist.end() == 143
