"""The numbered steps of the schema: no two have one number, and old stores come to the newest."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from victor_engine.errors import StoreError
from victor_engine.store import pragmas, schema
from victor_engine.store.db import open_store
from victor_engine.store.state import run_state
from victor_engine.store.stored_position import position_of, progress


def test_steps_are_numbered_from_one_without_a_gap() -> None:
    numbers = [number for number, _, _ in schema._migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


def migrated(*, to: int | None = None, path: Path | str = ":memory:") -> sqlite3.Connection:
    """Return a database that only the numbered migrations have made."""
    connection = sqlite3.connect(path, isolation_level=None)
    for number, _, sql in schema._migrations():
        if to is None or number <= to:
            connection.executescript(f"{sql}\nPRAGMA user_version = {number};")
    return connection


def described(connection: sqlite3.Connection) -> dict[str, object]:
    """Return all that SQLite knows of each table, index and trigger, apart from the spelling of its SQL."""
    names = [
        (kind, name, sql)
        for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name")
        if not name.startswith("sqlite_")
    ]
    return {
        name: (
            kind,
            connection.execute(f"PRAGMA table_xinfo({name})").fetchall(),
            connection.execute(f"PRAGMA foreign_key_list({name})").fetchall(),
            connection.execute(f"PRAGMA index_xinfo({name})").fetchall(),
            " ".join(sql.split()),
        )
        for kind, name, sql in names
    }


def test_the_migrations_lead_to_the_schema_file() -> None:
    old = migrated()
    new = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(new, ":memory:")
    assert described(new) == described(old), "write schema.sql anew: python -m tests.store.write_schema"
    assert pragmas.schema_version(new) == schema.newest_version()
    assert schema.dump_schema(new) == schema.dump_schema(old)


def test_an_old_store_is_copied_before_it_is_upgraded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "victor.db"
    old = migrated(to=7, path=path)
    old.execute("INSERT INTO meta (key, value) VALUES ('marker', '7')")
    old.close()
    open_store(path)._require_writer().close()
    copy = tmp_path / "victor.db.before-8"
    assert str(copy) in caplog.text
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    kept = sqlite3.connect(copy)
    assert pragmas.schema_version(kept) == 7
    assert kept.execute("SELECT value FROM meta WHERE key = 'marker'").fetchone() == ("7",)
    assert sorted(tmp_path.glob("*.before-*")) == [copy]
    open_store(path)._require_writer().close()
    assert pragmas.schema_version(sqlite3.connect(path)) == schema.newest_version()
    assert sorted(tmp_path.glob("*.before-*")) == [copy]
    path.unlink()
    migrated(to=7, path=path).close()
    open_store(path)._require_writer().close()
    assert sorted(tmp_path.glob("*.before-*")) == [copy, tmp_path / "victor.db.before-8.2"]


def test_without_a_copy_nothing_is_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "victor.db"
    migrated(to=7, path=path).close()
    blocked = tmp_path / "victor.db.before-8.partial"
    blocked.mkdir()
    (blocked / "x").touch()
    with pytest.raises(StoreError, match="cannot copy the database before its upgrade"):
        open_store(path)
    assert pragmas.schema_version(sqlite3.connect(path)) == 7


def test_a_new_store_needs_no_copy(tmp_path: Path) -> None:
    open_store(tmp_path / "victor.db")._require_writer().close()
    assert not list(tmp_path.glob("*.before-*"))


def test_a_run_of_an_old_store_stands_where_it_stood() -> None:
    connection = migrated(to=7)
    connection.executescript("""
        INSERT INTO definitions (workflow, version, checksum, content, text, registered_at)
          VALUES ('w', '1.0.0', 'c', '{}', '', 1);
        INSERT INTO runs (key, id, workflow, definition_id, status, trigger, created_at, input, position, snapshot,
          snapshot_at, nodes_done) VALUES (1, 'r', 'w', 1, 'running', 'manual', 1, '{"x": 0}',
          '{"frontier": ["c"], "counts": {"a": 1, "b": 1}}', '{"x": 1}', 1, 2);
        INSERT INTO attempts (run_key, definition_id, node_id, node_type, iteration, number, status, started_at,
          patch) VALUES (1, 1, 'a', 'transform', 1, 1, 'succeeded', 1, '{"s": {"x": 1}}'),
          (1, 1, 'b', 'transform', 1, 1, 'succeeded', 1, '{"s": {"y": 2}}');
        INSERT INTO events (at, kind, run_key, workflow, data) VALUES (5, 'run.started', 1, 'w', '{"iteration": 3}');
    """)
    schema.migrate(connection, ":memory:")
    assert run_state(connection, 1) == {"x": 1, "y": 2}
    assert run_state(connection, 1, 0) == {"x": 0}
    position = position_of(connection, 1)
    assert position == {"frontier": ["c"], "counts": {"a": 1, "b": 1}, "at": 2}
    (stored,) = connection.execute("SELECT position FROM runs").fetchone()
    assert progress(connection, 1, stored).nodes_done == 2
    assert connection.execute("SELECT at, kind, data FROM events").fetchall() == [
        (5, "run.started", '{"iteration": 3}')
    ]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_each_column_of_an_old_store_gets_one_type() -> None:
    connection = migrated(to=15)
    connection.executescript("""
        INSERT INTO definitions (workflow, version, checksum, content, text, registered_at)
          VALUES ('w', '1.0.0', 'c', '{}', '', 1);
        INSERT INTO runs (key, id, workflow, definition_id, status, trigger, created_at, position)
          VALUES (1, 'r', 'w', 1, 'running', 'manual', 1, '{"frontier": ["a"]}');
        INSERT INTO attempts (run_key, definition_id, node_id, node_type, iteration, number, status, started_at,
          ordinal, onward) VALUES (1, 1, 'a', 'transform', 1, 1, 'succeeded', 1, 1, 'b "x"'),
          (1, 1, 'b "x"', 'parallel', 1, 1, 'succeeded', 1, 2, '{"frontier": ["c", "d"], "counts": {"in": 3}}'),
          (1, 1, 'c', 'transform', 1, 1, 'succeeded', 1, 3, '["d","[e"]'),
          (1, 1, 'd', 'transform', 1, 1, 'running', 1, NULL, NULL);
        INSERT INTO events (seq, at, code, run_key, node_id, detail) VALUES (1, 5, 1, 1, 'a', 1),
          (2, 6, 1, 1, 'b', '{"iteration":1,"branch":"x"}'), (7, 7, 0, NULL, NULL, NULL);
    """)
    events = connection.execute("SELECT seq, at, kind, run_key, node_id, data FROM events").fetchall()
    schema.migrate(connection, ":memory:")
    assert connection.execute("SELECT onward, counted FROM attempts ORDER BY id").fetchall() == [
        ('["b \\"x\\""]', None),
        ('["c","d"]', '{"in":3}'),
        ('["d","[e"]', None),
        (None, None),
    ]
    assert connection.execute("SELECT seq, at, kind, run_key, node_id, data FROM events").fetchall() == events
    assert connection.execute("SELECT DISTINCT typeof(data) FROM events ORDER BY 1").fetchall() == [
        ("null",),
        ("text",),
    ]
    assert position_of(connection, 1) == {
        "frontier": ["d", "[e"],
        "counts": {"a": 1, 'b "x"': 1, "in": 3, "c": 1},
        "at": 3,
    }


def test_each_column_of_a_new_store_has_one_type() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(connection, ":memory:")
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    untyped = [
        (table, column)
        for table in tables
        for _, column, declared, *_ in connection.execute(f"PRAGMA table_xinfo({table})")
        if not declared
    ]
    # `meta` is a table of settings: the name of one decides its type.
    assert untyped == [("meta", "value")]
