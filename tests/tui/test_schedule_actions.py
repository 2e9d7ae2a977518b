"""Actions on schedules: on one, on marked ones, with what became of each; and why one ran or did not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace
from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import Input, Static

from tests.tui.fake_port import NOW, FakePort
from tests.tui.test_console import MakeApp, go, lines, preview, settle, table
from victor_engine.api import BreachInfo, Expect, UpstreamState
from victor_engine.errors import ConflictError
from victor_tui.app import VictorApp
from victor_tui.dialogs.pause import PauseDialog
from victor_tui.dialogs.results import ResultsDialog
from victor_tui.dialogs.why import WhyDialog
from victor_tui.widgets.filterbar import FilterBar


def text_of(app: VictorApp, selector: str) -> str:
    """What a static of the dialog on top says."""
    from rich.console import Console

    content = app.screen.query_one(selector, Static).content
    if isinstance(content, Content):
        return content.plain
    console = Console(width=200)
    with console.capture() as capture:
        console.print(content)
    return capture.get()


async def fill(pilot: Pilot[Any], field: str, value: str) -> None:
    pilot.app.screen.query_one(field, Input).value = value
    await settle(pilot)


async def test_three_are_paused_until_monday_and_each_result_is_said(
    port: FakePort, make_app: MakeApp
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        table(app).set_marks(["deploy", "daily_report", "host_health"])
        await go(pilot, "p")
        assert isinstance(app.screen, PauseDialog)
        assert "deploy" in text_of(app, ".names")
        await fill(pilot, "#note", "moving")
        await fill(pilot, "#until", "nonsense")
        assert "is not a time" in text_of(app, "#until-said")
        await go(pilot, "ctrl+s")
        assert isinstance(app.screen, PauseDialog)
        await fill(pilot, "#until", "monday")
        assert "until Monday 2026-03-16 00:00 UTC, in 5d" in text_of(app, "#until-said")
        await go(pilot, "ctrl+s")
        assert isinstance(app.screen, ResultsDialog)
        assert "3 of 3 done" in text_of(app, "#head")
        until = datetime(2026, 3, 16, tzinfo=UTC)
        assert {call[1] for call in port.calls} == {
            (name, "moving", until) for name in ("deploy", "daily_report", "host_health")
        }
        await go(pilot, "escape")
        assert table(app).marked_rows == []


async def test_what_failed_is_said_and_stays_marked(port: FakePort, make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        table(app).set_marks(["deploy", "host_health"])
        await go(pilot, "d")
        port.fail_next = ConflictError("it was changed just now by bo")
        await go(pilot, "ctrl+s")
        assert isinstance(app.screen, ResultsDialog)
        assert "1 of 2 done" in text_of(app, "#head")
        assert "it was changed just now by bo" in text_of(app, "#body Static")
        await go(pilot, "escape")
        assert [row.id for row in table(app).marked_rows] == [  # type: ignore[attr-defined]
            name for name in port.schedule_map if name in ("deploy", "host_health")
        ]


async def test_all_are_marked_and_unmarked(port: FakePort, make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "A")
        assert len(table(app).marked_rows) == len(port.schedule_map)
        assert all(line.startswith("•") for line in lines(app)[1 : 1 + len(port.schedule_map)])
        await go(pilot, "ctrl+a")
        assert table(app).marked_rows == []


async def test_skip_and_trigger_and_resume_act_on_those_that_can(port: FakePort, make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        table(app).set_marks(["deploy", "reindex", "nightly_backup"])
        await go(pilot, "s", "ctrl+s", "escape")
        assert [call[1][0] for call in port.calls if call[0] == "skip_next"] == ["deploy"]
        table(app).set_marks(["deploy", "daily_report"])
        await go(pilot, "t", "ctrl+s", "escape")
        assert [call[1] for call in port.calls if call[0] == "trigger_schedule"] == [
            ("deploy", None, ""),
            ("daily_report", None, ""),
        ]
        table(app).set_marks(["deploy", "nightly_backup"])
        await go(pilot, "r")
        assert port.calls[-1] == ("resume_schedule", ("nightly_backup", ""))


async def test_why_did_last_night_not_run(port: FakePort, make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        table(app).select("daily_report")
        await go(pilot, "w")
        assert isinstance(app.screen, WhyDialog)
        assert "as it stands now" in text_of(app, "#at-said")
        assert "It fires next at" in text_of(app, "#answer")
        await fill(pilot, "#at", "yesterday 09:00")
        await go(pilot, "enter")
        assert "Monday 2026-03-09 09:00:00 CET" in text_of(app, "#at-said")
        answer = text_of(app, "#answer")
        assert "Missed: the engine was down" in answer
        assert "Sun 08 Mar 23:00" in answer  # in the operator's zone
        await fill(pilot, "#at", "whenever")
        await go(pilot, "enter")
        assert "whenever is not a time" in text_of(app, "#at-said")
        await fill(pilot, "#at", "2026-03-29 02:30")
        await go(pilot, "enter")
        assert "does not exist on that day: clocks go forward to 03:00" in text_of(app, "#at-said")


async def test_the_preview_shows_breaches_failures_chain_and_promises(
    port: FakePort, make_app: MakeApp
) -> None:
    breach = BreachInfo(
        "finish_by", NOW - timedelta(hours=7), NOW - timedelta(hours=7), "2026-03-10T06:00", "too late"
    )
    pipeline = port.schedule_map["data_pipeline"]
    port.schedule_map["data_pipeline"] = replace(
        pipeline,
        last_breach=breach,
        breaches=3,
        failures=2,
        spec=replace(pipeline.spec, expect=Expect(finish_by="07:30"), exclude=("holidays",)),
        next_excluded="holidays (Good Friday)",
    )
    waits = UpstreamState("data_pipeline", False, "no success since the last fire")
    port.schedule_map["after_pipeline"] = replace(port.schedule_map["after_pipeline"], upstream=(waits,))
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot)
        table(app).select("data_pipeline")
        await settle(pilot)
        text = preview(app)
        for words in (
            "⚑ 2026-03-10 06:00: too late",
            "3 promises broken in 7 days",
            "2 failed runs in a row",
            "has succeeded by 07:30",
            "not in holidays",
            "by holidays (Good Friday)",
            "[data_pipeline] ──▶ publish_metrics",
        ):
            assert words in text, words
        assert any("⚑" in line and "data_pipeline" in line for line in lines(app))
        table(app).select("after_pipeline")
        await settle(pilot)
        assert "no success since the last fire" in preview(app)


async def test_a_filter_narrows_and_all_marks_only_what_it_shows(port: FakePort, make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "slash", *"da", "enter", "A")
        ids = {row.id for row in table(app).marked_rows}  # type: ignore[attr-defined]
        assert {"daily_report", "data_pipeline", "after_pipeline"} <= ids
        assert "host_health" not in ids
        await go(pilot, "slash", "escape")
        assert len(table(app).rows) == len(port.schedule_map)
        await go(pilot, "slash", *"paused", "enter")
        assert [row.id for row in table(app).rows] == ["nightly_backup"]  # type: ignore[attr-defined]
        bar = app.screen.query_one(FilterBar)
        bar.value = "took:>5m"
        await settle(pilot)
        assert "took is not known here" in str(bar._note.content)
