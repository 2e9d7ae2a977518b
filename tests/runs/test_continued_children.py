"""Another attempt of a node with a child run continues that child: same keys, no finished step is repeated."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.runs.harness import ALICE, Bench, Work
from victor_engine.clock import FakeClock
from victor_engine.errors import NodeError
from victor_engine.runs.commands import Cancel, Redrive, Retry
from victor_engine.runs.transitions import RunRef

KID = """
workflows:
  kid:
    nodes:
      - {id: pay, type: compute, handler: h, next: [fragile]}
      - {id: fragile, type: compute, handler: h}
"""
DAD = """
workflows:
  dad:
    nodes:
      - {id: c, type: workflow, workflow: kid, inputs: {n: 1}, output: c KEYS}
"""
POLICY = ", retry_policy: {max_attempts: 2, initial_delay: 0, retryable_errors: [Broken, TimeoutError]}"


class Fragile:
    """The work of both nodes of the child: it records keys, and `fragile` fails or hangs while `broken` is set."""

    def __init__(self, broken: int = 1) -> None:
        self.keys: list[tuple[str, str]] = []
        self.broken = broken
        self.hangs = False
        self.hanging = asyncio.Event()

    def work(self) -> Work:
        return Work(pay=self.pay, fragile=self.fragile)

    def pay(self, call: Any) -> Any:
        self.keys.append(("pay", call.idempotency_key))
        return {"paid": True}

    async def fragile(self, call: Any) -> Any:
        self.keys.append(("fragile", call.idempotency_key))
        if self.broken > 0:
            self.broken -= 1
            if self.hangs:
                self.hanging.set()
                await asyncio.Event().wait()
            raise NodeError("broken", error_type="Broken")
        return {"whole": True}

    def check_continued(self) -> None:
        """Check that the payment was made once, and that all attempts of `fragile` had one key."""
        assert [name for name, _ in self.keys].count("pay") == 1
        assert len({key for name, key in self.keys if name == "fragile"}) == 1


async def children(bench: Bench) -> int:
    found: int = await bench.one("SELECT COUNT(*) FROM runs WHERE workflow = 'kid'")
    return found


async def failed(bench: Bench, keys: str = "") -> RunRef:
    await bench.define(KID)
    run = await bench.start(DAD.replace("KEYS", keys))
    assert await bench.end(run) == "failed"
    return run


async def test_a_retry_continues_the_failed_child(tmp_path: Path) -> None:
    fragile = Fragile()
    async with Bench(tmp_path, fragile.work(), max_concurrent_runs=1) as bench:
        run = await failed(bench)
        await bench.runtime.command(Retry(run.id), ALICE)
        assert await bench.end(run) == "succeeded"
        assert await children(bench) == 1
        assert (await bench.state(run))["c"] == {
            "n": 1, "paid": True, "pay": {"paid": True}, "whole": True, "fragile": {"whole": True},
        }  # fmt: skip
        assert await bench.all("SELECT status, child_key IS NOT NULL FROM attempts WHERE run_key = ?", run.key) == [
            ("failed", 1), ("succeeded", 1),
        ]  # fmt: skip
        resumed = await bench.all("SELECT data FROM events WHERE kind = 'run.resumed' ORDER BY seq")
        assert any(f'"by_parent":"{run.id}"' in (data or "") for (data,) in resumed)
    fragile.check_continued()


async def test_a_retry_of_the_policy_continues_the_failed_child(tmp_path: Path) -> None:
    fragile = Fragile()
    async with Bench(tmp_path, fragile.work(), max_concurrent_runs=1) as bench:
        await bench.define(KID)
        run = await bench.start(DAD.replace("KEYS", POLICY))
        assert await bench.end(run) == "succeeded"
        assert await children(bench) == 1
    fragile.check_continued()


async def test_on_retry_restart_and_restart_children_start_another_child(tmp_path: Path) -> None:
    fragile = Fragile(broken=4)
    async with Bench(tmp_path, fragile.work()) as bench:
        run = await failed(bench, ", on_retry: restart")
        await bench.runtime.command(Retry(run.id), ALICE)
        assert await bench.end(run) == "failed"
        assert await children(bench) == 2
    async with Bench(tmp_path / "2", fragile.work()) as bench:
        run = await failed(bench)
        await bench.runtime.command(Retry(run.id, restart_children=True), ALICE)
        assert await bench.end(run) == "failed"
        assert await children(bench) == 2
        await bench.runtime.command(Retry(run.id), ALICE)  # continues the second one
        assert await bench.end(run) == "succeeded"
        assert await children(bench) == 2


async def test_a_redrive_continues_the_child_unless_the_state_changes(tmp_path: Path) -> None:
    fragile = Fragile(broken=2)
    async with Bench(tmp_path, fragile.work()) as bench:
        run = await failed(bench)
        await bench.runtime.command(Redrive(run.id, from_node="c"), ALICE)
        assert await bench.end(run) == "failed"
        fragile.check_continued()
        await bench.runtime.command(Redrive(run.id, state={"other": 1}), ALICE)
        assert await bench.end(run) == "succeeded"
        assert await children(bench) == 2


async def test_a_cancelled_parent_continues_its_cancelled_child(tmp_path: Path) -> None:
    fragile = Fragile()
    fragile.hangs = True
    async with Bench(tmp_path, fragile.work()) as bench:
        await bench.define(KID)
        run = await bench.start(DAD.replace("KEYS", ""))
        await fragile.hanging.wait()
        await bench.runtime.command(Cancel(run.id), ALICE)
        assert await bench.end(run) == "cancelled"
        await bench.runtime.command(Retry(run.id), ALICE)
        assert await bench.end(run) == "succeeded"
        assert await children(bench) == 1
    fragile.check_continued()


async def test_a_child_that_took_too_long_continues_after_its_cancellation(tmp_path: Path) -> None:
    fragile = Fragile()
    fragile.hangs = True
    clock = FakeClock()
    async with Bench(tmp_path, fragile.work(), clock, max_concurrent_runs=1) as bench:
        await bench.define(KID)
        run = await bench.start(DAD.replace("KEYS", f", timeout: 60{POLICY}"))
        await fragile.hanging.wait()
        await clock.advance(61)
        assert await bench.end(run) == "succeeded"
        assert await children(bench) == 1
    fragile.check_continued()


async def test_a_child_that_succeeded_on_its_own_is_not_repeated(tmp_path: Path) -> None:
    fragile = Fragile()
    async with Bench(tmp_path, fragile.work()) as bench:
        run = await failed(bench)
        ((kid, key),) = await bench.all("SELECT id, key FROM runs WHERE workflow = 'kid'")
        await bench.runtime.command(Retry(kid), ALICE)
        assert await bench.end(RunRef(key, kid, "kid", 0, None)) == "succeeded"
        await bench.runtime.command(Retry(run.id), ALICE)
        assert await bench.end(run) == "succeeded"
        assert (await bench.state(run))["c"]["whole"] is True
        assert await children(bench) == 1
    fragile.check_continued()
    assert len(fragile.keys) == 3


async def test_a_grandchild_and_the_branches_of_a_parallel_continue(tmp_path: Path) -> None:
    grandpa = """
