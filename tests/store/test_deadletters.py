"""Dead letters: the grouping of failures by cause, and a list that stays correct."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.store.seed import NOW, add_definition
from victor_engine.api import DeadLetterGroup, ErrorInfo
from victor_engine.clock import FakeClock
from victor_engine.errors import NotFoundError
from victor_engine.runs import transitions
from victor_engine.runs.transitions import RunEnd, RunRef
from victor_engine.store import queries
from victor_engine.store.db import Store, Tx, open_store
from victor_engine.store.repositories.deadletters import fingerprint, pattern_of, remove_dead_letter
from victor_engine.store.runs import NewRun, insert_run


@pytest.mark.parametrize(
    ("message", "pattern"),
    [
        ("connect to 10.0.0.1:5432 refused after 3 tries", "connect to <n>:<n> refused after <n> tries"),
        ("no file /tmp/build-7f3a/out.txt", "no file <path>"),
        ("../a/b.c and ~/x are gone", "<path> and <path> are gone"),
        ("order ord_8812aa not found", "order <id> not found"),
        ("GET https://x.example/z?a=1 gave 503", "GET <url> gave <n>"),
        ("at 0x7ffe in deadbeef1", "at <hex> in <hex>"),
        ("run 01j9zk3v4w5x6y7z8a9b0c1d2e", "run <id>"),
        ("550e8400-e29b-41d4-a716-446655440000 is taken", "<uuid> is taken"),
        ("since 2026-01-02T03:04:05.1Z", "since <time>"),
        ("took longer than its limit of 30 s, -5 left", "took longer than its limit of <n> s, <n> left"),
        ("retry in 30s", "retry in <n>s"),
        ("kid 1.0.0 (run m8kv9b5sg01n0) failed", "kid <n> (run <run>) failed"),
        ("two\n  lines\tand more", "two lines and more"),
        ("KeyError: 'customer'", "KeyError: 'customer'"),
        ("feature and/or bug", "feature and/or bug"),
    ],
)
def test_what_differs_from_run_to_run_is_left_out(message: str, pattern: str) -> None:
    assert pattern_of(message) == pattern


def test_a_pattern_is_bounded_and_quick_whatever_the_message_is() -> None:
    for hostile in ("a_" * 500_000, "/a" * 500_000, "0" * 1_000_000, "a-" * 400_000 + "1", "9z" * 500_000):
        assert len(pattern_of(hostile)) <= 300


def test_causes_differ_by_workflow_node_type_code_and_pattern() -> None:
    plain = ErrorInfo(type="Boom", message="order 1 is lost", node_id="a")
    assert fingerprint("w", plain) == fingerprint("w", ErrorInfo("Boom", "order 22 is lost", "a"))
    others = [
        fingerprint("v", plain),
        fingerprint("w", ErrorInfo("Bang", plain.message, "a")),
        fingerprint("w", ErrorInfo("Boom", plain.message, "b")),
        fingerprint("w", ErrorInfo("Boom", "order 1 is found", "a")),
        fingerprint("w", ErrorInfo("Boom", plain.message, "a", exit_code=3)),
        fingerprint("w", ErrorInfo("Boom", plain.message, "a", http_status=404)),
        fingerprint("w", ErrorInfo("Boom", plain.message, "a", http_status=503)),
    ]
    assert len({fingerprint("w", plain), *others}) == len(others) + 1


class World:
    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock

    async def fail(self, error: ErrorInfo | None, status: str = "failed") -> RunRef:
        """A run that is made and ends, one minute after the one before."""
        await self.clock.advance(60)

        def transition(tx: Tx) -> RunRef:
            key, run_id = insert_run(tx, NewRun(workflow="w", definition_id=1, start_node="a"))
            ref = RunRef(key, run_id, "w", 1, None)
            transitions.finish(tx, ref, RunEnd(status, 0, error=error))
            return ref

        return await self.store.write(transition)

    async def groups(self, cause: str | None = None, run_limit: int = 20) -> list[DeadLetterGroup]:
        return await self.store.read(lambda c: queries.dead_letters(c, cause, run_limit))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = FakeClock(NOW)
    store = open_store(tmp_path / "victor.db", clock=clock)
    store.begin_epoch()
    store.start()
    await store.write(lambda tx: add_definition(tx, "w", "1.0.0"))
    yield World(store, clock)
    await store.close()


async def test_runs_that_failed_for_good_are_grouped_by_cause(world: World) -> None:
    first = [await world.fail(ErrorInfo("Boom", f"order {n} is lost", "a")) for n in range(3)]
    other = await world.fail(ErrorInfo("TimeoutError", "too slow", "b"))
    await world.fail(None, "cancelled")
    await world.fail(ErrorInfo("Rejected", "no", "a"), "rejected")
    slow, lost = await world.groups()
    assert (slow.count, slow.node_id, slow.error_type, slow.run_ids) == (1, "b", "TimeoutError", (other.id,))
    assert (lost.count, lost.workflow, lost.pattern) == (3, "w", "order <n> is lost")
    assert lost.run_ids == tuple(ref.id for ref in reversed(first))
    assert lost.example == ErrorInfo("Boom", "order 2 is lost", "a")
    assert lost.last_seen - lost.first_seen == timedelta(minutes=2)
    (only,) = await world.groups(lost.cause[:6], 2)
    assert (only.count, only.run_ids) == (3, lost.run_ids[:2])
    with pytest.raises(NotFoundError, match="the cause 'zzz'"):
        await world.groups("zzz")


async def test_a_letter_leaves_with_its_run_and_the_last_one_takes_the_cause_along(world: World) -> None:
    refs = [await world.fail(ErrorInfo("Boom", "bad", "a")) for _ in range(3)]
    assert await world.store.write(lambda tx: remove_dead_letter(tx, refs[0].key))
    assert not await world.store.write(lambda tx: remove_dead_letter(tx, refs[0].key))
    (group,) = await world.groups()
    assert (group.count, group.run_ids) == (2, (refs[2].id, refs[1].id))
    await world.store.write(lambda tx: tx.execute("DELETE FROM runs WHERE key = ?", (refs[2].key,)))
    (group,) = await world.groups()
    assert (group.count, group.run_ids) == (1, (refs[1].id,))
    await world.store.write(lambda tx: remove_dead_letter(tx, refs[1].key))
    assert await world.groups() == []
    assert (await world.store.read(lambda c: c.execute("SELECT COUNT(*) FROM dead_causes").fetchone()))[
        0
    ] == 0


async def test_a_child_run_is_not_a_dead_letter(world: World) -> None:
    def transition(tx: Tx) -> None:
        new = NewRun(workflow="w", definition_id=1, start_node="a", trigger="parent")
        key, run_id = insert_run(tx, new)
        end = RunEnd("failed", 0, error=ErrorInfo("Boom", "bad", "a"))
        transitions.finish(tx, RunRef(key, run_id, "w", 1, None), end)

    await world.store.write(transition)
    assert await world.groups() == []


async def test_a_failure_without_an_error_is_listed_too(world: World) -> None:
    await world.fail(None)
    (group,) = await world.groups()
    assert (group.error_type, group.pattern, group.node_id) == ("Error", "", None)
