"""A state machine that drives a whole engine with commands, full disks, restarts and kills.

The engine is the real one, on a real store and the fake clock. A kill happens in this process: when a drawn
COMMIT is reached, the writer stops, the files of the store are copied as a kill would leave them, and a new
engine opens the copy. Later changes of the old engine are lost.

    python -m tests.engine.state_machine [--examples 400] [--steps 20] [--seed 1]
"""

from __future__ import annotations

import asyncio
import copy
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
)

from tests.engine import machine_model as model
from tests.engine.machine_model import Question, Run
from tests.engine.machine_moments import MOMENT, Writer
from tests.engine.machine_runs import long_run, run_examples
from tests.engine.support import FINAL, ME, workspace
from tests.locking import LockedTx
from victor_engine.api import (
    Actor,
    Answer,
    EventInfo,
    MigrationSpec,
    RequestInfo,
    RequestQuery,
    RunInfo,
    RunQuery,
)
from victor_engine.clock import FakeClock
from victor_engine.engine import Engine, core
from victor_engine.errors import ConflictError, PermissionDeniedError, StorageError
from victor_engine.identity import acting_as
from victor_engine.loading.loader import Loader
from victor_engine.store import db
from victor_engine.store.outage import RETRY_SECONDS

T = TypeVar("T")

PLACES = 2
MOST_RUNS = 4
START = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
LONGEST = 30.0
"""Seconds in which what was committed must have taken effect; else the run counts as stuck."""
USERS = {
    "me": ME,
    "alice": Actor(user="alice", uid=70001, via="cli"),
    "bob": Actor(user="bob", uid=70002, via="cli"),
    "carol": Actor(user="carol", uid=70003, via="cli"),
}
ALL = ("open", "answered", "held", "expired", "withdrawn")
ASKS = {
    "single": "timeout: 1h, on_timeout: abort",
    "both": "timeout: 2h, on_timeout: skip, required_approvals: 2",
    "undo": "timeout: 3h, on_timeout: skip, undo_window: 10m",
    "late": "timeout: 1h, on_timeout: reject, assignees: [alice, bob], escalation: [{to: carol, after: 1h}]",
}
_FLOW = """
          {name}:
            version: {version}
            {migrations}
            nodes:
              - {{id: work, type: compute, handler: held, next: [ask]}}
              - {{id: ask, type: hitl, hitl_type: approval, {ask}, next: [last]}}
              - {{id: last, type: compute, handler: held}}"""
_MIGRATION = "migrations: [{from: 1.0.0, to: 1.1.0, steps: [{type: add_field, field: moved, default: 1}]}]"


def _flows(version: str, migrations: str = "") -> str:
    return "\n        workflows:" + "".join(
        _FLOW.format(name=name, version=version, migrations=migrations, ask=ask) for name, ask in ASKS.items()
    )


FILES = {
    "victor.yaml": f"""
        scheduler: {{max_concurrent_runs: {PLACES}}}
        hitl: {{unknown_assignees: warn}}
        handlers:
          held: {{python: "tests.engine.state_machine:held"}}
        """,
    "workflows/one.yaml": _flows("1.0.0"),
    "workflows/two.yaml": _flows("1.1.0", _MIGRATION),
}

_AT_WORK: dict[str, tuple[str, asyncio.Future[str]]] = {}
"""The node of each run at work, and what lets it end."""


async def held(call: Mapping[str, Any]) -> dict[str, str]:
    """Do the work of all nodes: wait until the test lets this node finish."""
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    _AT_WORK[call["run_id"]] = call["node_id"], future
    try:
        if await future == "fail":
            raise RuntimeError("told to fail")
    finally:
        del _AT_WORK[call["run_id"]]
    return {"did": call["node_id"]}


class KeptLoader(Loader):
    """A loader that reads the workspace once for all engines, because they are opened thousands of times."""

    def __init__(self) -> None:
        super().__init__(here=True)

    async def close(self) -> None:
        """Stay open for the next engine."""


