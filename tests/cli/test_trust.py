"""`victor trust` and a yes to `victor deploy`, without an engine and beside one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_cli import Capture, Victor
from tests.engine.support import workspace
from victor_engine.config.trust_list import place_of

FLOW = "workflows:\n  w:\n    nodes: [{id: a, type: transform, transform: 'x = 1'}]\n"


@pytest.fixture
def victor(tmp_path: Path, capsys: Capture) -> Victor:
    files = {
        "victor.yaml": "tools: {t: {command: [sh, bin/run.sh]}}\n",
        "w.yaml": FLOW,
        "bin/run.sh": "echo\n",
    }
    return Victor(workspace(tmp_path, files, trusted=False), capsys)


@pytest.fixture
def pinned(tmp_path: Path) -> None:
    settings = tmp_path / "home" / ".victor" / "scheduler.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text("trust: {content: pinned}\n")


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, *answers: bool) -> list[str]:
    """Let the questions of the command line have these answers. Return the questions."""
    asked: list[str] = []
    left = list(answers)

    def confirm(text: str, **_: object) -> bool:
        asked.append(text)
        return left.pop(0)

    monkeypatch.setattr("click.confirm", confirm)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    return asked


def test_trust_shows_the_content_asks_and_then_shows_what_is_new(
    victor: Victor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = on_a_terminal(monkeypatch, False, True, True)
    assert victor("trust") == 0
    assert "command   sh bin/run.sh" in victor.out
    assert "its content has 3 files" in victor.out
    assert victor.out.endswith("nothing was trusted\n")
    assert place_of(victor.root).record is None
    assert victor("trust") == 0
    assert victor.out.endswith("trusted\n")
    (victor.root / "bin/run.sh").write_text("echo changed\n")
    (victor.root / "new.yaml").write_text(FLOW.replace("w:", "n:"))
    assert victor("trust", "--show") == 0
    assert "  changed   bin/run.sh\n  new       new.yaml\n" in victor.out
    assert victor("trust") == 0
    assert asked == ["Trust this content?"] * 3
    assert victor("trust") == 0, "without a change it does not ask"
    assert "nothing changed" in victor.out


def test_without_a_terminal_trust_needs_yes_from_a_later_release(victor: Victor) -> None:
    assert victor("trust", "--yes") == 0
    assert not victor.err
    (victor.root / "bin/run.sh").write_text("echo changed\n")
    assert victor("trust") == 0
    assert "from 0.6.0, victor trust needs --yes without a terminal" in victor.err


@pytest.mark.usefixtures("pinned")
def test_a_yes_to_a_deployment_is_a_yes_to_its_content(
    victor: Victor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert victor("trust", "--yes") == 0
    assert victor("deploy", "--yes") == 0
    (victor.root / "w.yaml").write_text(FLOW.replace("x = 1", "x = 2"))
    assert victor("plan") == 6
    assert "w.yaml is not trusted: it changed since trust was given" in victor.err
    assert victor("deploy", "--yes") == 6
    assert "the files are not trusted. Review them, and run: victor trust" in victor.err
    assert victor("run", "w") == 0
    assert "w 0.0.1 starts, which is in force" in victor.err
    asked = on_a_terminal(monkeypatch, False, True)
    assert victor("deploy") == 0
    assert "nothing was deployed" in victor.out
    assert victor("deploy") == 0
    assert "1 change in force" in victor.out
    assert asked == ["Trust this content, and deploy these changes?"] * 2
    assert victor("plan") == 0


def test_withdrawn_content_is_not_brought_back(victor: Victor) -> None:
    assert victor("trust", "--yes") == 0
    assert victor("deploy", "--yes") == 0
    assert victor("trust", "--withdraw") == 0
    assert "is withdrawn" in victor.out
    assert victor("run", "w") == 6
    assert "withdrew the trust in it" in victor.err
    (victor.root / "w.yaml").write_text(FLOW.replace("x = 1", "x = 2"))
    assert victor("trust", "--yes") == 0
    assert victor("deploy", "--yes") == 0
    assert victor("deploy", "--undo", "--yes") == 3
    assert "w 0.0.1 is not brought back: the trust in it was withdrawn" in victor.err
    (victor.root / "w.yaml").write_text(FLOW)
    assert victor("plan") == 6
    assert "the trust in this content was withdrawn" in victor.err
    assert victor("trust", "--yes") == 0
    assert victor("deploy", "--yes") == 0, "a new yes ends the withdrawal"


def test_status_list_and_explain_say_that_a_workspace_is_not_trusted(victor: Victor) -> None:
    assert victor("scheduler", "add", "w", "--cron", "0 3 * * *", "--json") == 0
    schedule = json.loads(victor.out)["id"]
    for words, code in ((["status"], 7), (["list"], 0)):
        assert victor("scheduler", *words) == code
        assert "not trusted" in victor.err
        assert "it has not been trusted" in victor.err
    assert victor("scheduler", "explain", schedule) == 0
    assert "it does not fire, because the workspace is not trusted; its next time is" in victor.out
    assert "it has not been trusted. No schedule fires until it is trusted" in victor.out
    assert victor("scheduler", "explain", schedule, "--at", "2040-01-01 03:00") == 0
    assert "it will not fire, unless the workspace is trusted before then" in victor.out
    assert victor("trust", "--yes") == 0
    assert victor("scheduler", "status") == 7
    assert "not trusted" not in victor.err
    assert victor("scheduler", "explain", schedule) == 0
    assert ", if an engine runs then" in victor.out
