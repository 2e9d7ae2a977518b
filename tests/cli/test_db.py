"""`victor db`: backups that can be restored, and damage that is reported with its remedy."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
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
    assert victor(root, "backup", str(link), "--force") == 8
    assert "is not a regular file" in capsys.readouterr().err
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
    assert [path.name for path in (root / ".state").glob("*victor.db*")] == ["victor.db"]


def damage(path: Path, table: str, page: int | None = None) -> None:
    """Overwrite the first page of a table, or another page, with noise."""
    with opened(path) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek(((page or root) - 1) * size)
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


@contextmanager
def changed(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a store to change it behind the back of the product, and close it with its log."""
    with closing(sqlite3.connect(path)) as connection, connection:
        yield connection


def row_counts(path: Path) -> dict[str, int]:
    with opened(path) as connection:
        return dict(whole_store.row_counts(connection))


async def test_a_sound_store_passes_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = workspace(tmp_path, FILES)
    await seeded(root)
    assert victor(root, "check") == 0
    assert "sound" in capsys.readouterr().out
    assert victor(root, "check", str(root / ".state" / "victor.db"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["contents"]["runs"] == 2
    with changed(root / ".state" / "victor.db") as connection:
        connection.execute("UPDATE requests SET comment = 'changed' WHERE outcome IS NOT NULL")
    assert victor(root, "check") == 9
    assert "audit chain is NOT intact" in capsys.readouterr().out
    assert victor(root, "backup", str(tmp_path / "copy.db")) == 9, (
        "the copy is kept, and the exit code says it"
    )
    assert (tmp_path / "copy.db").exists()


async def test_the_readable_rows_of_a_damaged_store_are_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = workspace(tmp_path, FILES)
    done, waiting = await seeded(root)
    path = root / ".state" / "victor.db"
    with changed(path) as connection:  # enough rows for a tree of pages
        (run,) = connection.execute("SELECT key FROM runs WHERE id = ?", (done,)).fetchone()
        connection.executemany(
            "INSERT INTO logs (run_key, attempt_id, at, stream, text) VALUES (?, 1, 1, 'stdout', ?)",
            [(run, f"{number} " + "x" * 400) for number in range(400)],
        )
    before = row_counts(path)
    leaf = logs_leaf(path)
    damage(path, "logs", leaf)

    assert victor(root, "check") == 8
    printed = capsys.readouterr().out
    assert "rows are lost in logs" in printed
    assert f"victor db check {path} --save FILE" in printed
    saved = tmp_path / "saved.db"
    assert victor(root, "check", "--save", str(saved)) == 8
    assert f"victor db restore --force {saved}" in capsys.readouterr().out
    after = row_counts(saved)
    lost = before.pop("logs") - after.pop("logs")
    assert 0 < lost < 20, "one page of rows is lost, not the rows before and after it"
    assert after == before

    assert victor(root, "restore", "--force", str(saved)) == 0
    assert victor(root, "check") == 0
    async with engine_on(root) as engine:
        (asked,) = await engine.requests(RequestQuery())
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        await until_end(engine, waiting)


def logs_leaf(path: Path) -> int:
    """Return a page in the middle of the table of the logs."""
    with opened(path) as connection:
        pages = connection.execute(
            "SELECT pageno FROM dbstat WHERE name = 'logs' AND pagetype = 'leaf' ORDER BY path"
        ).fetchall()
    return int(pages[len(pages) // 2][0])


async def test_lost_rows_take_their_details_with_them(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    await seeded(root)
    path = root / ".state" / "victor.db"
    damage(path, "requests")
    saved = tmp_path / "saved.db"
    assert victor(root, "check", "--save", str(saved)) == 8
    found = row_counts(saved)
    assert (found["runs"], found["requests"], found["request_people"], found["votes"]) == (2, 0, 0, 0)
    assert victor(root, "restore", "--force", str(saved)) == 0


def test_a_file_without_a_store_cannot_be_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = workspace(tmp_path, FILES)
    file = tmp_path / "noise.db"
    file.write_bytes(os.urandom(20_000))
    assert victor(root, "check", str(file)) == 8
    assert "no row can be read" in capsys.readouterr().out
    assert victor(root, "check", str(file), "--save", str(tmp_path / "saved.db")) == 8
    assert "no table of the store can be read; restore a backup" in capsys.readouterr().err
    assert not (tmp_path / "saved.db").exists()
    assert victor(root, "check", str(tmp_path / "missing.db")) == 2


async def test_the_size_by_table_and_the_space_that_a_vacuum_gives_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = workspace(tmp_path, FILES)
    await seeded(root)
    path = root / ".state" / "victor.db"
    with changed(path) as connection:
        connection.execute("INSERT INTO meta VALUES ('large', ?)", ("x" * 2_000_000,))
    with changed(path) as connection:
        connection.execute("DELETE FROM meta WHERE key = 'large'")
    assert victor(root, "size", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["store"]["free"] > 1_900_000
    assert {t["table"]: t["rows"] for t in found["store"]["tables"]}["runs"] == 2
    assert victor(root, "size") == 0
    assert "free on the disk" in capsys.readouterr().out
    before = row_counts(path)
    assert victor(root, "vacuum") == 0
    assert path.stat().st_size < 1_000_000
    assert row_counts(path) == before
    assert victor(root, "check") == 0


async def test_the_history_is_exported_without_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = workspace(tmp_path, FILES)
    done, waiting = await seeded(root)
    capsys.readouterr()
    assert victor(root, "export") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["id"]: line["status"] for line in lines if line["type"] == "run"} == {
        done: "succeeded",
        waiting: "waiting",
    }
    (answer,) = [line for line in lines if line["type"] == "event" and line["kind"] == "request.answered"]
    assert answer["data"]["outcome"] == "approved"
    assert answer["run_id"] == done
    assert {line["type"] for line in lines} >= {
        "version",
        "run",
        "attempt",
        "request",
        "vote",
        "event",
        "decision",
    }
    file = tmp_path / "history.jsonl"
    assert victor(root, "export", "--type", "run", "--since", "2001-01-01", "--output", str(file)) == 0
    assert [json.loads(line)["type"] for line in file.read_text().splitlines()] == ["run", "run"]
    assert victor(root, "export", "--workflow", "none", "--until", "2001-01-01", "--output", str(file)) == 8
    assert victor(root, "export", "--type", "secret") == 2
    assert "the types are version, schedule" in capsys.readouterr().err


async def test_the_rules_of_retention_are_shown_and_confirmed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = workspace(tmp_path, {**FILES, "victor.yaml": "scheduler: {history_retention_days: 1}\n"})
    await seeded(root)
    words = ["--workspace", str(root), "--state-dir", str(root / ".state")]

    def run(*more: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main([*words, *more])
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    def both(*more: str) -> tuple[int, str, str]:
        with ThreadPoolExecutor(1) as pool:  # each command has an event loop of its own
            return pool.submit(run, *more).result()

    before = row_counts(root / ".state" / "victor.db")
    code, out, err = both("db", "prune")
    assert (code, "NOT in force: 0 runs would be deleted" in out) == (0, True)
    digest = out.split("rules ")[1].split()[0]
    assert f"victor db prune --confirm --rules {digest}" in err
    assert both("db", "prune", "--dry-run", "--confirm")[0] == 2
    assert both("db", "prune", "--rules", digest)[0] == 2
    code, _, err = both("db", "prune", "--confirm", "--rules", "another")
    assert (code, "the rules of retention have changed" in err) == (5, True)
    assert row_counts(root / ".state" / "victor.db") == before, "looking and refused commands write nothing"
    assert "retention is not in force" in both("scheduler", "status")[2]
    code, out, _ = both("db", "prune", "--confirm", "--rules", digest)
    assert (code, "in force, confirmed by" in out) == (0, True)
    assert "retention is not in force" not in both("scheduler", "status")[2]
    assert json.loads(both("db", "prune", "--json")[1])["in_force"]


async def test_rules_of_the_configuration_of_the_last_daemon_are_shown_without_an_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = workspace(tmp_path, FILES)
    settings = tmp_path / "scheduler.yaml"
    settings.write_text("scheduler: {history_retention_days: 7}\n")
    async with engine_on(root, mode="daemon", config_file=settings) as engine:
        rules = await engine.retention()
    capsys.readouterr()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(victor, root, "prune", "--dry-run").result() == 0
    out = capsys.readouterr().out
    assert (rules.rules[0] in out, rules.digest in out) == (True, True)
    assert "7 days" in rules.rules[0]