@contextmanager
def machines(directory: Path) -> Iterator[type[Machine]]:
    """Return the class of the machines that use a directory. The COMMITs of their stores pass through `MOMENT`."""
    connect = db.connect

    def held_connect(path: Any, *, readonly: bool = False) -> Any:
        connection = connect(path, readonly=readonly)
        return connection if readonly else Writer(connection, MOMENT)

    class Here(Machine):
        root = workspace(directory, FILES)
        found = Counter()

    loader = KeptLoader()
    with (
        mock.patch.object(db, "connect", held_connect),
        mock.patch.object(core, "Loader", return_value=loader),
        asyncio.Runner() as runner,
    ):
        Here.runner = runner
        yield Here
        runner.run(Loader.close(loader))


# --- the machine -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trouble:
    """The fault during a command. `commit` is the COMMIT at which it starts, from 1."""

    kind: str = ""  # full, before, after; empty: nothing
    commit: int = 1
    again: int = 0  # the COMMIT of the next start at which that engine is killed too; 0: it is not


TOLD = {
    "": "",
    "full": "(full disk)",
    "before": "(killed before a COMMIT)",
    "after": "(killed after a COMMIT)",
}
"""How `explore` counts each kind of trouble."""
TROUBLES = st.one_of(
    st.just(Trouble()),
    st.just(Trouble()),
    st.builds(Trouble, st.just("full"), st.integers(1, 3)),
    st.builds(Trouble, st.sampled_from(("before", "after")), st.integers(1, 4), st.integers(0, 5)),
)
INDEX = st.integers(0, MOST_RUNS - 1)
VERBS = ("pause", "pause", "resume", "cancel", "retry", "redrive", "override", "migrate")
World = list[Run]
Effect = Callable[[World], list[World]]
"""The worlds that a command may lead to; none if it is refused."""


class Refused(Exception):
    """A command was refused by its result instead of an error."""


@dataclass(frozen=True)
class Seen:
    """The shown state of a run."""

    runs: dict[str, RunInfo]
    requests: dict[str, list[RequestInfo]]
    limited: frozenset[str]


