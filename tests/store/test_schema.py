"""The numbered steps of the schema: no two have one number, and old stores come to the newest."""

from __future__ import annotations

import sqlite3

from victor_engine.store import schema
from victor_engine.store.progress import position_of, progress
from victor_engine.store.state import run_state


def test_steps_are_numbered_from_one_without_a_gap() -> None:
    numbers = [number for number, _, _ in schema._migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_run_of_an_old_store_stands_where_it_stood() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for number, _, sql in schema._migrations():
        if number < 8:
            connection.executescript(f"{sql}\nPRAGMA user_version = {number};")
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
    schema.migrate(connection, "old")
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
