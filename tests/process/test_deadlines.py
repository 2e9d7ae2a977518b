"""Deadlines with kills and clock jumps: each escalation happens once at its time."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import workspace
from tests.process.test_kill import attached, until
from victor_engine.api import Port, RequestQuery

pytestmark = pytest.mark.process

HOUR = 3600
CHAIN = {
    "workflows/gate.yaml": """
        workflows:
          gate:
            nodes:
              - id: gate
                type: hitl
                timeout: 1h
                on_timeout: reject
                assignees: [root]
                escalation: [{to: daemon, after: 1h}, {to: bin, after: 1h}, {to: nobody, after: 1h}]
        """
}

SERVE_LATER = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from victor_engine.clock import SystemClock
from victor_engine.service.daemon import serve
later = timedelta(seconds=float(sys.argv[3]))
SystemClock.now = lambda self: datetime.now(UTC) + later
sys.exit(asyncio.run(serve(*sys.argv[1:3])))
"""


@asynccontextmanager
async def life(root: Path, later: float) -> AsyncIterator[Port]:
    """Run an engine whose clock is some seconds ahead; kill it at the end of the block."""
    command = [sys.executable, "-c", SERVE_LATER, str(root), str(root / ".state"), str(later)]
    process = await asyncio.create_subprocess_exec(*command, cwd=root)
    try:
        async with attached(root) as port:
            yield port
            process.kill()  # before the port is closed, so that the engine cannot stop regularly
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def history(root: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of the request, read without the engine."""
    with sqlite3.connect(f"file:{root / '.state' / 'victor.db'}?mode=ro", uri=True) as reader:
        rows = reader.execute(
            "SELECT kind, data FROM events WHERE kind LIKE 'request.%' ORDER BY seq"
        ).fetchall()
    return [(kind, json.loads(data) if data else {}) for kind, data in rows]


async def test_three_escalations_with_the_engine_killed_between_them(tmp_path: Path) -> None:
    root = workspace(tmp_path, CHAIN)
    async with life(root, 0) as port:
        run = await port.start_run("gate")
        last = (await until(port, "request.opened")).seq
    for number in (1, 2, 3):
        async with life(root, number * (HOUR + 60)) as port:
            last = (await until(port, "request.escalated", None, last)).seq
        if number == 1:
            # An engine whose clock went back sends nothing and loses nothing.
            async with life(root, HOUR / 2) as port:
                (asked,) = await port.requests(RequestQuery())
                assert (asked.status, asked.assignees) == ("open", ("root", "daemon"))
    async with life(root, 4 * (HOUR + 60)) as port:
        await until(port, "request.expired", None, last)
        async with asyncio.timeout(20):
            while (found := await port.run(run.id)).run.status != "rejected":
                await until(port, "run.finished")
    assert found.state["human"]["gate"]["outcome"] == "rejected"
    assert [(kind, data.get("escalated_to")) for kind, data in history(root)] == [
        ("request.opened", None),
        ("request.escalated", "daemon"),
        ("request.escalated", "bin"),
        ("request.escalated", "nobody"),
        ("request.expired", None),
    ]