class Machine(RuleBasedStateMachine):
    """One example: an engine with its kills and restarts, and its model."""

    root: Path
    runner: asyncio.Runner
    found: Counter[str]
    """How often each kind of thing was done."""

    def __init__(self) -> None:
        super().__init__()
        MOMENT.disarm()
        _AT_WORK.clear()
        self.life = 0
        self.states = Path(tempfile.mkdtemp(dir=self.root.parent))
        self.clock = FakeClock(START)
        self.world: World = []
        self.steps: list[str] = []
        self.problems: list[str] = []
        self.told: dict[int, tuple[str, str | None]] = {}
        self.do(self.open())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self.runner.run(work)
        except AssertionError as error:
            # Because of threads, the same steps may succeed when they are repeated.
            error.add_note("after: " + "; ".join(self.steps))
            rows = [row for row in self.dump() if row[0] in ("runs", "attempts", "requests", "events")]
            error.add_note("\n".join(map(str, rows[-60:])))
            raise

    @property
    def state_dir(self) -> Path:
        return self.states / str(self.life)

    @property
    def now(self) -> float:
        return (self.clock.now() - START).total_seconds()

    async def open(self) -> None:
        with acting_as(ME):
            self.engine = await Engine.open(self.root, self.state_dir, clock=self.clock, fire=False)
        engine = self.engine

        def listen(events: list[EventInfo]) -> None:
            if engine is self.engine:
                self.told.update({event.seq: (event.kind, event.run_id) for event in events})

        engine.store.listen(listen)

    def teardown(self) -> None:
        MOMENT.disarm()
        self.do(self.engine.close())
        shutil.rmtree(self.states)

    # --- what is done, with what may happen meanwhile

    def act(
        self,
        name: str,
        work: Callable[[], Awaitable[Any]],
        effect: Effect,
        trouble: Trouble,
        *,
        detail: object = "",
        acknowledged: bool = True,
    ) -> None:
        """Do `work`. A kill may undo it unless its end was `acknowledged`."""
        self.found[f"{name} {TOLD[trouble.kind]}".strip()] += 1
        self.steps.append(f"{name} {detail} {trouble.kind} {trouble.commit} {trouble.again}")
        allowed = effect(copy.deepcopy(self.world))
        if trouble.kind == "full":
            self.do(self.on_full_disk(work, allowed, trouble))
        elif trouble.kind:
            self.do(self.killed(work, allowed, trouble, acknowledged))
        else:
            self.do(self.plainly(work, allowed))

    async def plainly(self, work: Callable[[], Awaitable[Any]], allowed: list[World]) -> None:
        accepted = await self.accepted(work)
        assert accepted == bool(allowed), f"accepted: {accepted}, and the model says {bool(allowed)}"
        await self.settle(allowed or [self.world])

    @staticmethod
    async def accepted(work: Callable[[], Awaitable[Any]]) -> bool:
        try:
            await work()
        except (ConflictError, PermissionDeniedError, Refused):
            return False
        return True

    async def on_full_disk(
        self, work: Callable[[], Awaitable[Any]], allowed: list[World], trouble: Trouble
    ) -> None:
        before = self.dump()
        MOMENT.fills_in = trouble.commit
        task = asyncio.ensure_future(self.accepted(work))
        worlds = allowed or [self.world]
        await self.until_async(lambda: self.full_or_shows(task, worlds))
        for _ in range(20):
            await asyncio.sleep(0)
        if trouble.commit == 1:
            assert not MOMENT.full or self.dump() == before, "what was refused has changed something"
        MOMENT.disarm()
        while self.engine.store.outage is not None:
            await self.clock.advance(RETRY_SECONDS)
            await asyncio.sleep(0.001)
        try:
            worlds = allowed if await task else [self.world]
            assert worlds, "accepted, and the model says that it is refused"
        except StorageError:
            worlds = [self.world]
        await self.settle(worlds)

    async def full_or_shows(self, task: asyncio.Task[bool], worlds: list[World]) -> bool:
        return self.engine.store.outage is not None or (task.done() and await self.shows(worlds))

    async def killed(
        self, work: Callable[[], Awaitable[Any]], allowed: list[World], trouble: Trouble, acknowledged: bool
    ) -> None:
        MOMENT.taken = self.copy
        MOMENT.arm(trouble.commit, trouble.kind == "after")
        task = asyncio.ensure_future(self.accepted(work))
        await self.until(lambda: MOMENT.stands or task.done())
        if not MOMENT.stands:
            # The command has fewer commits; its consequences may have more.
            worlds = allowed if allowed and task.result() else [self.world]
            await self.until_async(lambda: self.stands_or_shows(worlds))
        for _ in range(20):
            await asyncio.sleep(0)
        if task.done():
            assert task.result() == bool(allowed)
            worlds = allowed or [self.world]
        if not (task.done() and acknowledged):
            worlds = [self.world, *allowed]
        await self.die(trouble.again)
        if not task.done():
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for world in worlds:
            for run in world:
                model.restarted(run)
        await self.settle(worlds)

    async def stands_or_shows(self, worlds: list[World]) -> bool:
        return MOMENT.stands or await self.shows(worlds)

    async def shows(self, worlds: list[World]) -> bool:
        """Return whether the actual state is one of the expected states."""
        seen = await self.look()
        self.problems = [self.differs(world, seen) for world in copy.deepcopy(worlds)]
        return not all(self.problems)

    def copy(self) -> None:
        """Copy the files of the store as a kill at this moment would leave them."""
        target = self.states / str(self.life + 1)
        target.mkdir(mode=0o700)
        for name in ("victor.db", "victor.db-wal"):
            if (self.state_dir / name).exists():
                shutil.copyfile(self.state_dir / name, target / name)
                (target / name).chmod(0o600)

    async def die(self, again: int) -> None:
        """Copy the store at this moment and continue with the copy; the old engine is lost."""
        self.copy()
        told, old = self.told, self.engine
        self.told = {}  # results of the old engine from now on do not count
        MOMENT.disarm()
        await old.close()
        self.told = told
        self.life += 1
        if again:
            MOMENT.arm(again, False)
        opening = asyncio.ensure_future(self.open())
        await self.until(lambda: MOMENT.stands or opening.done())
        if MOMENT.stands:
            if not (self.states / str(self.life + 1)).exists():
                self.copy()
            told, self.told = dict(self.told), {}
            MOMENT.disarm()
            await opening
            await self.engine.close()
            self.told = told
            self.life += 1
            opening = asyncio.ensure_future(self.open())
        MOMENT.disarm()
        await opening

    # --- what must hold

    async def until(self, condition: Callable[[], bool]) -> None:
        async def asked() -> bool:
            return condition()

        await self.until_async(asked)

    async def until_async(self, condition: Callable[[], Awaitable[bool]]) -> None:
        end = time.monotonic() + LONGEST
        while not await condition():
            assert time.monotonic() < end, f"nothing happens any more: {self.problems}"
            await asyncio.sleep(0.001)

    async def look(self) -> Seen:
        with acting_as(ME):
            runs = await self.engine.runs(RunQuery(limit=100))
            asked = await self.engine.requests(RequestQuery(statuses=ALL, limit=500))
        requests: dict[str, list[RequestInfo]] = {}
        order = dict(
            await self.engine.store.read(lambda c: c.execute("SELECT id, key FROM requests").fetchall())
        )
        for request in sorted(asked, key=lambda request: order.get(request.id, 0)):
            requests.setdefault(request.run_id, []).append(request)
        limited = await self.engine.store.read(
            lambda c: c.execute("SELECT id FROM runs WHERE overrides IS NOT NULL").fetchall()
        )
        return Seen({run.id: run for run in runs}, requests, frozenset(row[0] for row in limited))

    async def settle(self, worlds: list[World]) -> None:
        """Wait until the actual state is one of the expected states, and use that one as the model."""
        end = time.monotonic() + LONGEST
        while True:
            seen = await self.look()
            found = []
            for world in copy.deepcopy(worlds):
                problem = self.differs(world, seen)
                if not problem:
                    self.world = world
                    self.check()
                    return
                found.append(problem)
            assert time.monotonic() < end, "stuck: " + "; or ".join(found)
            await asyncio.sleep(0.001)

    def differs(self, world: World, seen: Seen) -> str:
        """Return the differences from the model. The model adopts choices that are left to the engine."""
        if len(world) != len(seen.runs):
            return f"{len(seen.runs)} runs instead of {len(world)}"
        new = [run for run in seen.runs if run not in [known.id for known in world]]
        crowded = sum(run.status in ("running", "pausing") for run in seen.runs.values()) >= PLACES
        for run in world:
            if not run.id and new:
                run.id = new.pop()
            shown = seen.runs.get(run.id)
            if shown is None:
                return f"run {run.id} is lost"
            model.due(run, self.now)
            # A run with an answer needs a slot before it continues.
            if not run.hold and not (shown.status in ("queued", "waiting") and crowded):
                run.goes_on()
            problem = _run_differs(run, shown, crowded) or _question_differs(
                run, seen.requests.get(run.id, []), shown.status, self.now
            )
            if not problem and run.limited != (run.id in seen.limited):
                problem = f"its limits are {'not ' if run.limited else ''}set"
            if problem:
                return f"{run.kind} {run.id}: {problem} ({run})"
        return ""

    def dump(self) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.state_dir / "victor.db")
        try:
            return [
                (table, *row)
                for table in ("runs", "requests", "votes", "attempts", "events", "run_migrations")
                for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1")
            ]
        finally:
            connection.close()

    def events(self, kind: str) -> int:
        """Return how many events of a kind are stored."""
        connection = sqlite3.connect(self.state_dir / "victor.db")
        try:
            found: int = connection.execute("SELECT COUNT(*) FROM events WHERE kind = ?", (kind,)).fetchone()[
                0
            ]
            return found
        finally:
            connection.close()

    def check(self) -> None:
        """Check the invariants of the store, which is read without the engine."""
        connection = sqlite3.connect(self.state_dir / "victor.db")
        try:
            events = connection.execute("SELECT seq, kind, run_key FROM events ORDER BY seq").fetchall()
            assert [seq for seq, _, _ in events] == list(range(1, len(events) + 1)), "events have a gap"
            keys = dict(connection.execute("SELECT key, id FROM runs"))
            there = {seq: (kind, keys.get(run)) for seq, kind, run in events}
            lost = {seq: fact for seq, fact in self.told.items() if there.get(seq) != fact}
            assert not lost, f"events that were told of are lost: {lost}"
            for sql, what in CHECKS:
                assert not (found := connection.execute(sql).fetchall()), f"{what}: {found}"
        finally:
            connection.close()

    # --- rules: none depends on how an earlier kill went, so that the same draws make the same rules

    @initialize(
        kinds=st.lists(st.tuples(st.sampled_from(tuple(ASKS)), st.booleans()), min_size=1, max_size=3)
    )
    def begin(self, kinds: list[tuple[str, bool]]) -> None:
        """Start with some runs, of which some have an open request."""
        for kind, asks in kinds:
            self.start(kind, Trouble())
            run = self.world[-1]
            if asks and run.id in _AT_WORK:
                self.let_end(sorted(_AT_WORK).index(run.id), "finish", Trouble())

    @rule(kind=st.sampled_from(tuple(ASKS)), trouble=TROUBLES)
    def start(self, kind: str, trouble: Trouble) -> None:
        if len(self.world) >= MOST_RUNS:
            return

        async def work() -> None:
            with acting_as(ME):
                await self.engine.start_run(kind, "1.0.0")

        self.act("start", work, lambda world: [[*world, Run("", kind)]], trouble, detail=kind)

    @rule(
        index=INDEX,
        verb=st.sampled_from(VERBS),
        node=st.sampled_from(("work", "ask", "last")),
        trouble=TROUBLES,
    )
    def command(self, index: int, verb: str, node: str, trouble: Trouble) -> None:
        if not self.world:
            return
        run = self.world[index % len(self.world)]
        status = self.do(self.look()).runs[run.id].status

        async def work() -> None:
            with acting_as(ME):
                if verb == "redrive":
                    await self.engine.redrive_run(run.id, node)
                elif verb == "override":
                    await self.engine.override_node(run.id, "last", timeout=7 * 86_400)
                elif verb == "migrate":
                    spec = MigrationSpec(run.kind, "1.1.0", run_ids=(run.id,))
                    (move,) = (await self.engine.migrate_runs(spec)).runs
                    if move.outcome != "migrated":
                        raise Refused(move.reason)
                else:
                    await getattr(self.engine, f"{verb}_run")(run.id)

        def effect(world: World) -> list[World]:
            return [world] if model.command(_of(world, run), verb, status, node) else []

        self.act(verb, work, effect, trouble, detail=(self.world.index(run), node))

    @rule(index=INDEX, verb=st.sampled_from(("finish", "finish", "fail")), trouble=TROUBLES)
    def let_end(self, index: int, verb: str, trouble: Trouble) -> None:
        if not _AT_WORK:
            return
        run_id, (_, future) = sorted(_AT_WORK.items())[index % len(_AT_WORK)]
        run = next(run for run in self.world if run.id == run_id)

        async def work() -> None:
            future.set_result(verb)

        def effect(world: World) -> list[World]:
            assert model.command(_of(world, run), verb, "running", "")
            return [world]

        self.act(verb, work, effect, trouble, detail=self.world.index(run), acknowledged=False)

    @rule(
        index=INDEX,
        user=st.sampled_from(("me", "alice", "bob", "carol")),
        verb=st.sampled_from(("approved", "approved", "approved", "rejected", "undo", "reassign")),
        to=st.sampled_from((("alice",), ("bob", "carol"))),
        stale=st.sampled_from((False, False, False, True)),
        trouble=TROUBLES,
    )
    def decide(
        self, index: int, user: str, verb: str, to: tuple[str, ...], stale: bool, trouble: Trouble
    ) -> None:
        asked = [run for run in self.world if run.question is not None]
        if not asked:
            return
        run = asked[index % len(asked)]
        work = self.said(run, user, verb, to, -1 if stale else 0)

        def effect(world: World) -> list[World]:
            if stale and verb != "undo":
                return []
            return [world] if model.people(_of(world, run), verb, user, self.now, to) else []

        self.act(verb, work, effect, trouble, detail=(self.world.index(run), user, to, stale))

    def said(
        self, run: Run, user: str, verb: str, to: tuple[str, ...] = (), older: int = 0
    ) -> Callable[[], Awaitable[None]]:
        assert run.question is not None
        request_id = run.question.id
        with acting_as(ME):
            revision = self.do(self.engine.request(request_id)).revision + older

        async def work() -> None:
            with acting_as(USERS[user]):
                if verb == "undo":
                    await self.engine.undo_answer(request_id)
                elif verb == "reassign":
                    await self.engine.reassign(request_id, revision, list(to))
                else:
                    outcome: Any = verb
                    await self.engine.answer(request_id, revision, Answer(outcome=outcome))

        return work

    @rule(index=INDEX, trouble=TROUBLES)
    def answer_at_the_same_time(self, index: int, trouble: Trouble) -> None:
        """Let two people answer a request that needs one answer: exactly one answer is accepted."""
        asked = [
            run
            for run in self.world
            if run.question is not None and run.question.status == "open" and run.kind != "both"
        ]
        pair = (("alice", "approved"), ("bob", "rejected"))
        if not asked:
            return
        run = asked[index % len(asked)]
        works = [self.said(run, user, verb) for user, verb in pair]
        won: list[str] = []

        async def one(work: Callable[[], Awaitable[None]], user: str) -> None:
            if await self.accepted(work):
                won.append(user)

        async def work() -> None:
            done = await asyncio.gather(
                *(one(work, user) for work, (user, _) in zip(works, pair, strict=True)),
                return_exceptions=True,
            )
            failed = [error for error in done if error is not None]
            assert len(won) <= 1, "two answers have won"
            for error in failed:
                if not won or not isinstance(error, StorageError):
                    raise error
            if not won:
                raise Refused

        def effect(world: World) -> list[World]:
            worlds = []
            for user, verb in pair:
                other = copy.deepcopy(world)
                if model.people(_of(other, run), verb, user, self.now):
                    worlds.append(other)
            return worlds

        self.act("race", work, effect, trouble, detail=self.world.index(run))

    @rule(
        seconds=st.sampled_from((60.0, 600.0, 3600.0, 7200.0)),
        restarts=st.sampled_from((False, False, True)),
        trouble=TROUBLES,
    )
    def pass_time(self, seconds: float, restarts: bool, trouble: Trouble) -> None:
        """Let time pass, at most until something is due; or all of it while no engine runs."""
        if restarts:
            self.restart(seconds)
            return
        questions = [run.question for run in self.world if run.question is not None and not run.end]
        instants = [
            instant
            for question in questions
            for instant in (question.deadline if question.status == "open" else None, question.settles)
            if instant is not None
        ]
        length = min([seconds, *(max(instant - self.now, 0.0) for instant in instants)])

        async def work() -> None:
            await self.clock.advance(length + 0.001)

        self.act("time", work, lambda world: [world], trouble, detail=length)

    def restart(self, seconds: float) -> None:
        """Stop the engine regularly and start the next one later."""
        self.found["restart"] += 1
        self.steps.append(f"restart {seconds}")

        async def again() -> None:
            await self.engine.close()
            assert not _AT_WORK, "something is still at work"
            await self.clock.advance(seconds)
            await self.open()
            world = copy.deepcopy(self.world)
            for run in world:
                model.restarted(run)
            await self.settle([world])

        self.do(again())


