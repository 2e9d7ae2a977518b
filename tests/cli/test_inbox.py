"""`victor inbox`: every action, with and without JSON, on a store without an engine."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import engine_on, question, workspace
from victor_engine.cli.main import main
from victor_engine.identity import user_name

ME = user_name(os.getuid())
FLOW = {
    "workflows/flow.yaml": f"""
        workflows:
          flow:
            version: 1.0.0
            nodes:
              - {{id: draft, type: transform, transform: "n = n + 1", next: [gate]}}
              - {{id: gate, type: hitl, prompt: "Draft {{n}}.", timeout: 1h, undo_window: 1h, allow_questions: true,
                 assignees: [{ME}], next: [out]}}
              - {{id: out, type: transform, transform: "done = n"}}
        """
}


class Inbox:
    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.capsys = capsys
        self.id = ""

    def raw(self, *words: str, code: int = 0) -> str:
        self.capsys.readouterr()
        found = main(
            ["--workspace", str(self.root), "--state-dir", str(self.root / ".state"), "inbox", *words]
        )
        out = self.capsys.readouterr()
        assert found == code, out.err
        return out.out if code == 0 else out.err

    def __call__(self, *words: str) -> Any:
        return json.loads(self.raw(*words, "--json"))


@pytest.fixture
async def asked(tmp_path: Path) -> tuple[Path, str]:
    root = workspace(tmp_path, FLOW)
    async with engine_on(root) as engine:
        run = await engine.start_run("flow", state={"n": 0})
        request = await question(engine, run.id)
    return root, request.id


@pytest.fixture
def inbox(asked: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> Inbox:
    made = Inbox(asked[0], capsys)
    made.id = asked[1]
    return made


def test_listing_and_showing(inbox: Inbox) -> None:
    (found,) = inbox("list")
    assert (found["id"], found["asked_as"]) == (inbox.id, "name")
    assert [q["id"] for q in inbox("list", "--mine", "--unclaimed")] == [inbox.id]
    assert inbox("list", "--groups") == []
    assert inbox("list", "--overdue") == []
    assert inbox("list", "--workflow", "other") == []
    shown = inbox("show", inbox.id[:12])
    assert shown["can_go_back_to"] == ["draft"]
    text = inbox.raw("show", inbox.id)
    assert "Draft 1." in text
    assert "can be pushed back to: draft" in text
    assert "approve -> out\nreject -> ends as rejected\n" in text
    assert re.search(r"^started  by \S+$", text, re.M)
    assert shown["ways"][0] == {"answers": ["approve"], "nodes": ["out"]}
    assert f"for      {ME}" in text


def test_claim_delegate_reassign_and_questions(inbox: Inbox) -> None:
    assert inbox("claim", inbox.id)["claimed_by"] == ME
    assert "claimed_by" not in inbox("release", inbox.id)
    assert inbox("ask", inbox.id, "Which one?")["held_left"] > 3000
    assert "held" in inbox.raw("list")
    assert "question by" in inbox.raw("show", inbox.id)
    assert "held_since" not in inbox("reply", inbox.id, "This one.")
    delegated = inbox("delegate", inbox.id, "root", "--note", "away", "--if-revision", "1")
    assert delegated["assignees"] == ["root"]
    assert inbox.raw("reassign", inbox.id, ME, "group:daemon", "--if-revision", "1", code=5)
    assert inbox("reassign", inbox.id, ME, "group:daemon")["assignees"] == [ME, "group:daemon"]


def test_answer_undo_and_answer_again(inbox: Inbox) -> None:
    assert "at revision 1, not 7" in inbox.raw("answer", inbox.id, "approve", "--if-revision", "7", code=5)
    assert "must be answered with approve or reject" in inbox.raw("answer", inbox.id, "perhaps", code=2)
    printed = inbox.raw("answer", inbox.id, "approve", "--if-revision", "1", "--comment", "well done")
    assert "takes effect at" in printed
    held = rf"approved by {ME}, in force in (60|59) min"
    assert re.search(held, inbox.raw("list"))
    shown = inbox.raw("show", inbox.id)
    assert re.search(held, shown)
    assert shown.count("approved by") == 2, "the answer, and when it is in force"
    assert shown.count("well done") == 1
    assert "answered this request at" in inbox.raw("answer", inbox.id, "reject", code=5)
    assert inbox("undo", inbox.id)["status"] == "open"
    assert inbox.raw("undo", inbox.id, code=5)
    done = inbox("push-back", inbox.id, "draft", "--comment", "shorter")
    assert (done["outcome"], done["pushed_back_to"]) == ("pushed_back", "draft")
    (past,) = inbox("history")
    assert past["id"] == inbox.id


def test_the_audit_trail_is_exported_as_json_lines_and_csv(inbox: Inbox) -> None:
    inbox("answer", inbox.id, "approve", "--comment", "=1+1")
    inbox("undo", inbox.id)
    inbox("answer", inbox.id, "reject")
    (record,) = [json.loads(line) for line in inbox.raw("audit", "--json").splitlines()]
    assert record["digest_matches"]
    assert [event["event"] for event in record["events"]] == [
        "request.opened", "request.answered", "request.undone", "request.answered",
    ]  # fmt: skip
    assert [e.get("outcome") for e in record["events"]] == [None, "approved", "approved", "rejected"]
    assert record["events"][1]["by"]["uid"] == os.getuid()
    rows = list(csv.DictReader(io.StringIO(inbox.raw("audit", inbox.id, "--csv"))))
    assert [row["comment"] for row in rows] == ["", "'=1+1", "", ""]
    assert inbox.raw("audit", "--workflow", "other") == ""
    assert "not both" in inbox.raw("audit", "--csv", "--json", code=2)
