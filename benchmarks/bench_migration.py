"""Migration of many waiting runs to another version while people answer some of their requests.

`python -m benchmarks.bench_migration [RUNS]` uses a real store and engine in a temporary directory. During
the migration, two operators in separate processes answer a tenth of the requests over the socket. Then a
reader without code of the engine (sqlite3 on the file) checks that each run was migrated at most once, that runs
without an answer were migrated exactly once, that each answer counts once, and that no run is between versions.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from victor_engine.api import Actor, Answer, MigrationSpec, RequestQuery
from victor_engine.config import trust
from victor_engine.engine import Engine
from victor_engine.errors import VictorError
from victor_engine.identity import acting_as
from victor_engine.service.connect import attach, find, open_engine
from victor_engine.store.db import Tx
from victor_engine.store.runs import NewRun, insert_run

OPERATORS = 2

FLOW = """
workflows:
  w:
    version: {version}
    {migrations}
    nodes:
      - {{id: {gate}, type: hitl, hitl_type: approval, prompt: "Ship {{n}}?", timeout: 4h, next: [out]}}
      - {{id: out, type: transform, transform: "done = 1"}}
"""
MIGRATIONS = (
    "migrations: [{from: 1.0.0, breaking: true, steps: [{type: rename_node, from: ok, to: approve},"
    " {type: add_field, field: region, default: eu}]}]"
)


async def fill(engine: Engine, count: int) -> None:
    """Create runs of version 1 that all wait for an approval."""

    def transition(tx: Tx) -> list[int]:
        (definition_id,) = tx.execute("SELECT id FROM definitions WHERE version = '1.0.0'").fetchone()
        new = [
            NewRun(workflow="w", definition_id=definition_id, start_node="ok", state={"n": n})
            for n in range(count)
        ]
        return [insert_run(tx, run)[0] for run in new]

    began = time.perf_counter()
    for key in await engine.store.write(transition):
        engine.runtime.enqueue(key)
    while (await engine.engine()).open_requests < count:
        await asyncio.sleep(0.2)
    print(f"{count:,} runs wait, after {time.perf_counter() - began:.1f} s")


async def operate(root: Path, count: int, operator: int) -> None:
    """Answer each second one of the oldest requests, as an operator in a separate process."""
    port = await attach(find(root, root / ".state"), "cli")
    assert port is not None
    requests = await port.requests(RequestQuery(limit=count))
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    done = 0
    for request in requests[operator::OPERATORS]:
        try:
            await port.answer(request.id, request.revision, Answer(outcome="approved"))
            done += 1
        except VictorError as error:
            print("not answered:", error, file=sys.stderr)
    print(done, flush=True)
    await port.close()


async def operators(root: Path, count: int) -> list[asyncio.subprocess.Process]:
    """Start the processes of the operators. They have read their requests and wait for a line on standard input."""
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-m", "benchmarks.bench_migration", "operate", str(root), str(count)]
    found = [
        await asyncio.create_subprocess_exec(*command, str(number), stdin=pipe, stdout=pipe)
        for number in range(OPERATORS)
    ]
    for process in found:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    return found


async def measure(root: Path, count: int) -> None:
    (root / "workflows").mkdir(parents=True)
    (root / "workflows" / "a.yaml").write_text(FLOW.format(version="1.0.0", migrations="", gate="ok"))
    trust(root)
    engine = await open_engine(find(root, root / ".state"), fire=False)
    await fill(engine, count)
    before = waiting(root)

    deployed = FLOW.format(version="2.0.0", migrations=MIGRATIONS, gate="approve")
    (root / "workflows" / "b.yaml").write_text(deployed)
    await engine.reload()
    assert waiting(root) == before, "the deployment of 2.0.0 has changed the runs"
    print("2.0.0 is deployed: the runs are unchanged")

    spec = MigrationSpec("w", "2.0.0", from_version="1.0.0")
    began = time.perf_counter()
    planned = await engine.plan_migration(spec)
    print(f"dry run: {planned.count('ready'):,} ready in {time.perf_counter() - began:.2f} s")
    assert waiting(root) == before, "a dry run has changed the store"

    people = await operators(root, count // 10)
    began = time.perf_counter()
    for process in people:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
    report = await engine.migrate_runs(spec)
    print(
        f"migrated {report.count('migrated'):,}, refused {report.count('refused'):,} in"
        f" {time.perf_counter() - began:.1f} s"
    )
    said = [await process.communicate() for process in people]
    answered = sum(int(out.split()[-1]) for out, _ in said)
    while (await engine.engine()).running:
        await asyncio.sleep(0.1)
    check(root, count, answered, report.count("migrated"))
    await engine.close()


def waiting(root: Path) -> list[tuple[object, ...]]:
    """Return all stored runs, attempts and requests, read without the engine."""
    connection = sqlite3.connect(f"file:{root / '.state' / 'victor.db'}?mode=ro", uri=True)
    try:
        return [
            row
            for table in ("runs", "attempts", "requests")
            for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1")
        ]
    finally:
        connection.close()


def check(root: Path, count: int, answered: int, migrated: int) -> None:
    """Check the invariants, read without the engine."""
    connection = sqlite3.connect(f"file:{root / '.state' / 'victor.db'}?mode=ro", uri=True)

    def one(sql: str) -> tuple[int, ...]:
        found: tuple[int, ...] = connection.execute(sql).fetchone()
        return found

    rows, moved = one("SELECT COUNT(*), COUNT(DISTINCT run_key) FROM run_migrations")
    assert rows == moved == migrated, "a run was migrated twice, or not as reported"
    (twice,) = one(
        "SELECT COUNT(*) FROM (SELECT run_key FROM attempts WHERE status = 'succeeded' AND node_type <> '@edit'"
        " GROUP BY run_key, node_type HAVING COUNT(*) > 1)"
    )
    assert twice == 0, "a node was done twice"
    assert one("SELECT COUNT(*) FROM runs WHERE status = 'succeeded'") == (answered,)
    (stand,) = one(
        "SELECT COUNT(*) FROM runs r JOIN definitions d ON d.id = r.definition_id"
        " JOIN requests q ON q.run_key = r.key AND q.status = 'open' AND q.node_id = 'approve'"
        " JOIN run_migrations m ON m.run_key = r.key WHERE r.status = 'waiting' AND d.version = '2.0.0'"
    )
    assert stand == count - answered, "a run without an answer does not wait on 2.0.0"
    ends = connection.execute(
        "SELECT d.version, COUNT(*) FROM runs r JOIN definitions d ON d.id = r.definition_id"
        " WHERE r.status = 'succeeded' GROUP BY 1 ORDER BY 1"
    ).fetchall()
    connection.close()
    print(
        f"read past the engine: {moved:,} runs moved, each once; {stand:,} wait on 2.0.0; {answered:,} answered"
        f" meanwhile ended once each, on {', '.join(f'{version}: {number:,}' for version, number in ends)}"
    )


def main() -> None:
    person = Actor(user="bench", uid=os.getuid(), via="cli")
    if sys.argv[1:2] == ["operate"]:
        with acting_as(person):
            asyncio.run(operate(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = folder
        with acting_as(person):
            asyncio.run(measure(Path(folder) / "ws", count))


if __name__ == "__main__":
    main()