CHECKS = (
    (
        "SELECT run_key, node_id, iteration FROM attempts WHERE status = 'succeeded'"
        " GROUP BY 1, 2, 3 HAVING COUNT(*) > 1",
        "a step was applied twice",
    ),
    (
        "SELECT request_id, SUM(kind = 'request.answered') - SUM(kind = 'request.undone') AS won FROM events"
        " WHERE request_id IS NOT NULL GROUP BY 1 HAVING won > 1",
        "a request was answered twice",
    ),
    (
        "SELECT r.id, a.node_id, a.status FROM attempts a JOIN runs r ON r.key = a.run_key"
        f" WHERE a.status IN ('running', 'waiting', 'retrying') AND r.status IN {FINAL}",
        "an attempt goes on in a run that has ended",
    ),
    (
        "SELECT r.id, q.id FROM requests q JOIN runs r ON r.key = q.run_key"
        f" WHERE q.status = 'open' AND r.status IN {FINAL}",
        "a run that has ended still asks",
    ),
    (
        "SELECT run_key FROM requests WHERE status = 'open' GROUP BY 1 HAVING COUNT(*) > 1",
        "a run asks twice at once",
    ),
    (
        "SELECT r.id FROM runs r JOIN definitions d ON d.id = r.definition_id WHERE (d.version = '1.1.0') <>"
        " (SELECT COUNT(*) FROM run_migrations m WHERE m.run_key = r.key)",
        "a version and the history of migrations disagree",
    ),
)


