"""What the console shows, what its keys do, and what happens when things go wrong."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import Input, Static

from tests.tui.conftest import console, until
from tests.tui.realport import ANA, BARE, BO, NOW, RealPort
from tests.tui.world import World
from victor_engine.api import EventInfo, Port, RunQuery
from victor_engine.clock import FakeClock
from victor_engine.errors import ConflictError, StorageError
from victor_engine.store.outage import RETRY_SECONDS
from victor_tui.app import VictorApp
from victor_tui.dialogs.confirm import ConfirmDialog
from victor_tui.widgets.header import HeaderBar
from victor_tui.widgets.table import LineTable


def table(app: VictorApp) -> LineTable[object]:
    return next(t for t in app.screen.query(LineTable) if t.display)


def lines(app: VictorApp) -> list[str]:
    shown = table(app)
    return [shown.render_line(y).text.rstrip() for y in range(shown.size.height)]


def header(app: VictorApp) -> str:
    bar = app.screen.query_one(HeaderBar)
    return "\n".join(bar.render_line(y).text for y in (0, 1))


def banner(app: VictorApp) -> str:
    return str(app.screen.query_one("#banner", Static).content)


def preview(app: VictorApp) -> str:
    """The preview as plain text, wide enough for any line."""
    from rich.console import Console

    out = Console(width=200, file=open(os.devnull, "w"), record=True)  # noqa: SIM115
    for part in app.screen.query_one("#preview").query(Static):
        out.print(str(part.content) if isinstance(part.content, Content) else part.content)
    return out.export_text()


async def settle(pilot: Pilot[Any]) -> None:
    """Let feed, messages and workers come to rest."""
    for _ in range(2):
        await pilot.pause()


async def go(pilot: Pilot[Any], *keys: str) -> None:
    await settle(pilot)
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


# --- screens -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    key: str
    title: str
    words: tuple[str, ...]


@pytest.mark.parametrize(
    "case",
    [
        Shown("1", "Workflow", ("host_health", "in 42s", "⚑ paused", "✗ error")),
        Shown("2", "Status", ("▲ stuck", "◆ waiting", "roll_out 4m 2", "└ deploy_now")),
        Shown("3", "Time left", ("!!     42s", " ? ", " ≡ ")),
        Shown("4", "When", ("nightly_backup started", "asked nightly_backup to cancel: the")),
        Shown("5", "Workflow", ("data_pipeline", "! deprecated", "✓ current")),
    ],
)
async def test_every_screen_shows_its_data(live: World, case: Shown) -> None:
    app = console(live)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, case.key)
        shown = lines(app)
        assert case.title in shown[0]
        for word in case.words:
            assert any(word in line for line in shown), word
        assert all(table(app).render_line(y).cell_length == table(app).size.width for y in range(12))
        assert "◆8" in header(app)
        assert "! 2 urgent" in header(app)


async def test_letters_and_clicks_switch_screens(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "R")
        assert app.current_mode == "runs"
        await pilot.click(HeaderBar, offset=(2, 1))
        await settle(pilot)
        assert app.current_mode == "schedules"


async def test_an_empty_workspace_says_what_to_do(bare: RealPort) -> None:
    app = console(bare)
    async with app.run_test(size=(80, 24)) as pilot:
        for key, words in (
            ("1", "schedule a workflow"),
            ("2", "start a workflow"),
            ("3", "No open requests"),
            ("5", "press F5"),
        ):
            await go(pilot, key)
            assert any(words in line for line in lines(app)), (key, lines(app))


# --- schedules ---------------------------------------------------------------------------------


async def test_keys_of_a_schedule_depend_on_its_state(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot)
        nightly = world.schedule_ids["nightly_backup"]
        assert table(app).select(nightly)
        await settle(pilot)
        assert app.screen.check_action("schedule", ("resume",)) is True
        assert app.screen.check_action("schedule", ("pause",)) is False
        assert "storage array is being moved" in preview(app)
        await go(pilot, "p")
        assert world.calls == [("resume_schedule", (nightly, ""))]
        assert (await world.engine_.schedule(nightly)).paused is None
        assert app.screen.check_action("schedule", ("pause",)) is True


async def test_the_preview_explains_why_fires_did_not_start(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot)
        table(app).select(world.schedule_ids["data_pipeline"])
        await settle(pilot)
        text = preview(app)
        assert "is still running, and overlap is skip" in " ".join(text.split())
        assert "reads the old feed" in text
        assert "*/30 * * * *" in text


async def test_the_next_fire_counts_down(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        assert "in 42s" in lines(app)[1]
        await world.clock.advance(12)
        app._tick()
        assert "in 30s" in lines(app)[1]


# --- runs --------------------------------------------------------------------------------------


async def test_pause_and_resume_a_run(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "2")
        run_id = world.run_ids["waiting"]
        table(app).select(run_id)
        await go(pilot, "p")
        assert (await world.engine_.run(run_id)).run.status == "paused"
        assert app.screen.check_action("run_command", ("resume",)) is True
        assert app.screen.check_action("run_command", ("retry",)) is False
        await go(pilot, "r")
        assert (await world.engine_.run(run_id)).run.status == "waiting"


async def test_a_conflict_is_said_and_changes_nothing(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await go(pilot, "2")
        table(app).select(world.run_ids["waiting"])
        await settle(pilot)
        world.fail_next = ConflictError("run r00919 has [b]ended[/b] and cannot be paused")
        await pilot.press("p")
        await settle(pilot)
        said = [n.message for n in app._notifications]
        assert said == ["run r00919 has [b]ended[/b] and cannot be paused"]


async def test_the_filter_narrows_and_says_what_is_wrong(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "2", "slash", *"status:failed")
        assert {row.status for row in table(app).rows} == {"failed"}  # type: ignore[attr-defined]
        await go(pilot, *",x")
        note = str(app.screen.query_one("FilterBar .note", Static).content)
        assert "unknown status 'x'" in note
        await go(pilot, "escape")
        assert isinstance(app.focused, LineTable)
        assert len(table(app).rows) == len(await world.engine_.runs(RunQuery(limit=500)))


async def test_typing_in_the_filter_presses_no_keys(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "2", "slash", *"a1qcpnrR5?")
        assert app.current_mode == "runs"
        assert app.screen.query_one(Input).value == "a1qcpnrR5?"
        assert world.calls == []
        assert len(app.screen_stack) == 1


async def test_schedules_lead_to_their_runs(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot)
        table(app).select(world.schedule_ids["deploy"])
        await go(pilot, "l")
        assert app.current_mode == "runs"
        assert {row.schedule_id for row in table(app).rows} == {world.schedule_ids["deploy"]}  # type: ignore[attr-defined]


# --- inbox -------------------------------------------------------------------------------------


async def test_the_inbox_is_sorted_by_urgency_and_claims(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "3")
        names = {request_id: name for name, request_id in world.asked.items()}
        found = [names.get(row.id, "moving") for row in table(app).rows]  # type: ignore[attr-defined]
        moving = ["moving"] * 3
        assert found == ["confirm", "approve", "override", "choice", *moving, "review", "input"]
        await go(pilot, "down", "C")
        assert (await world.engine_.request(world.asked["approve"])).claimed_by == "ana"
        assert app.screen.check_action("request", ("release",)) is True
        text = preview(app)
        assert "Roll out web 4.2.0?" in text
        assert "web-1" in text


async def test_prompts_cannot_command_the_terminal(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "3")
        text = preview(app)
        assert "\x1b" not in text
        assert "text: red [bold]x[/bold]" in text  # colour codes vanish, markup is text


async def test_decided_requests_are_under_a_key(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "3", "v")
        ids = [row.id for row in table(app).rows]  # type: ignore[attr-defined]
        assert {world.asked[name] for name in ("done", "rejected", "expired", "split-2")} <= set(ids)
        assert not {world.asked[name] for name in ("confirm", "approve", "input")} & set(ids)
        table(app).select(world.asked["split-1"])
        await settle(pilot)
        assert "approved by ana" in " ".join(preview(app).split())
        assert app.screen.check_action("request", ("answer_this",)) is False
        await go(pilot, "v")
        assert len(table(app).rows) == 9


async def test_an_arriving_prompt_is_announced_and_steals_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = console(world)
    rings: list[bool] = []
    monkeypatch.setattr(app, "bell", lambda: rings.append(True))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await go(pilot, "2", "slash", *"dep")
        asked = await world.ask(workflow="sudden", title="Really [red]now[/red]?")
        await settle(pilot)
        await go(pilot, *"loy")
        assert app.screen.query_one(Input).value == "deploy"
        await until(pilot, lambda: rings)
        assert rings == [True]
        assert "◆9" in header(app)
        assert any("Really [red]now[/red]?" in n.message for n in app._notifications)
        await world.by(BO, "claim", asked.id)
        await settle(pilot)
        assert rings == [True]


async def test_a_countdown_turns_urgent_by_itself(world: World) -> None:
    world.console_clock = FakeClock(NOW)  # the deadlines before this one are not over in the engine
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "3")
        assert lines(app)[3].startswith(" !  17m 00s")
        await world.console_clock.advance(13 * 60)
        app._tick()
        assert lines(app)[3].startswith(" !!  4m 00s")
        assert "! 3 urgent" in header(app)


# --- history, versions -------------------------------------------------------------------------


async def test_history_filters_choose_between_events_and_runs(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "4", "slash", *"kind:schedule")
        kinds = [row.kind for row in table(app).rows]  # type: ignore[attr-defined]
        assert kinds[0] == "schedule.paused"
        assert all(kind.startswith("schedule.") for kind in kinds)
        assert "storage array" in preview(app)
        await go(pilot, "escape", "slash", *"took:>20m")
        assert table(app).id == "past"
        assert "deploy" in {row.workflow for row in table(app).rows}  # type: ignore[attr-defined]


async def test_new_events_arrive_in_the_history(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "4")
        run_id = await world.start("new", "host_health")
        await until(pilot, lambda: table(app).rows[0].run_id == run_id)  # type: ignore[attr-defined]


async def test_versions_compare_with_the_one_before_or_with_a_mark(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "5")
        table(app).select(("data_pipeline", "2.0.0"))
        await settle(pilot)
        assert "max_iterations: 50" in preview(app)
        await go(pilot, "f")
        text = preview(app)
        assert "1.1.0 → data_pipeline 2.0.0" in text
        assert '+ execution = {"max_iterations":50}' in text
        await go(pilot, "f")
        assert "+ execution" not in preview(app)
        await go(pilot, "space", "down", "space", "f")
        assert "1.0.0 → data_pipeline 2.0.0" in preview(app)


# --- the engine goes away ----------------------------------------------------------------------


async def test_a_lost_engine_is_said_and_found_again(world: World) -> None:
    tries: list[bool] = []

    async def connect() -> Port:
        tries.append(world.down)
        return await world.connect()

    app = VictorApp(connect, clock=world.clock, theme="victor-dark", interval=0)
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        if seconds:
            waits.append(seconds)
            if len(waits) == 3:
                world.down = False
        await app.clock.sleep(0)

    app.feed._sleep = sleep
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await settle(pilot)
        assert banner(app) == ""
        world.go_down()
        await settle(pilot)
        await settle(pilot)
        await until(pilot, lambda: tries[3:] and not banner(app))
        assert waits == [0.5, 1.0, 2.0]
        assert tries == [False, True, True, False]
        assert banner(app) == ""
        assert any("again" in n.message for n in app._notifications)


async def test_while_the_engine_is_away_the_screen_stays(world: World) -> None:
    app = console(world)

    async def never(seconds: float) -> None:
        if seconds:
            await app.clock.sleep(3600)

    app.feed._sleep = never
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        world.go_down()
        await settle(pilot)
        assert "the connection to the engine broke · retry in 0.5 s" in banner(app)
        assert "data as of 2026-03-10 14:05:00 UTC" in banner(app)
        assert "engine lost" in header(app)
        assert any("host_health" in line for line in lines(app))


@pytest.mark.parametrize("owner", ["", "another"])
async def test_a_console_starts_no_engine_in_place_of_the_one_of_another_user(
    world: World, owner: str
) -> None:
    started: list[bool] = []
    app = console(world)
    app._allow_start = lambda: started.append(True)

    async def never(seconds: float) -> None:
        if seconds:
            await app.clock.sleep(3600)

    app.feed._sleep = never
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        app.feed.snapshots["engine"] = msgspec.structs.replace(
            app.feed.snapshots["engine"], engine_user=owner
        )
        world.go_down()
        await settle(pilot)
        assert ("F9 starts one here" in banner(app)) == (not owner)
        await pilot.press("f9")
        assert bool(started) == (not owner)


async def test_the_first_frame_waits_for_nothing() -> None:
    async def connect() -> Port:
        await FakeClock(NOW).sleep(3600)
        raise AssertionError

    app = VictorApp(connect, theme="victor-dark")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert banner(app) == "Connecting to the engine…"
        await pilot.press("2", "3", "p", "enter")


BROKEN = "workflows:\n  broken:\n    nodes: [{id: a, type: transform, transform: 'a = 1', nxt: [b]}]\n"


async def test_errors_of_the_workspace_are_in_the_banner(bare: RealPort) -> None:
    bare.write("workflows/a.yaml", BROKEN)
    await bare.by(BO, "reload")
    app = console(bare)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot)
        assert banner(app).startswith(f"{bare.root}/workflows/a.yaml:3:")
        assert "nxt" in banner(app)
        assert "next" in banner(app)


async def test_draining_is_asked_for_said_on_every_screen_and_ended(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "D")
        assert isinstance(app.screen, ConfirmDialog)
        app.screen.query_one("#note", Input).value = "new disks"
        await go(pilot, "ctrl+s")
        assert world.calls == [("drain", ("new disks",))]
        for key in ("1", "2", "3", "4", "5"):
            await go(pilot, key)
            assert "Draining since 2026-03-10 14:05:00 UTC by ana: new disks" in banner(app)
            assert app.screen.query_one("#banner").display
        world.write("workflows/bad.yaml", BROKEN)
        await world.by(BO, "reload")
        await go(pilot, "f8")
        assert "new disks" in str(app.screen.query_one("#body Static", Static).content)
        await go(pilot, "ctrl+s")
        assert world.calls[-1] == ("undrain", ("",))
        assert "Draining" not in banner(app)
        assert "workflows/bad.yaml:3:" in banner(app)


async def test_a_disk_that_takes_nothing_is_said_on_every_screen_until_it_does(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "2")
        writer = world.engine_.store._require_writer()
        writer.execute("PRAGMA query_only = 1")
        refused = asyncio.create_task(world.by(ANA, "start_run", "host_health"))
        await until(pilot, lambda: banner(app).startswith("!"))
        for key in ("1", "2", "3", "4", "5"):
            await go(pilot, key)
            assert "cannot be written" in banner(app)
            assert "Since 2026-03-10" in banner(app)
            assert "changes that wait" not in banner(app), (
                "what a person asked for is refused, and does not wait"
            )
        writer.execute("PRAGMA query_only = 0")
        while world.engine_.store.outage is not None:
            await world.clock.advance(RETRY_SECONDS)
            await pilot.pause(0.01)
        with pytest.raises(StorageError, match="Nothing was changed"):
            await refused
        await go(pilot, "2")
        assert banner(app) == ""


PROMISES = """
workflows:
{}
"""
PROMISED = """
  w{number}:
    schedule: {{cron: "{minute} 14 * * *", timezone: UTC, expect: {{finish_within: 10s}}}}
    nodes: [{{id: ask, type: hitl, hitl_type: confirmation, prompt: "Now?"}}]
