"""A day of a workspace, lived through by a real engine: every status, outcome and kind of question.

The day up to a few minutes before `NOW` is lived once for all tests, and the store kept. Each test opens an
engine on a copy, on which those last minutes pass: what is at work now has been started in them.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.tui import hands
from tests.tui.one_thread import PatientClock, idle, run_in_one_thread
from tests.tui.realport import ANA, BO, NOW, RealPort
from victor_engine import ids
from victor_engine.api import Actor, Answer, RequestInfo, RequestQuery, RunInfo, RunQuery, ScheduleSpec
from victor_engine.definition.graph import graph_info
from victor_engine.definition.loader import load_file
from victor_engine.people import requests
from victor_engine.store import transaction

WORKSPACE = Path(__file__).parent / "workspace"
START = datetime(2026, 3, 9, 12, 5, 42, tzinfo=UTC)
"""When the workspace was opened for the first time: an hourly schedule fires at 5:42 past each hour since."""
DOWN, UP = datetime(2026, 3, 9, 14, 32, tzinfo=UTC), datetime(2026, 3, 10, 2, 10, tzinfo=UTC)
"""From when to when no engine ran."""
SPLIT = NOW - timedelta(seconds=280)
"""Where the day that all tests share ends."""
CI = Actor(user="ci", uid=1002, via="api")
AT_WORK = ("running", "queued", "cancelling")


def graph_of(workflow: str, version: str) -> Any:
    """Return the graph of a workflow of the test workspace."""
    for path in sorted(WORKSPACE.glob("workflows/*.yaml")):
        found = load_file(path).workflows.get(workflow)
        if found is not None and str(found.version) == version:
            return graph_info(found)
    raise LookupError(f"{workflow} {version}")


@contextmanager
def steady_ids() -> Iterator[None]:
    """Let ids that are made inside follow from the clock, and from the order within a millisecond."""
    numbers: Counter[str] = Counter()

    def fresh_ids(now: datetime) -> Iterator[str]:
        begin = next(ids.fresh_ids(now))[:8]
        while True:
            numbers[begin] += 1
            yield begin + ids._encode(numbers[begin], 5)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transaction, "fresh_ids", fresh_ids)
        patch.setattr(requests, "new_id", lambda now: next(fresh_ids(now)))
        yield


class World(RealPort):
    """A port on the engine of that workspace.

    `run_ids`, `asked` and `schedule_ids` have ids by the names that tests use: schedules by their workflow.
    """

    def __init__(self, root: Path, *, fire: bool = False, clock: PatientClock) -> None:
        super().__init__(root, files={}, clock=clock, fire=fire)
        self.run_ids: dict[str, str] = {}
        self.asked: dict[str, str] = {}
        self.schedule_ids: dict[str, str] = {}
        self.cancelling: asyncio.Task[Any] | None = None
        self._live = False

    async def open(self) -> RealPort:
        hands.begin(self.clock)
        await super().open()
        if self._live:
            self._live = False
            with steady_ids():
                await last_minutes(self)
        return self

    async def end(self) -> None:
        if self.cancelling is not None:
            self.cancelling.cancel()
            await asyncio.gather(self.cancelling, return_exceptions=True)
        await super().end()

    # --- letting time pass -----------------------------------------------------------------------

    async def go_to(self, instant: datetime) -> None:
        await self.clock.advance((instant - self.clock.now()).total_seconds())

    async def before_now(self, seconds: float) -> None:
        await self.go_to(NOW - timedelta(seconds=seconds))

    # --- what people do --------------------------------------------------------------------------

    async def start(
        self, name: str, workflow: str, version: str | None = None, by: Actor = ANA, **state: Any
    ) -> str:
        run: RunInfo = await self.by(by, "start_run", workflow, version, state)
        self.run_ids[name] = run.id
        await idle()
        return run.id

    async def question(self, name: str, run: str) -> RequestInfo:
        async def found() -> list[RequestInfo]:
            return [
                q
                for q in await self.engine_.requests(RequestQuery(run_id=self.run_ids[run]))
                if q.status == "open"
            ]

        (request,) = await self.until(found)
        self.asked[name] = request.id
        return request  # type: ignore[no-any-return]

    async def say(self, name: str, outcome: str, by: Actor, comment: str = "") -> None:
        request = await self.engine_.request(self.asked[name])
        await self.by(by, "answer", request.id, request.revision, Answer(outcome, comment=comment))  # type: ignore[arg-type]
        await idle()

    def ids_of(self, *workflows: str) -> list[str]:
        """Return the ids of the schedules of these workflows."""
        return [self.schedule_ids[workflow] for workflow in workflows]

    async def schedule_id(self, workflow: str) -> str:
        return next(each.id for each in await self.engine_.schedules() if each.spec.workflow == workflow)


async def live_through(root: Path) -> dict[str, Any]:
    """Live the day up to `SPLIT` in a store at `root`, and return the names of what came of it."""
    clock = PatientClock(START)
    world = World(root, fire=True, clock=clock)
    await world.open()
    assert not (wrong := [p for p in await world.reload() if p.severity == "error"]), wrong
    await _schedules(world)
    await _yesterday(world)
    await world.go_to(DOWN)
    await world.engine_.close()
    clock.set_wall(UP)
    await world.open()
    await _last_night(world)
    await _today(world)
    await world.go_to(SPLIT)
    schedules = {each.spec.workflow: each.id for each in await world.engine_.schedules()}
    await world.engine_.close()
    return {"runs": world.run_ids, "asked": world.asked, "schedules": schedules}


async def _schedules(world: World) -> None:
    """Change what the files declare, and add what they do not."""
    deploy = await world.engine_.schedule(await world.schedule_id("deploy"))
    spec = msgspec.structs.replace(deploy.spec, cron="30 15 * * 1-5")
    await world.by(ANA, "edit_schedule", deploy.id, spec, "half an hour later suits the team")
    once = ScheduleSpec(
        "close_quarter", at=datetime(2026, 3, 31, 14, 5, tzinfo=UTC), description="Once, after the quarter"
    )
    await world.by(BO, "add_schedule", once, "")
    await world.by(ANA, "add_schedule", ScheduleSpec("reindex", cron="0 3 * * *", version="^2.0"), "")
    await world.by(ANA, "set_alias", "deploy", "stable", "2.0.0", None, 0, "")
    await world.by(BO, "set_alias", "deploy", "stable", "2.1.0", None, 0, "checked for a week")
    await world.by(ANA, "set_alias", "data_pipeline", "stable", "1.1.0", None, 0, "")
    await world.by(ANA, "set_alias", "data_pipeline", "stable", "1.1.0", "2.0.0", 20, "a fifth of the fleet")


async def _yesterday(world: World) -> None:
    await world.start("rejected", "deploy", "2.0.0", BO, release="4.1.7")
    await world.go_to(world.clock.now() + timedelta(seconds=9))
    await world.question("rejected", "rejected")
    await world.go_to(world.clock.now() + timedelta(minutes=9))
    await world.say("rejected", "rejected", ANA, "not on a Monday")
    await world.start("expired", "deploy", "2.0.0", BO, release="4.1.8")
    await world.go_to(world.clock.now() + timedelta(seconds=9))
    await world.question("expired", "expired")
    await world.start("full", "nightly_backup", do={"verify": "fail"})
    await world.start("succeeded", "deploy", "2.0.0", BO, release="4.1.6", image="web:4.1.6")
    await world.go_to(world.clock.now() + timedelta(seconds=9))
    await world.question("succeeded", "succeeded")
    await world.say("succeeded", "approved", ANA)
    await world.go_to(world.clock.now() + timedelta(minutes=35))
    for _ in range(4):  # what is usual of it
        await world.start("quarter", "close_quarter")
        await world.go_to(world.clock.now() + timedelta(seconds=40))


async def _last_night(world: World) -> None:
    await idle()
    await world.by(ANA, "remove_version", "reindex", "2.4.0", "it corrupts the index")
    await world.go_to(datetime(2026, 3, 10, 8, 20, tzinfo=UTC))
    slow = {"fetch_orders": 2400.0}  # longer than the time between two fires
    pipeline = await world.schedule_id("data_pipeline")
    await world.by(ANA, "trigger_schedule", pipeline, {"do": slow}, "")
    await world.go_to(datetime(2026, 3, 10, 9, 35, tzinfo=UTC))
    for name in ("full-1", "full-2"):
        await world.start(name, "host_health", do={"collect": "fail"})
    await world.start("cancelled", "publish_metrics", do={"publish": 1200.0})
    await world.by(BO, "cancel_run", world.run_ids["cancelled"], "the wrong day")
    await world.go_to(datetime(2026, 3, 10, 10, 55, tzinfo=UTC))


async def _today(world: World) -> None:
    nightly = await world.schedule_id("nightly_backup")
    await world.by(ANA, "pause_schedule", nightly, "storage array is being moved", NOW + timedelta(hours=20))
    await world.start("paused", "deploy", "2.0.0", BO, release="4.1.9")
    await world.go_to(world.clock.now() + timedelta(seconds=9))
    await world.by(ANA, "pause_run", world.run_ids["paused"], "wait for the array")
    await world.go_to(datetime(2026, 3, 10, 12, 33, tzinfo=UTC))
    for number in range(3):
        await world.start(f"moving-{number}", "data_pipeline", "1.1.0", BO)
    for number in range(8):
        await world.start(f"split-{number}", "data_pipeline", "stable", BO)
    while await world.engine_.runs(RunQuery(statuses=AT_WORK)):
        await world.go_to(world.clock.now() + timedelta(seconds=1))
    for number in range(8):
        await world.question(f"split-{number}", f"split-{number}")
        await world.say(f"split-{number}", "rejected" if number == 2 else "approved", ANA)
    await world.start("expenses", "expenses", by=BO)
    await world.start("onboarding", "onboarding", by=BO)
    await world.go_to(datetime(2026, 3, 10, 12, 45, tzinfo=UTC))
    await world.by(BO, "claim", (await world.question("choice", "expenses")).id)
    await world.question("input", "onboarding")
    # A roll-out that runs out of time, three times.
    image = {"release": "4.1.9", "image": "web:4.1.9", "hosts": ["web-1", "web-2"], "risk": {"level": "low"}}
    await world.start("failed", "deploy", "2.1.0", BO, do={"roll_out": "hang"}, region="eu-1", **image)
    await world.go_to(world.clock.now() + timedelta(seconds=10))
    await world.question("done", "failed")
    await world.say("done", "approved", ANA, "green")
    await world.say("done", "approved", Actor("eve", 1003, "cli"))
    for seconds in (120, 2, 120, 2, 120):  # the limit of the node, and the delay before its next attempt
        await world.go_to(world.clock.now() + timedelta(seconds=seconds))
    await world.go_to(datetime(2026, 3, 10, 13, 18, tzinfo=UTC))
    report = "# Daily report\n\nOrders rose by 4 %.\n\nStock of item 17 is low.\n"
    await world.start("review", "report_review", report=report)
    await world.question("review", "review")
    await world.go_to(datetime(2026, 3, 10, 13, 35, tzinfo=UTC))
    image = {
        "release": "4.2.0",
        "image": "web:4.2.0",
        "hosts": ["web-1", "web-2", "web-3"],
        "risk": {"level": "medium"},
    }
    await world.start("waiting", "deploy", "2.1.0", CI, **image)
    await world.go_to(world.clock.now() + timedelta(seconds=10))
    await world.question("approve", "waiting")
    await world.say("approve", "approved", BO, "checked the diff")
    await world.go_to(datetime(2026, 3, 10, 13, 55, 42, tzinfo=UTC))
    await world.start("purge", "purge", by=BO)
    await world.question("confirm", "purge")
    await world.go_to(datetime(2026, 3, 10, 13, 58, tzinfo=UTC))
    await world.start("autoscale", "autoscale", by=BO)
    await world.question("override", "autoscale")
    await world.go_to(SPLIT)


async def last_minutes(world: World) -> None:
    """Start what is at work at `NOW`. Stop wherever work ends or is tried again."""
    await idle()
    await world.before_now(275)
    await world.start("train", "release_train", child_do={"build": 5, "roll_out": "hang"}, do={"prepare": 5})
    await world.before_now(270)
    await world.before_now(265)
    (child,) = (await world.engine_.run(world.run_ids["train"])).children
    world.run_ids["child"] = child.id
    await world.start("hangs", "close_quarter", do={"collect": "hang"})
    await world.before_now(190)
    pipeline = {"fetch_orders": "hang", "fetch_prices": "hang", "fetch_stock": "fail twice"}
    await world.start("busy", "data_pipeline", "1.0.0", BO, do=pipeline)
    for seconds in (130, 70, 61, 50):
        await world.before_now(seconds)
    await world.start("cancelling", "nightly_backup", by=CI, do={"copy": "stay"})
    # This returns when the run has ended, and the run does not want to.
    world.cancelling = asyncio.create_task(
        world.by(CI, "cancel_run", world.run_ids["cancelling"], "the wrong array")
    )
    await world.until(lambda: _is_cancelling(world))
    await world.before_now(18)
    await world.start("queued", "host_health")
    await world.before_now(0)


async def _is_cancelling(world: World) -> bool:
    return (await world.engine_.run(world.run_ids["cancelling"])).run.status == "cancelling"


SHARED: list[Path] = []
"""The directory that the processes of one run of the tests share, once it is known."""


@cache
def template() -> tuple[Path, dict[str, Any]]:
    """Return the directory with workspace and store at `SPLIT`, lived through once for all processes."""
    folder = (SHARED[0] if SHARED else Path(tempfile.mkdtemp(prefix="victor-world-"))) / "world"
    facts = folder.with_suffix(".json")
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not facts.exists():
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(WORKSPACE, folder / "workflows")
            with steady_ids(), ThreadPoolExecutor(1) as pool:  # a loop may run in this thread
                found = pool.submit(run_in_one_thread, lambda: live_through(folder / "workflows")).result()
            facts.write_text(json.dumps(found))
    return folder, json.loads(facts.read_text())


def make_world(*, live: bool = False, same_everywhere: bool = False) -> World:
    """Return a world that is not open yet, on a copy of the shared day.

    `live` lets its last minutes pass when it is opened, so that some runs are at work. `same_everywhere` hides what
    differs from machine to machine.
    """
    folder, facts = template()
    target = tempfile.TemporaryDirectory(prefix="victor-test-")
    shutil.copytree(folder, target.name, dirs_exist_ok=True)
    world = World(Path(target.name) / "workflows", clock=PatientClock(SPLIT if live else NOW), fire=True)
    world._folder, world._live, world.same_everywhere = target, live, same_everywhere
    world.hidden.append(folder)
    world.run_ids, world.asked, world.schedule_ids = (
        dict(facts[name]) for name in ("runs", "asked", "schedules")
    )
    return world