def _of(world: World, run: Run) -> Run:
    return next(other for other in world if other.id == run.id)


def _run_differs(run: Run, shown: RunInfo, crowded: bool) -> str:
    expected = model.statuses(run, crowded)
    if shown.status not in expected:
        return f"{shown.status} instead of {' or '.join(expected)}"
    if shown.version != run.version:
        return f"on {shown.version} instead of {run.version}"
    at_work = _AT_WORK.get(run.id)
    if shown.status in ("running", "pausing") and (at_work is None or at_work[0] != run.node):
        return f"{shown.status}, and {at_work[0] if at_work else 'nothing'} is at work"
    if shown.status not in ("running", "pausing") and at_work is not None:
        return f"{shown.status}, and {at_work[0]} is at work"
    return ""


def _question_differs(run: Run, requests: list[RequestInfo], status: str, now: float) -> str:
    opened = run.question is None and run.node == "ask" and not run.end and len(requests) > run.asked
    if opened and requests[-1].deadline is not None:
        deadline = (requests[-1].deadline - START).total_seconds()
        expected = (requests[-1].created_at - START).total_seconds() + model.TIMEOUT[run.kind]
        # The deadline counts from the visit of the node; on a full disk the request is stored later.
        if not expected - 60 < deadline < expected + 1:
            return f"is due at {deadline} instead of {expected}"
        run.asked += 1
        assignees = requests[-1].assignees
        run.question = Question(requests[-1].id, deadline, assignees)
        model.due(run, now)
    if len(requests) != run.asked:
        return f"{len(requests)} requests instead of {run.asked}"
    question = run.question
    if question is None:
        if any(request.status == "open" for request in requests):
            return "asks something that was withdrawn"
        return "asks nothing" if status == "waiting" else ""
    shown = requests[-1]
    votes = {vote.actor.user: vote.outcome for vote in shown.votes if not vote.undone}
    if shown.status != question.status or shown.assignees != question.people or votes != question.votes:
        return f"asks {shown.status}, {shown.assignees}, {votes}"
    if shown.status == "open" and shown.deadline is not None and question.deadline is not None:
        deadline = (shown.deadline - START).total_seconds()
        if question.escalated and now <= deadline <= question.deadline:
            question.deadline = deadline  # the escalation was shortly before the check
        if abs(deadline - question.deadline) > 1:
            return f"is due at {deadline}"
    if (shown.settles_at is None) != (question.settles is None):
        return f"settles at {shown.settles_at}"
    return ""


