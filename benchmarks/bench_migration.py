"""Many runs that wait, moved to another version while people answer some of them.

`python -m benchmarks.bench_migration [RUNS]` on a real store and engine in a temporary directory.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from victor_engine.api import Actor, Answer, MigrationSpec, RequestQuery
from victor_engine.config import trust
from victor_engine.engine import Engine
from victor_engine.errors import VictorError
from victor_engine.identity import acting_as
from victor_engine.store.db import Tx
from victor_engine.store.runs import NewRun, insert_run

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
    "migrations: [{from: 1.0.0, to: 2.0.0, breaking: true, steps: [{type: rename_node, from: ok, to: approve},"
    " {type: add_field, field: region, default: eu}]}]"
)


async def measure(root: Path, count: int) -> None:
    (root / "workflows").mkdir(parents=True)
    (root / "workflows" / "a.yaml").write_text(FLOW.format(version="1.0.0", migrations="", gate="ok"))
    (root / "workflows" / "b.yaml").write_text(
        FLOW.format(version="2.0.0", migrations=MIGRATIONS, gate="approve")
    )
    trust(root)
    engine = await Engine.open(root, root / ".state", fire=False)

    def fill(tx: Tx) -> list[int]:
        (definition_id,) = tx.execute("SELECT id FROM definitions WHERE version = '1.0.0'").fetchone()
        new = [
            NewRun(workflow="w", definition_id=definition_id, start_node="ok", state={"n": n})
            for n in range(count)
        ]
        return [insert_run(tx, run)[0] for run in new]

    began = time.perf_counter()
    for key in await engine.store.write(fill):
        engine.runtime.enqueue(key)
    while (await engine.engine()).open_requests < count:
        await asyncio.sleep(0.2)
    print(f"{count:,} runs wait after {time.perf_counter() - began:.1f} s")

    spec = MigrationSpec("w", "2.0.0", from_version="1.0.0")
    began = time.perf_counter()
    planned = await engine.plan_migration(spec)
    print(f"dry run: {planned.count('ready'):,} ready in {time.perf_counter() - began:.2f} s")

    requests = await engine.requests(RequestQuery(limit=count // 10))
    answered = 0

    async def answer() -> None:
        nonlocal answered
        for request in requests:
            try:
                await engine.answer(request.id, request.revision, Answer(outcome="approved"))
                answered += 1
            except VictorError as error:
                print("not answered:", error)

    began = time.perf_counter()
    answering = asyncio.ensure_future(answer())
    report = await engine.migrate_runs(spec)
    print(
        f"moved {report.count('migrated'):,}, refused {report.count('refused'):,} in"
        f" {time.perf_counter() - began:.1f} s"
    )
    await answering
    rows = await engine.store.read(
        lambda c: c.execute("SELECT COUNT(*), COUNT(DISTINCT run_key) FROM run_migrations").fetchone()
    )
    print(f"answered {answered:,} meanwhile; history has {rows[0]:,} rows of {rows[1]:,} runs")
    await engine.close()


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = folder
        with acting_as(Actor(user="bench", uid=os.getuid(), via="cli")):
            asyncio.run(measure(Path(folder) / "ws", count))


if __name__ == "__main__":
    main()
