"""Five tasks of an operator, with the number of keys that each needs. Each begins on the Schedules screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.command import CommandPalette

from tests.engine.support import ME
from tests.people.crowd import FILES, fill
from tests.tui.conftest import console, until
from tests.tui.realport import RealPort
from tests.tui.test_console import go
from tests.tui.test_finding import options
from tests.tui.world import World
from victor_engine.api import EventQuery, RequestQuery, RunQuery
from victor_engine.identity import acting_as

pytestmark = pytest.mark.usefixtures("quick_keys")

BEFORE = {"why": 1, "stop and run again": 6, "move": 14, "who": 27}
"""The number of keys that each task needed before the palette found things. A request among 2,000 was not findable."""
MOST_TO_FIND = 8
"""The maximum number of keys to find one thing among many."""


class Hands:
    """An operator who counts the keys."""

    def __init__(self, pilot: Any) -> None:
        self.pilot = pilot
        self.app = pilot.app
        self.keys = 0

    async def press(self, *keys: str) -> None:
        self.keys += len(keys)
        await go(self.pilot, *keys)

    async def until(self, condition: Callable[[], object]) -> None:
        await until(self.pilot, condition)

    async def choose(self, words: str, wanted: str) -> None:
        """Type words into the palette, and choose the first line, which must have the text `wanted`."""
        await self.press("ctrl+p")
        await self.until(lambda: isinstance(self.app.screen, CommandPalette))
        await self.press(*("space" if letter == " " else letter for letter in words))
        await self.until(lambda: any(wanted in each for each in options(self.app)[:1]))
        await self.press("enter")
        await self.until(lambda: not isinstance(self.app.screen, CommandPalette))


def dialog(app: Any) -> str:
    return type(app.screen).__name__


async def test_the_tasks_of_a_day(live: World) -> None:
    app: Any = console(live)
    counts: dict[str, int] = {}
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        # Why did last night's backup not run? The schedule is found first; w alone was enough on its row.
        hands = Hands(pilot)
        await hands.choose("s nig", "schedule nightly_backup")
        assert hands.keys <= MOST_TO_FIND
        found = hands.keys
        await hands.until(lambda: app.screen.current.spec.workflow == "nightly_backup")
        await hands.press("w")
        await hands.until(lambda: dialog(app) == "WhyDialog")
        counts["why"] = hands.keys - found
        await go(pilot, "escape")

        # Stop the stuck run, and run it again from the node where it was stopped.
        hands = Hands(pilot)
        stuck = live.run_ids["hangs"]
        await hands.press("2")
        await hands.until(lambda: app.screen.query("#runs") and app.screen.query_one("#runs").rows)
        while app.screen.current.id != stuck:
            await hands.press("down")
        await hands.press("K", "ctrl+s")
        await hands.until(lambda: "cancel_run" in live.names())
        await hands.until(lambda: app.screen.current.id == stuck and app.screen.current.status == "cancelled")
        await hands.press("r", "ctrl+s")
        await hands.until(lambda: "retry_run" in live.names())
        counts["stop and run again"] = hands.keys

        # Move the schedule to the new version.
        await go(pilot, "1")
        hands = Hands(pilot)
        await hands.choose("mov dat", "Move to a version · schedule data_pipeline")
        await hands.until(lambda: dialog(app) == "ScheduleDialog" and app.screen.focused is not None)
        await hands.press("^", "2", "ctrl+s")
        if "edit_schedule" not in live.names():
            await hands.press("ctrl+s")
        await hands.until(lambda: "edit_schedule" in live.names())
        counts["move"] = hands.keys
        schedules = {each.spec.workflow: each for each in await live.engine_.schedules()}
        assert schedules["data_pipeline"].resolved_version == "2.0.0"

        # Who changed the schedule of the deployment last week?
        await go(pilot, "1")
        hands = Hands(pilot)
        await hands.choose("cha dep", "Changes · schedule deploy")
        await hands.until(lambda: app.current_mode == "history" and app.screen.query("#events"))
        await hands.until(lambda: app.screen.query_one("#events").rows)
        changes = [(each.kind, each.actor.user) for each in app.screen.query_one("#events").rows]
        counts["who"] = hands.keys
        stored = await live.engine_.events(
            EventQuery(kinds=("schedule.",), schedule_id=schedules["deploy"].id)
        )
        assert ("schedule.changed", "ana") in changes
        assert changes == [(each.kind, each.actor.user) for each in stored]
    print(counts)
    assert all(counts[name] <= BEFORE[name] for name in BEFORE), counts
    assert len(await live.engine_.runs(RunQuery(statuses=("queued",)))) >= 1


async def test_the_deployment_that_waits_is_approved_among_2000() -> None:
    port = RealPort(files=FILES)
    port.actor = ME
    await port.open()
    try:
        with acting_as(ME):
            await fill(port.engine_, {"bulk": 1999, "deploy": 1})
            app: Any = console(port)
            async with app.run_test(size=(80, 24)) as pilot:
                await go(pilot)
                hands = Hands(pilot)
                await hands.choose("q dep", "request Deploy question")
                await hands.until(lambda: dialog(app) == "AnswerDialog")
                assert hands.keys <= MOST_TO_FIND
                await hands.press("left", "ctrl+s")
                await hands.until(lambda: "answer" in port.names())
                assert hands.keys <= 10
            decided = await port.engine_.requests(RequestQuery(statuses=("answered", "held")))
            assert [each.workflow for each in decided] == ["deploy"]
    finally:
        await port.end()