"""


async def test_a_broken_promise_is_told_once() -> None:
    flows = "".join(PROMISED.format(number=n, minute=7 if n else 6) for n in range(10))
    port = RealPort(files=BARE | {"workflows/w.yaml": PROMISES.format(flows)}, fire=True)
    app = console(port)
    told: list[tuple[str, str]] = []

    def note(message: str, *, title: str = "", **_: object) -> None:
        if title.startswith("⚑"):
            told.append((title, message))

    app.notify = note  # type: ignore[method-assign,assignment]
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "2")
        await port.clock.advance(61)
        await until(pilot, lambda: table(app).rows)
        await port.clock.advance(20)
        await until(pilot, lambda: told)
        assert [title for title, _ in told] == ["⚑ Missed expectation"]
        assert told[0][1].startswith("w0: ")
        await port.clock.advance(40)
        await until(pilot, lambda: len(table(app).rows) == 10)
        await port.clock.advance(20)
        await until(pilot, lambda: told[1:])
        assert [title for title, _ in told[1:]] == ["⚑ 9 missed expectations"]
        assert "and 6 more" in told[1][1]


async def test_old_answers_do_not_hurry(world: World) -> None:
    from victor_tui.inbox.urgency import most_urgent, urgency

    now = world.clock.now()
    done = await world.engine_.request(world.asked["split-1"])
    request = replace(done, deadline=now + timedelta(seconds=1))
    assert urgency(request, now) == "dim"
    assert most_urgent([request]) is None


async def test_the_palette_offers_every_action(world: World) -> None:
    from victor_tui.command_palette import ActionCommands

    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot)
        names = {str(hit.text) async for hit in ActionCommands(app.screen).discover()}
        assert {"Trigger", "Pause", "Skip next", "Runs", "Versions", "Answer", "Quit"} <= names
        found = [hit async for hit in ActionCommands(app.screen).search("remove")]
        assert any("Remove" in str(hit.text) for hit in found)  # type: ignore[union-attr]


def event(kind: str, data: dict[str, Any]) -> EventInfo:
    return EventInfo(seq=1, at=NOW, kind=kind, actor=ANA, data=data)


def test_events_are_told_by_what_they_led_to() -> None:
    from victor_tui.history.facts import event_tone, event_words

    error = {"type": "TimeoutError", "message": "ran longer than 120 s"}
    finished = event("run.finished", data={"status": "failed", "error": error})
    assert (event_tone(finished), event_words(finished)) == (
        "bad",
        "failed: TimeoutError: ran longer than 120 s",
    )
    fire = event("fire.decided", data={"outcome": "missed", "reason": "the engine was not running"})
    assert (event_tone(fire), event_words(fire)) == ("warn", "missed: the engine was not running")
    twice = {"nominal": "2026-10-25T02:30", "timezone": "Europe/Berlin", "fold": 1, "outcome": "skipped"}
    fire = event("fire.decided", data={**twice, "reason": "busy"})
    assert event_words(fire) == "2026-10-25 02:30 Europe/Berlin (second pass) skipped: busy"
    plain = event("version.registered", data={"version": "2.0.0"})
    assert (event_tone(plain), event_words(plain)) == ("plain", "version 2.0.0")


async def test_a_console_without_the_engine_quits_at_once(world: World) -> None:
    world.same_everywhere = True  # the engine seems to be that of another process
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        assert not app.owns_engine
        await pilot.press("q")
        await settle(pilot)
    assert app.return_code == 0
    assert world.closed
