"""A month of a run a second is pruned to a week while people answer: ``python -m benchmarks.retention``.

The runs are written into the store by statements, then an engine opens it and deletes by confirmed rules. The benchmark
prints the sizes, the time, and the longest time of an answer beside the one before the pruning.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from victor_engine.api import Answer, RequestQuery
from victor_engine.clock import SystemClock, to_us
from victor_engine.config import trust
from victor_engine.engine import Engine
from victor_engine.identity import acting_as, local_actor
from victor_engine.people.audit_verification import verify
from victor_engine.store.queries import whole_store

DAY = 86_400
WORKFLOWS = """
workflows:
  tick:
    nodes: [{id: a, type: transform, transform: "a = 1"}]
  ask:
    nodes: [{id: gate, type: hitl, hitl_type: approval}]
"""


def workspace(root: Path, keep: int) -> None:
    root.mkdir(parents=True)
    (root / "victor.yaml").write_text(f"scheduler: {{history_retention_days: {keep}}}\n")
    (root / "w.yaml").write_text(WORKFLOWS)
    trust(root)


def write_history(path: Path, days: float) -> int:
    """Write a finished run for each second of the last days, with its fire, attempt and events."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    (definition,) = connection.execute("SELECT id FROM definitions WHERE workflow = 'tick'").fetchone()
    (event,) = connection.execute("SELECT COALESCE(MAX(seq), 0) FROM events").fetchone()
    count, end = int(days * DAY), to_us(SystemClock().now())
    # The events of the start become the newest, as they would be.
    connection.execute("UPDATE events SET seq = -seq")

    def at(number: int) -> int:
        return end - (count - number) * 1_000_000

    def events() -> Iterator[tuple[int, int, int, int, str | None]]:
        seq = 0
        for key in range(1, count + 1):
            for code, node in ((6, None), (3, None), (4, None), (1, "a"), (5, None)):
                seq += 1
                yield seq, at(key), code, key, node

    position = '{"pending":[]}'
    for begin in range(0, count, 50_000):
        keys = range(begin + 1, min(begin + 50_000, count) + 1)
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO runs (key, id, workflow, definition_id, status, revision, trigger, schedule_id, nominal,"
            " created_at, started_at, finished_at, position, nodes_done)"
            " VALUES (?,?,'tick',?,'succeeded',2,'schedule','tick',?,?,?,?,?,1)",
            ((k, f"{k:026d}", definition, at(k), at(k), at(k), at(k) + 10_000, position) for k in keys),
        )
        connection.executemany(
            "INSERT INTO attempts (id, run_key, definition_id, node_id, node_type, iteration, number, status, started_at,"
            " finished_at, patch, ordinal) VALUES (?,?,?,'a','transform',1,1,'succeeded',?,?,'[]',1)",
            ((k, k, definition, at(k), at(k) + 10_000) for k in keys),
        )
        connection.executemany(
            "INSERT INTO fires (schedule_id, workflow, local, fold, nominal, outcome, reason, decided_at, run_key)"
            " VALUES ('tick','tick',?,0,?,'fired','on time',?,?)",
            ((str(k), at(k), at(k), k) for k in keys),
        )
        connection.executemany(
            "INSERT INTO run_states (run_key, after_attempt, state) VALUES (?,0,'{}')", ((k,) for k in keys)
        )
        connection.execute("COMMIT")
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO events (seq, at, code, run_key, node_id) VALUES (?,?,?,?,?)", events()
    )
    connection.execute(f"UPDATE events SET seq = {count * 5} - seq WHERE seq < 0")
    connection.execute(f"UPDATE audit SET event_seq = event_seq + {count * 5}")
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return count + event


async def answer_once(engine: Engine) -> float:
    """Ask, answer, and return the seconds of the answer."""
    run = (await engine.start_run("ask")).id
    while not (found := await engine.requests(RequestQuery(run_id=run))):
        await asyncio.sleep(0.005)
    began = time.monotonic()
    await engine.answer(found[0].id, found[0].revision, Answer(outcome="approved"))
    return time.monotonic() - began


async def answers(engine: Engine, seconds: float) -> list[float]:
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        found.append(await answer_once(engine))
        await asyncio.sleep(0.05)
    return found


def size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.0f} MB"


async def prune(root: Path, state: Path, keep: int) -> None:
    path = state / "victor.db"
    engine = await Engine.open(root, state)
    try:
        quiet = await answers(engine, 10)
        plan = await engine.retention()
        total = sum(each.runs for each in plan.runs)
        began = time.monotonic()
        cutoff = to_us(SystemClock().now()) - keep * DAY * 1_000_000 - 1_000_000
        await engine.confirm_retention(plan.digest)
        busy: list[float] = []
        largest_log = 0
        while total and await engine.store.read(oldest) < cutoff:
            busy += await answers(engine, 5)
            largest_log = max(largest_log, path.with_name("victor.db-wal").stat().st_size)
        took = time.monotonic() - began
        left = dict(await engine.store.read(whole_store.row_counts))
        intact = (await engine.store.read(verify)).intact
    finally:
        await engine.close()
    print(f"{total} of {total + left['runs']} runs deleted in {took:.0f} s ({total / took:.0f} a second)")
    print(f"store {size(path)}, largest log {largest_log / 1e6:.0f} MB, audit chain intact: {intact}")
    print(
        f"longest answer: {max(quiet) * 1000:.0f} ms before, {max(busy) * 1000:.0f} ms during ({len(busy)} answers),"
        f" {max(busy) / max(quiet):.1f} times as long"
    )
    print(f"median answer: {median(quiet) * 1000:.1f} ms before, {median(busy) * 1000:.1f} ms during")
    assert intact
    assert max(busy) < 1.0, "an answer waited for more than a second"


def oldest(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("SELECT MIN(created_at) FROM runs WHERE workflow = 'tick'").fetchone()[0]
    return found


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


async def open_once(root: Path, state: Path) -> None:
    engine = await Engine.open(root, state)
    await engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--keep", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, acting_as(local_actor("cli")):
        os.environ["XDG_CONFIG_HOME"] = folder  # the list of trusted workspaces of the user stays as it is
        root, state = Path(folder) / "ws", Path(folder) / "state"
        workspace(root, arguments.keep)
        asyncio.run(open_once(root, state))
        count = write_history(state / "victor.db", arguments.days)
        print(f"{count} runs, a run a second for {arguments.days:g} days: {size(state / 'victor.db')}")
        asyncio.run(prune(root, state, arguments.keep))


if __name__ == "__main__":
    main()