workflows:
  grandpa:
    nodes:
      - {id: both, type: parallel, parallel_nodes: [one, two]}
      - {id: one, type: workflow, workflow: dad, output: one}
      - {id: two, type: compute, handler: h}
"""
    fragile = Fragile()
    work = fragile.work()
    async with Bench(tmp_path, work) as bench:
        await bench.define(KID)
        await bench.define(DAD.replace("KEYS", ""))
        run = await bench.start(grandpa)
        assert await bench.end(run) == "failed"
        await bench.runtime.command(Retry(run.id), ALICE)
        assert await bench.end(run) == "succeeded"
        assert await bench.all("SELECT workflow, COUNT(*) FROM runs GROUP BY workflow ORDER BY workflow") == [
            ("dad", 1), ("grandpa", 1), ("kid", 1),
        ]  # fmt: skip
    fragile.check_continued()


async def test_a_restart_between_the_retry_and_the_child_loses_nothing(tmp_path: Path) -> None:
    fragile = Fragile(broken=2)
    async with Bench(tmp_path, fragile.work()) as bench:
        run = await failed(bench)
        fragile.hangs = True
        await bench.runtime.command(Retry(run.id), ALICE)
        await fragile.hanging.wait()
    async with Bench(tmp_path, fragile.work()) as bench:
        assert await bench.end(run) == "succeeded"
        assert await children(bench) == 1
    fragile.check_continued()


async def test_a_newer_version_of_the_child_is_a_warning(tmp_path: Path) -> None:
    fragile = Fragile()
    async with Bench(tmp_path, fragile.work()) as bench:
        run = await failed(bench)
        await bench.store.write(
            lambda tx: tx.execute(
                "INSERT INTO definitions (workflow, version, checksum, content, text, registered_at)"
                " SELECT workflow, '1.0.1', 'x', content, text, 1 FROM definitions WHERE workflow = 'kid'"
            )
        )
        await bench.runtime.command(Retry(run.id), ALICE)
        assert await bench.end(run) == "succeeded"
        ((data,),) = await bench.all("SELECT data FROM events WHERE kind = 'run.warning'")
        assert "continues on kid 1.0.0, and a new child would run on 1.0.1" in data
