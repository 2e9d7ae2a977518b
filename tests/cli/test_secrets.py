"""Secret fields on the command line, and `victor audit`, on a store without an engine."""

from __future__ import annotations

import io
import json
import sqlite3
from pathlib import Path

import pytest

from tests.cli.test_inbox import Inbox
from tests.engine.support import engine_on, question, workspace
from victor_engine.cli.main import main

FORM = {
    "workflows/form.yaml": """
        workflows:
          form:
            version: 1.0.0
            nodes:
              - id: ask
                type: hitl
                hitl_type: input
                prompt: "Credentials?"
                timeout: 1h
                undo_window: 1h
                input_schema:
                  type: object
                  required: [user, db]
                  properties:
                    user: {type: string}
                    db: {type: object, properties: {password: {type: string, format: password}}}
                    pin: {type: integer, writeOnly: true}
                    other: {type: string, writeOnly: true}
        """
}


@pytest.fixture
async def form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    root = workspace(tmp_path, FORM)
    async with engine_on(root) as engine:
        run = await engine.start_run("form")
        return root, (await question(engine, run.id)).id


@pytest.fixture
def inbox(form: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> Inbox:
    made = Inbox(form[0], capsys)
    made.id = form[1]
    return made


def test_a_script_gives_secret_fields_on_standard_input(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("s3cret-words\n4711\n\n"))
    done = inbox("answer", inbox.id, "--value", '{"user": "ana"}')
    assert done["answer"] == {"user": "ana", "db": {"password": "***"}, "pin": "***"}
    assert "s3cret-words" not in inbox.raw("show", inbox.id)
    inbox.raw("undo", inbox.id)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    refused = inbox.raw("answer", inbox.id, "--value", '{"user": "ana"}', code=2)
    assert "db" in refused
    value = json.dumps({"user": "ana", "db": {"password": "s3cret-words"}, "pin": "no number"})
    refused = inbox.raw("answer", inbox.id, "--value", value, code=2)
    assert "can be read by other users" in refused
    assert "pin: must be a whole number" in refused
    assert "no number" not in refused


def test_the_audit_trail_is_exported_verified_and_pruned(
    inbox: Inbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.9 50000 192.0.2.1 22")

    def audit(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        found = main(
            ["--workspace", str(inbox.root), "--state-dir", str(inbox.root / ".state"), "audit", *words]
        )
        out = capsys.readouterr()
        assert found == code, out.err
        return out.out if code in (0, 9) else out.err

    inbox("claim", inbox.id)
    inbox("release", inbox.id)
    assert audit("export") == inbox.raw("audit")
    (request,) = map(json.loads, audit("export").splitlines())
    # The address is from the environment, so it is a claim, also of the user of the engine.
    assert request["events"][-1]["by"]["remote"] == "claimed:192.0.2.9"
    assert audit("export", "--csv") == inbox.raw("audit", "--csv")
    head = audit("head").strip()
    assert audit("verify", "--head", head) == f"intact: 3 records, head {head}\n"
    assert json.loads(audit("export", "--chain").splitlines()[-1])["digest"] == head.partition(":")[2]
    assert "give no other option" in audit("export", "--chain", "--csv", code=2)
    assert "64 hexadecimal digits" in audit("verify", "--head", "12", code=2)
    report = audit("verify", "--head", f"99:{'0' * 64}", code=9)
    assert "cut: record 99 is not in the chain" in report
    assert "NOT intact: 1 difference in 3 records" in report
    assert "no record is older" in audit("prune", "--before", "2000-01-01")
    other = sqlite3.connect(inbox.root / ".state" / "victor.db")
    other.execute("DELETE FROM audit WHERE seq = 2")
    other.commit()
    other.close()
    report = audit("verify", code=9)
    assert "deleted: record 2 is missing from the chain" in report
    assert json.loads(audit("verify", "--json", code=9))["intact"] is False
