"""An inbox with thousands of open requests, copied in the store from one of each workflow."""

from __future__ import annotations

from tests.engine.support import question
from victor_engine.engine import Engine
from victor_engine.store.transaction import Tx

FILES = {
    "workflows/w.yaml": """
        workflows:
          bulk:
            nodes:
              - {id: gate, type: hitl, name: "Bulk question", prompt: "Roll out to host {n}?", priority: high}
          deploy:
            nodes:
              - {id: gate, type: hitl, name: "Deploy question", prompt: "Deploy {n}?", timeout: 9h,
                 on_timeout: reject}
          theirs:
            nodes: [{id: gate, type: hitl, prompt: "Theirs?", assignees: [another]}]
          mine:
            nodes:
              - {id: gate, type: hitl, prompt: "Is it yours?", priority: low, timeout: 1h, assignees: [me],
                 on_timeout: reject}
        """,
    "victor.yaml": "hitl: {unknown_assignees: warn}\n",
}


async def fill(engine: Engine, counts: dict[str, int]) -> None:
    """Open one request of each workflow, and copy it with its run until there are as many as `counts` says."""
    offset = 0
    for workflow, count in counts.items():
        asked = await question(engine, (await engine.start_run(workflow, state={"n": 0})).id)

        def copy(tx: Tx, request_id: str = asked.id, count: int = count, offset: int = offset) -> None:
            copies = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            (key, run_key) = tx.execute(
                "SELECT key, run_key FROM requests WHERE id = ?", (request_id,)
            ).fetchone()
            columns = ", ".join(
                name for _, name, *_ in tx.execute("PRAGMA table_info(requests)") if name not in ("key", "id")
            )
            tx.execute(
                f"INSERT INTO requests (id, {columns}) {copies} SELECT substr(id, 1, 8) || printf('%05d', i + ?),"
                f" {columns} FROM requests, n WHERE key = ? ORDER BY i",
                (count - 1, offset, key),
            )
            tx.execute(
                "INSERT INTO request_people (request_key, name, may) SELECT q.key, p.name, p.may FROM requests q,"
                " request_people p WHERE q.run_key = ? AND q.key <> ? AND p.request_key = ?",
                (run_key, key, key),
            )

        if count > 1:
            await engine.store.write(copy)
        offset += count
