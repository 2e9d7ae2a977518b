"""Whatever happens to clock, engine and schedule: every nominal instant has one outcome, and no run is double.

A model keeps which instants have to be accounted for. Between two looks the machine moves the clock
either way, breaks off a decision before and after its commit, starts another engine, edits, pauses.
More of it with VICTOR_FIRE_EXAMPLES=2000 and --timeout 0.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.scheduling.test_loop import ALICE, World
from victor_engine.api import ScheduleSpec
from victor_engine.clock import FakeClock
from victor_engine.scheduling import schedule_commands as ops
from victor_engine.scheduling.timing import Timing
from victor_engine.store.db import Tx, open_store

MEMORY = Path("/dev/shm")
"""Where nothing waits for a disk: what survives a power cut is not the question here."""

STARTS = [  # an hour or so before the clocks change in Berlin, and a day on which nothing happens
    datetime(2026, 3, 28, 23, 50, tzinfo=UTC),
    datetime(2026, 10, 24, 23, 50, tzinfo=UTC),
    datetime(2026, 5, 4, 8, 0, 30, tzinfo=UTC),
]
TIMES: list[dict[str, Any]] = [
    {"cron": "*/20 * * * *", "timezone": "Europe/Berlin"},
    {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
    {"cron": "0,30 1-3 * * *", "timezone": "Europe/Berlin"},
    {"cron": "0 */2 * * *", "timezone": "America/New_York"},
    {"cron": "15 * * * *", "jitter": 1200.0},
    {"every_seconds": 2700.0},
]
POLICY_NAMES = ("catchup", "overlap", "misfire_grace", "max_active_runs")
"""What does not decide when a schedule is due."""

POLICIES = st.fixed_dictionaries(
    {
        "catchup": st.sampled_from(["none", "latest", "all"]),
        "overlap": st.sampled_from(["skip", "buffer_one", "buffer_all", "cancel_running", "allow"]),
        "misfire_grace": st.sampled_from([1.0, 600.0, 7200.0]),
        "max_active_runs": st.integers(1, 2),
    }
)
MINUTES = st.sampled_from([25, 65, 190, 7, 1, 0])


class BrokenOff(Exception):
    """The engine has died here."""


class Fires(RuleBasedStateMachine):
    """One schedule, its store, and the instants that have to have an outcome."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.expected: set[datetime] = set()
        self.world: World

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def write(self, transition: Callable[[Tx], Any]) -> None:
        async def written() -> None:
            await self.world.store.write(transition)

        self.run(written())

    @initialize(start=st.sampled_from(STARTS), times=st.sampled_from(TIMES), policies=POLICIES)
    def begin(self, start: datetime, times: dict[str, Any], policies: dict[str, Any]) -> None:
        self.clock = FakeClock(start)
        self.created = self.cursor = start
        self.spec = ScheduleSpec(workflow="w", **times, **policies)
        self.paused_until: datetime | None = None
        self.resting = False
        self.run(self._open())
        self.schedule = self.run(self.world.add(**times, **policies))

    async def _open(self) -> None:
        store = open_store(Path(self.directory.name) / "victor.db", clock=self.clock)
        store.begin_epoch()
        store.start()
        await store.write(
            lambda tx: tx.execute(
                "INSERT OR IGNORE INTO definitions (id, workflow, version, checksum, content, text, registered_at)"
                " VALUES (1, 'w', '1.0.0', '', '{}', '', 0)"
            )
        )
        self.world = World(store, self.clock)
        await self.world.loop.refresh()

    # --- the model ------------------------------------------------------------------------------

    def _due(self, until: datetime, *, jitter: bool) -> None:
        """What is due by `until` has to be accounted for."""
        timing = Timing(self.spec, self.schedule, self.created)
        at = self.cursor
        while (nominal := timing.next_after(at)) is not None:
            if (timing.due(nominal) if jitter else nominal.instant) > until:
                return
            self.expected.add(nominal.instant)
            self.cursor = at = nominal.instant

    def _settled(self, until: datetime) -> None:
        self._due(until, jitter=False)
        self.cursor = max(self.cursor, until)

    def _looked(self) -> None:
        now = self.clock.now()
        if self.paused_until is not None and self.paused_until <= now:
            self._settled(self.paused_until)
            self.paused_until, self.resting = None, not self.spec.enabled
        if not self.resting:
            self._due(now, jitter=True)

    # --- what happens -----------------------------------------------------------------------------

    def _passes(self, minutes: int) -> None:
        self.clock.set_wall(self.clock.now() + timedelta(minutes=minutes))

    @rule(minutes=MINUTES)
    def the_clock_is_set_back(self, minutes: int) -> None:
        self.clock.set_wall(self.clock.now() - timedelta(minutes=minutes))

    @rule(after=MINUTES)
    def the_loop_looks(self, after: int = 0) -> None:
        self._passes(after)
        self.run(self.world.loop.fire_due())
        self._looked()

    @rule()
    def the_loop_reads_ahead(self) -> None:
        self.run(self.world.loop._ahead.read())

    @precondition(lambda self: not self.resting)
    @rule(late=st.sampled_from([0, 0, 25, 190]), times=st.sampled_from([None, None, *TIMES]))
    def the_very_next_fire_was_worked_out(self, late: int, times: dict[str, Any] | None) -> None:
        """Just in time, the way that nearly every fire takes; or something has come between."""
        nominal = Timing(self.spec, self.schedule, self.created).next_after(self.cursor)
        assert nominal is not None
        self.clock.set_wall(nominal.instant - timedelta(seconds=1))
        self.the_loop_reads_ahead()
        if times is not None:
            policies = {name: getattr(self.spec, name) for name in POLICY_NAMES}
            self._edit(ScheduleSpec(workflow="w", **times, **policies))
        self.clock.set_wall(nominal.instant + timedelta(minutes=late))
        self.the_loop_looks()

    @rule(after=MINUTES, committed=st.booleans())
    def an_engine_dies_while_it_decides(self, after: int, committed: bool) -> None:
        self._passes(after)
        loop, store = self.world.loop, self.world.store
        decide, write = loop._decide, store.write

        def before(tx: Tx, schedules: list[str]) -> Any:
            decide(tx, schedules)
            raise BrokenOff

        async def after(transition: Any) -> Any:
            await write(transition)
            raise BrokenOff

        if committed:
            store.write = after  # type: ignore[method-assign]
        else:
            loop._decide = before  # type: ignore[method-assign]
        try:
            self.run(loop.fire_due())
        except BrokenOff:
            pass
        self.run(store.close())
        self.run(self._open())
        self.the_loop_looks()

    @rule(away=MINUTES)
    def another_engine_starts(self, away: int) -> None:
        self.run(self.world.store.close())
        self._passes(away)
        self.run(self._open())

    @rule(after=MINUTES, times=st.sampled_from(TIMES), policies=POLICIES)
    def it_is_edited(self, after: int, times: dict[str, Any], policies: dict[str, Any]) -> None:
        self._passes(after)
        self._edit(ScheduleSpec(workflow="w", enabled=self.spec.enabled, **times, **policies))

    @rule(after=MINUTES, policies=POLICIES)
    def its_policies_are_edited(self, after: int, policies: dict[str, Any]) -> None:
        self._passes(after)
        self._edit(msgspec.structs.replace(self.spec, **policies))

    @rule(after=MINUTES, enabled=st.booleans())
    def it_is_switched(self, after: int, enabled: bool) -> None:
        self._passes(after)
        self._edit(msgspec.structs.replace(self.spec, enabled=enabled))

    def _edit(self, spec: ScheduleSpec) -> None:
        if spec == self.spec:
            return
        same = spec == msgspec.structs.replace(
            self.spec, **{name: getattr(spec, name) for name in POLICY_NAMES}
        )
        if not same or self.resting or not spec.enabled:
            self._settled(self.clock.now())
        self.spec = spec
        self.write(lambda tx: ops.edit(tx, self.schedule, spec, actor=ALICE))
        self.resting = not spec.enabled or (self.resting and self._paused())
        self.run(self.world.loop.refresh(self.schedule))

    def _paused(self) -> bool:
        ((paused,),) = self.run(self.world.rows("SELECT paused IS NOT NULL FROM schedules"))
        return bool(paused)

    @precondition(lambda self: not self.resting)
    @rule(after=MINUTES, minutes=st.sampled_from([None, 10, 50, 130]))
    def it_is_paused(self, after: int, minutes: int | None) -> None:
        self._passes(after)
        until = None if minutes is None else self.clock.now() + timedelta(minutes=minutes)
        self.write(lambda tx: ops.pause(tx, self.schedule, actor=ALICE, until=until))
        self.paused_until, self.resting = until, True
        self.run(self.world.loop.refresh(self.schedule))

    @precondition(lambda self: self.resting)
    @rule(after=MINUTES)
    def it_is_resumed(self, after: int = 0) -> None:
        self._passes(after)
        self._settled(self.clock.now())
        self.write(lambda tx: ops.resume(tx, self.schedule, actor=ALICE))
        self.spec = msgspec.structs.replace(self.spec, enabled=True)
        self.paused_until, self.resting = None, False
        self.run(self.world.loop.refresh(self.schedule))

    @precondition(lambda self: not self.resting)
    @rule()
    def the_next_one_is_skipped(self) -> None:
        self.write(lambda tx: ops.skip_next(tx, self.schedule, actor=ALICE))

    @rule()
    def what_runs_ends(self) -> None:
        self.run(self.world.end_runs())
        self.run(self.world.loop.start_queued(self.schedule))

    # --- the reckoning ----------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            if hasattr(self, "schedule"):
                self._reckon()
                self.run(self.world.store.close())
        finally:
            self.runner.close()
            self.directory.cleanup()

    def _reckon(self) -> None:
        self.clock.set_wall(max(self.clock.now(), self.cursor) + timedelta(hours=4))
        if self.resting:
            self.it_is_resumed()
        self.the_loop_looks()
        fires = self.run(self.world.rows("SELECT nominal, outcome, run_key FROM fires"))
        instants = [datetime.fromtimestamp(nominal / 1e6, UTC) for nominal, _, _ in fires]
        assert len(set(instants)) == len(instants)
        assert sorted(instants) == sorted(self.expected)
        assert {outcome for _, outcome, key in fires if key is not None} <= {"started", "queued"}
        assert {outcome for _, outcome, key in fires if key is None} <= {"skipped", "missed"}
        runs = self.run(self.world.rows("SELECT key, nominal FROM runs"))
        assert sorted(runs) == sorted((key, nominal) for nominal, _, key in fires if key is not None)


Fires.TestCase.settings = settings(
    max_examples=int(os.environ.get("VICTOR_FIRE_EXAMPLES", "20")), stateful_step_count=25, deadline=None
)
TestFires = Fires.TestCase
