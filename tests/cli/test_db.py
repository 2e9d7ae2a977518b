"""`victor db`: backups that can be restored, and damage that is reported with its remedy."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import engine_on, question, until_end, workspace
from victor_engine.api import Answer, RequestQuery, RunQuery
from victor_engine.cli.main import main
from victor_engine.people.audit_verification import verify
from victor_engine.store.maintenance.copying import opened
from victor_engine.store.queries import whole_store

FILES = {
    "victor.yaml": "",
    "workflows/w.yaml": """
        workflows:
          ask:
            nodes:
              - {id: gate, type: hitl, hitl_type: approval, timeout: 1h, next: [after]}
              - {id: after, type: transform, transform: "said = gate"}
          password:
            nodes:
              - id: login
                type: hitl
                hitl_type: input
                timeout: 1h
                input_schema: {type: object, properties: {token: {type: string, format: password}}}
                next: [hold]
              - {id: hold, type: hitl, hitl_type: approval, timeout: 1h}
        """,
}


def victor(root: Path, *words: str, state: Path | None = None) -> int:
    return main(["--workspace", str(root), "--state-dir", str(state or root / ".state"), "db", *words])


async def seeded(root: Path) -> tuple[str, str]:
    """Leave a finished run and one that waits for an answer. Return their ids."""
    async with engine_on(root) as engine:
        done = (await engine.start_run("ask")).id
        asked = await question(engine, done)
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        await until_end(engine, done)
        open_run = (await engine.start_run("ask")).id
        await question(engine, open_run)
    return done, open_run


async def test_a_backup_is_restored_elsewhere_and_its_runs_continue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = workspace(tmp_path, FILES)
    done, waiting = await seeded(root)
    copies = tmp_path / "copies"
    copies.mkdir()
    assert victor(root, "backup", str(copies), "--json") == 0
    (copy,) = copies.iterdir()
    assert json.loads(capsys.readouterr().out)["copy"]["path"] == str(copy)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600, "the copy is as private as the store"

    elsewhere = root / ".state"
    shutil.rmtree(elsewhere)
    assert victor(root, "restore", str(copy)) == 0
    assert "2 runs, 1 of them active" in (printed := capsys.readouterr()).out
    assert "1 active runs continue when an engine starts" in printed.err
    async with engine_on(root) as engine:
        found = {run.id: run.status for run in await engine.runs(RunQuery())}
        assert found == {done: "succeeded", waiting: "waiting"}
        (asked,) = await engine.requests(RequestQuery())
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        await until_end(engine, waiting)
        assert (await engine.verify_audit(None)).intact


async def test_a_restore_keeps_the_store_that_it_replaces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = workspace(tmp_path, FILES)
    await seeded(root)
    copy = tmp_path / "copy.db"
    assert victor(root, "backup", str(copy)) == 0
    await seeded(root)  # two more runs, which the backup does not have
    assert victor(root, "restore", str(copy)) == 8
    assert "give --force to replace it" in capsys.readouterr().err
    assert victor(root, "restore", str(copy), "--force") == 0
    (kept,) = (root / ".state").glob("victor.db.replaced-*")
    for path, runs in ((kept, 4), (root / ".state" / "victor.db", 2)):
        with opened(path) as connection:
            assert whole_store.contents(connection).runs == runs
            assert verify(connection).intact


async def test_a_running_engine_keeps_its_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = workspace(tmp_path, FILES)
    await seeded(root)
    copy = tmp_path / "copy.db"
    assert victor(root, "backup", str(copy)) == 0
    from victor_engine.service.engine_lock import EngineLock

    lock = EngineLock(root / ".state")
    lock.try_acquire("daemon", "")
    with lock:
        assert victor(root, "restore", str(copy), "--force") == 7
    assert "stop it first: victor scheduler stop" in capsys.readouterr().err


async def test_a_backup_replaces_no_file_and_leaves_none_after_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = workspace(tmp_path, FILES)
    await seeded(root)
    copy = tmp_path / "copy.db"
    copy.write_text("mine")
    assert victor(root, "backup", str(copy)) == 8
    assert "exists already; give another file, or --force" in capsys.readouterr().err
    assert copy.read_text() == "mine"
    assert victor(root, "backup", str(copy), "--force") == 0
    assert victor(root, "backup", str(root / ".state" / "victor.db"), "--force") == 2
    assert "is the store itself" in capsys.readouterr().err
    link = tmp_path / "link.db"
    link.symlink_to(copy)
    assert victor(root, "backup", str(link)) == 8
    assert victor(root, "backup", str(tmp_path / "missing" / "copy.db")) == 2
    assert "is not a directory; create it" in capsys.readouterr().err
    assert not [name for name in os.listdir(tmp_path) if "partial" in name]


async def test_a_damaged_backup_is_not_restored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = workspace(tmp_path, FILES)
    await seeded(root)
    copy = tmp_path / "copy.db"
    assert victor(root, "backup", str(copy)) == 0
    damage(copy, "runs")
    before = (root / ".state" / "victor.db").read_bytes()
    assert victor(root, "restore", str(copy), "--force") == 8
    assert f"victor db check {copy}" in capsys.readouterr().err
    copy.write_text("no store")
    assert victor(root, "restore", str(copy), "--force") == 8
    assert (root / ".state" / "victor.db").read_bytes() == before
    assert {path.name for path in (root / ".state").iterdir()} <= {"victor.db", "engine.lock"}


def damage(path: Path, table: str) -> None:
    """Overwrite the first page of a table with noise."""
    with opened(path) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(os.urandom(size))


async def test_secret_answers_need_their_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    root = workspace(tmp_path, FILES)
    async with engine_on(root) as engine:
        run = (await engine.start_run("password")).id
        asked = await question(engine, run)
        secret: Any = {"token": "hunter2-hunter2"}
        await engine.answer(asked.id, asked.revision, Answer(outcome="submitted", value=secret))
        async for event in engine.subscribe(0):
            if event.kind == "request.opened" and event.node_id == "hold":
                break
    copy = tmp_path / "copy.db"
    assert victor(root, "backup", str(copy)) == 0
    key = tmp_path / "config" / "victor" / "answers.key"
    assert f"1 secret answers, encrypted with the key {key}, which is not in it" in capsys.readouterr().err
    assert b"hunter2" not in copy.read_bytes()
    assert key.read_text().strip().encode() not in copy.read_bytes()
    assert victor(root, "restore", str(copy), state=tmp_path / "same") == 0
    assert "cannot be read" not in capsys.readouterr().err
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "other"))
    assert victor(root, "restore", str(copy), state=tmp_path / "second") == 0
    assert "1 secret answers cannot be read: they were encrypted with another key" in capsys.readouterr().err
