"""`victor ask` and `victor inbox wait` as scripts call them: real processes, and every exit code."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.command_line import victor_words
from tests.engine.support import workspace
from tests.service.engines import daemon

pytestmark = pytest.mark.process


class Script:
    """Commands of a shell script on one workspace."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self.state = root / ".state"
        self.environ = {**os.environ, "VICTOR_RUNTIME": str(folder / "run")}
        self.words = victor_words(root, state=self.state)

    def run(self, *words: str, stdin: str = "") -> tuple[int, str, str]:
        done = subprocess.run(
            [*self.words, *words], env=self.environ, input=stdin, capture_output=True, text=True, timeout=60
        )
        return done.returncode, done.stdout.strip(), done.stderr.strip()

    def start(self, *words: str, input_text: str = "") -> subprocess.Popen[str]:
        with tempfile.TemporaryFile("w+") as file:
            file.write(input_text)
            file.seek(0)
            return subprocess.Popen(
                [*self.words, *words], env=self.environ, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True,
            )  # fmt: skip

    def open_request(self) -> str:
        """Return the open request, when there is one. A look into the store takes less than one by a command."""
        found: list[tuple[str]] = []

        def look() -> bool:
            with closing(sqlite3.connect(f"file:{self.state / 'victor.db'}?mode=ro", uri=True)) as store:
                found[:] = store.execute("SELECT id FROM requests WHERE status = 'open'").fetchall()
            return bool(found)

        until(look)
        return found[0][0]

    def ask(self, *words: str) -> str:
        code, out, err = self.run("ask", *words, "--no-wait")
        assert code == 0, err
        return out


def noted(asking: subprocess.Popen[str]) -> None:
    """Wait until a command has the answer of the engine, and notes its question: a signal withdraws it from then on."""
    assert asking.stderr is not None
    assert any(line.startswith("asked ") for line in asking.stderr)


def until(done: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not done():
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    monkeypatch.setenv("VICTOR_RUNTIME", str(tmp_path / "run"))
    (tmp_path / "run").mkdir(mode=0o755)
    return Script(workspace(tmp_path, {"victor.yaml": "hitl: {unknown_assignees: error}\n"}), tmp_path)


def test_every_exit_code(script: Script) -> None:
    code, out, err = script.run("ask", "Ship?")
    assert (code, out) == (7, "")
    assert "victor scheduler start" in err
    with daemon(script.folder, script.root, script.state):
        asked = script.start("ask", "Ship 4.2?", "--choices", "ship,hold", "--timeout", "1h")
        request = script.open_request()
        assert "daemon cannot connect to this engine" in script.run("inbox", "reassign", request, "daemon")[2]
        script.run("inbox", "reassign", request, _me())
        assert "root from a shell" in script.run("inbox", "list")[1].replace(_me(), "root")
        assert script.run("inbox", "answer", request, "hold", "--comment", "late")[0] == 0
        out, err = asked.communicate(timeout=60)
        assert (asked.returncode, out) == (0, "hold\n")
        assert f"answered by {_me()}: late" in err

        request = script.ask("Ship 4.2?")
        script.run("inbox", "answer", request, "no")
        assert script.run("inbox", "wait", request)[:2] == (1, "no")
        request = script.ask("Ship 4.2?")
        script.run("inbox", "answer", request, "yes")
        assert script.run("inbox", "wait", request)[:2] == (0, "yes")

        schema = script.folder / "schema.json"
        schema.write_text(
            '{"type": "object", "properties": {"port": {"type": "integer"}}, "required": ["port"]}'
        )
        request = script.ask("Port?", "--schema", str(schema))
        assert script.run("inbox", "answer", request, "--value", '{"port": "x"}')[0] == 2
        script.run("inbox", "answer", request, "--value", '{"port": 80}')
        code, out, _ = script.run("inbox", "wait", request, "--json")
        assert (code, json.loads(out)["answer"]) == (0, {"port": 80})

        assert script.run("ask", "Anyone?", "--timeout", "0.2s")[:2] == (124, "")
        assert script.run("ask", "Anyone?", "--timeout", "soon")[0] == 2
        assert script.run("ask", "Anyone?", "--assign", "no-such-user-here")[0] == 2
        assert script.run("inbox", "wait", "no-such")[0] == 4

        request = script.ask("Never mind?")
        assert script.run("inbox", "withdraw", request)[0] == 0
        assert script.run("inbox", "wait", request)[0] == 12
        code, _, err = script.run("inbox", "ask", request, "why?")
        assert (code, "ask-back" in err) == (5, True)

        interrupted = script.start("ask", "Wait?")
        request = script.open_request()
        noted(interrupted)
        interrupted.send_signal(signal.SIGINT)
        _, err = interrupted.communicate(timeout=60)
        assert (interrupted.returncode, "withdrawn: Wait?" in err) == (130, True)
        assert json.loads(script.run("inbox", "show", request, "--json")[1])["status"] == "withdrawn"


def test_a_question_survives_the_engine(script: Script) -> None:
    context = script.folder / "plan.txt"
    context.write_text("+ one\n")
    with daemon(script.folder, script.root, script.state):  # killed at the end of the block
        waiting = script.start("ask", "Still there?", "--context", str(context))
        request = script.open_request()
        noted(waiting)
    with daemon(script.folder, script.root, script.state):
        shown = json.loads(script.run("inbox", "show", request, "--json")[1])
        assert (shown["status"], shown["context"]) == ("open", {"plan.txt": "+ one\n"})
        assert script.run("inbox", "answer", request, "yes")[0] == 0
        out, _ = waiting.communicate(timeout=60)
        assert (waiting.returncode, out) == (0, "yes\n")


def _me() -> str:
    from victor_engine.identity import user_name

    return user_name(os.getuid())