# --- running it ------------------------------------------------------------------------------------


def explore(
    directory: Path, examples: int, steps: int, *, number: int = 1, say: bool = False
) -> Counter[str]:
    """Run examples, which are the same for the same `number`; return how often each kind of step was done."""
    began = time.monotonic()
    with machines(directory) as machine:

        class Example(machine):  # type: ignore[valid-type,misc]
            done = 0

            def teardown(self) -> None:
                super().teardown()
                Example.done += 1
                if say and Example.done % 20 == 0:
                    spent = time.monotonic() - began
                    left = spent / Example.done * max(examples - Example.done, 0)
                    print(
                        f"{Example.done} of {examples} examples, {self.found.total():,} steps after {spent:.0f} s;"
                        f" about {left:.0f} s are left",
                        flush=True,
                    )

        run_examples(Example, examples, steps, number)
        return machine.found


def main() -> None:
    db.Store.transaction = LockedTx
    with long_run(__doc__) as (given, directory):
        found = explore(directory, given.examples, given.steps, number=given.seed, say=True)
        print(
            f"seed {given.seed}: {found.total():,} steps: "
            + ", ".join(f"{n} {what}" for what, n in found.most_common())
        )


if __name__ == "__main__":
    # Import this module by its own name, which the workspace uses for its functions.
    from tests.engine.state_machine import main as run

    run()
