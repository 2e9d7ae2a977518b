"""`victor run` and `victor runs` with a run that its concurrency key skips or queues."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.cli.test_cli import Capture, Victor
from tests.engine.support import workspace
from victor_engine.service.connect import open_port

FLOW = """
workflows:
  w:
    concurrency: {key: $ctx.customer, on_conflict: MODE}
    nodes:
      - {id: gate, type: hitl, hitl_type: approval, prompt: Continue}
"""


@asynccontextmanager
async def held(victor: Victor) -> AsyncIterator[str]:
    """Run an engine, in which a run of the key `acme` waits for an answer. Yield its id."""
    async with open_port(victor.root, victor.root / ".state", mode="embedded") as port, asyncio.timeout(60):
        first = await port.start_run("w", state={"customer": "acme"})
        async for _ in port.subscribe(0):
            if (await port.run(first.id)).run.status == "waiting":
                break
        yield first.id


@pytest.fixture(autouse=True)
def engine_of_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command take the engine of the test for one of another process, whose runs it does not follow."""
    monkeypatch.setattr("victor_engine.cli.run._own", lambda pid: False)


def place(tmp_path: Path, capsys: Capture, mode: str) -> Victor:
    return Victor(workspace(tmp_path, {"workflows/w.yaml": FLOW.replace("MODE", mode)}), capsys)


async def test_a_start_that_is_skipped_says_so_and_every_list_has_the_reason(
    tmp_path: Path, capsys: Capture
) -> None:
    victor = place(tmp_path, capsys, "skip")
    async with held(victor) as first:
        reason = f"skipped, because run {first} has the concurrency key 'acme'"
        assert await asyncio.to_thread(victor, "run", "w", "-i", "customer=acme") == 12
        assert victor.out.rstrip().endswith(f"  cancelled: {reason}")
        assert await asyncio.to_thread(victor, "run", "w", "-i", "customer=acme", "--json") == 12
        run = json.loads(victor.out)
        assert (run["status"], run["error"]) == (
            "cancelled",
            {"type": "ConcurrencySkipped", "message": reason},
        )
        assert await asyncio.to_thread(victor, "runs", "list") == 0
        assert victor.out.count(reason) == 2
        assert await asyncio.to_thread(victor, "runs", "show", run["id"]) == 0
        assert f": cancelled ({reason})" in victor.out
        assert await asyncio.to_thread(victor, "run", "w", "-i", "customer=other") == 0
        assert victor.out.split()[-1] in ("running", "waiting")


async def test_a_start_that_waits_for_another_run_names_it(tmp_path: Path, capsys: Capture) -> None:
    victor = place(tmp_path, capsys, "queue")
    async with held(victor) as first:
        assert await asyncio.to_thread(victor, "run", "w", "-i", "customer=acme") == 0
        assert victor.out.rstrip().endswith(
            f"  queued: waits for run {first}, which has the concurrency key acme"
        )
