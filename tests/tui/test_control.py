"""Redrive, rerun, discard, limits and dead letters from the keyboard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot
from textual.widgets import Checkbox, Input, Select, Static, TextArea

from tests.tui.conftest import console
from tests.tui.pictures import Pictures
from tests.tui.realport import BO, RealPort
from tests.tui.test_snapshots import keys
from tests.tui.world import World, steady_ids
from victor_engine.api import RunDetail, RunInfo, RunQuery
from victor_engine.errors import ConflictError
from victor_tui.dialogs.bulk import BulkDialog
from victor_tui.runs.dead_letters_screen import DeadScreen
from victor_tui.runs.override_dialog import OverrideDialog, seconds
from victor_tui.runs.redrive_dialog import RedriveDialog, start_node
from victor_tui.runs.run_screen import RunScreen
from victor_tui.runs.version_field import EDITABLE, changed_lines
from victor_tui.widgets.lines import LineView
from victor_tui.widgets.table import LineTable


async def settle(pilot: Pilot[Any], times: int = 8) -> None:
    for _ in range(times):
        await pilot.pause()


async def opened(pilot: Pilot[Any], run_id: str) -> None:
    await keys("2")(pilot)
    pilot.app.navigator.open_run(run_id)  # type: ignore[attr-defined]
    await settle(pilot)


def shown(pilot: Pilot[Any], name: str) -> str:
    return str(pilot.app.screen.query_one(name, Static).content)


def calls(port: RealPort, name: str) -> list[tuple[Any, ...]]:
    return [args for called, args in port.calls if called == name]


async def until(pilot: Pilot[Any], condition: Callable[[], Any]) -> None:
    for _ in range(200):
        if condition():
            return
        await pilot.pause(0.01)
    raise AssertionError("it never came to that")


async def test_redrive_with_a_corrected_value_from_the_node_under_the_cursor(world: World) -> None:
    async with console(world).run_test() as pilot:
        await opened(pilot, world.run_ids["failed"])
        await pilot.press("up", "d")
        await settle(pilot)
        dialog = pilot.app.screen
        assert isinstance(dialog, RedriveDialog)
        assert dialog.query_one("#node", Select).value == "approval_gate"
        area = dialog.query_one("#state", TextArea)
        area.text = area.text.replace('"eu-1"', '"eu-2"')
        await until(pilot, lambda: '+  "region": "eu-2"' in shown(pilot, "#changes"))
        assert '-  "region": "eu-1"' in shown(pilot, "#changes")
        assert "hosts" not in shown(pilot, "#changes")
        dialog.query_one("#note", Input).value = "wrong region"
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert isinstance(pilot.app.screen, RunScreen)
    ((run_id, node, _, version, _, note, rewind, *_),) = calls(world, "redrive_run")
    assert (run_id, node, version) == (world.run_ids["failed"], "approval_gate", None)
    assert (note, rewind) == ("wrong region", False)
    detail = await world.until(lambda: waits_again(world, run_id))
    assert (detail.state["region"], detail.state["hosts"]) == ("eu-2", ["web-1", "web-2"])


async def waits_again(port: World, run_id: str) -> RunDetail | None:
    detail = await port.engine_.run(run_id)
    return detail if detail.run.status == "waiting" else None


async def test_an_unchanged_state_is_not_sent_and_another_version_is(world: World) -> None:
    async with console(world).run_test() as pilot:
        await opened(pilot, world.run_ids["failed"])
        await pilot.press("d")
        await settle(pilot)
        version = pilot.app.screen.query_one("#version", Select)
        await until(pilot, lambda: len(version._options) > 1)
        version.value = "2.0.0"
        await until(pilot, lambda: "A migration to this version is applied" in shown(pilot, "#changes"))
        await pilot.press("ctrl+s")
        await settle(pilot)
    ((_, node, state, sent, *_),) = calls(world, "redrive_run")
    assert (node, state, sent) == ("roll_out", None, "2.0.0")


async def test_the_state_from_before_a_node_cannot_be_edited_as_well(world: World) -> None:
    async with console(world).run_test() as pilot:
        await opened(pilot, world.run_ids["failed"])
        await pilot.press("d")
        await settle(pilot)
        dialog = pilot.app.screen
        dialog.query_one("#state", TextArea).text = "{"
        await pilot.press("tab", "tab", "space")
        await until(pilot, lambda: "before the last attempt of roll_out" in shown(pilot, "#changes"))
        assert dialog.query_one("#state", TextArea).disabled
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert isinstance(pilot.app.screen, RunScreen)
    ((_, _, state, *_, rewind, _, _),) = calls(world, "redrive_run")
    assert (state, rewind) == (None, True)


async def test_bad_json_and_a_conflict_send_nothing_and_take_nothing_away(world: World) -> None:
    async with console(world).run_test() as pilot:
        await opened(pilot, world.run_ids["failed"])
        await pilot.press("d")
        await settle(pilot)
        dialog = pilot.app.screen
        area = dialog.query_one("#state", TextArea)
        for text, error in (('{"a": }', "Line 1, column 7"), ("[1]", "Write a JSON object")):
            area.text = text
            await pilot.press("ctrl+s")
            await settle(pilot)
            assert error in shown(pilot, "#error")
        assert calls(world, "redrive_run") == []
        area.text = '{"a": 1}'
        before = (await world.engine_.run(world.run_ids["failed"])).run.revision
        await world.by(BO, "discard_run", world.run_ids["failed"], "it is known")
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert "bo" in shown(pilot, "#error")
        assert area.text == '{"a": 1}'
        await pilot.press("ctrl+t")
        await settle(pilot)
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert isinstance(pilot.app.screen, RunScreen)
    assert [args[4] for args in calls(world, "redrive_run")] == [before, before + 1]


async def test_a_large_state_is_kept_and_says_where_it_can_be_edited(world: World) -> None:
    run_id = await world.start("large", "host_health", blob="x" * (EDITABLE + 1), do={"collect": "fail"})
    detail = await world.run(run_id)
    async with console(world).run_test() as pilot:
        pilot.app.push_screen(RedriveDialog(detail))
        await settle(pilot)
        assert not pilot.app.screen.query("#state")
        await pilot.press("ctrl+s")
        await settle(pilot)
    assert calls(world, "redrive_run")[0][2] is None


async def test_where_a_redrive_begins_by_itself(world: World) -> None:
    failed = await world.run(world.run_ids["failed"])
    assert start_node(failed) == "roll_out"
    assert start_node(replace(failed, run=replace(failed.run, error=None), attempts=())) == "build"
    paused = await world.run(world.run_ids["paused"])
    assert start_node(paused) == paused.attempts[-1].node_id


def test_only_what_differs_is_compared() -> None:
    before = {"same": ["x"] * 10_000, "old": 1, "n": None}
    assert changed_lines(before, dict(before)) == []
    rows = changed_lines(before, {"same": ["x"] * 10_000, "new": 2, "n": None})
    assert [row for row in rows if row[0] in "+-"] == ['-  "old": 1', '+  "new": 2']


async def test_a_rerun_and_a_discard_ask_first(world: World) -> None:
    async with console(world).run_test() as pilot:
        await opened(pilot, world.run_ids["failed"])
        await pilot.press("e", "escape")
        await settle(pilot)
        assert calls(world, "rerun") == []
        await pilot.press("e")
        await settle(pilot)
        pilot.app.screen.query_one("#note", Input).value = "x"
        area = pilot.app.screen.query_one("#state", TextArea)
        area.text = area.text.replace("eu-1", "eu-2")
        await pilot.press("ctrl+s")
        await settle(pilot)
        ((run_id, version, state, note, _),) = calls(world, "rerun")
        assert (run_id, version, note) == (world.run_ids["failed"], None, "x")
        (new,) = await world.engine_.runs(RunQuery(workflow="deploy", limit=1))
        assert (new.trigger, new.status) == ("rerun", "running")
        given = (await world.engine_.run(new.id)).input
        assert (given, given["region"], given["hosts"]) == (state, "eu-2", ["web-1", "web-2"])
        await pilot.press("D")
        await settle(pilot)
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert [args[:2] for args in calls(world, "discard_run")] == [(world.run_ids["failed"], "")]
        assert not (await world.engine_.run(world.run_ids["failed"])).run.dead_letter
        assert "dead letter" not in shown(pilot, "#run-head")
        await pilot.press("D")
        await settle(pilot)
        assert isinstance(pilot.app.screen, RunScreen)


async def retrying(world: World) -> RunDetail:
    """Start a run of which a node failed and is tried again in a minute."""
    with steady_ids():
        run_id = await world.start("retrying", "data_pipeline", "1.0.0", do={"fetch_stock": "fail twice"})
    return await world.run(run_id)


async def test_limits_of_the_node_that_retries(world: World) -> None:
    detail = await retrying(world)
    async with console(world).run_test() as pilot:
        pilot.app.push_screen(OverrideDialog(detail))
        await settle(pilot)
        dialog = pilot.app.screen
        assert dialog.query_one("#node", Select).value == "fetch_stock"
        assert dialog.query_one("#now", Checkbox).value
        dialog.query_one("#timeout", Input).value = "5x"
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert "is not a time limit" in shown(pilot, "#error")
        dialog.query_one("#timeout", Input).value = "5m"
        dialog.query_one("#attempts", Input).value = "0"
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert "1 or more" in shown(pilot, "#error")
        dialog.query_one("#attempts", Input).value = "9"
        await pilot.press("ctrl+s")
        await settle(pilot)
    assert calls(world, "override_node") == [(detail.run.id, "fetch_stock", 300.0, 9, True, "")]
    attempts = (await world.engine_.run(detail.run.id)).attempts
    assert [a.number for a in attempts if a.node_id.endswith("fetch_stock")] == [1, 2]


@pytest.mark.parametrize(("text", "value"), [("", None), ("90", 90), ("90s", 90), ("1.5m", 90), ("2H", 7200)])
def test_time_limits_as_they_are_typed(text: str, value: float | None) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["x", "0", "-1", "nan", "inf", "s", "1e400"])
def test_what_is_no_time_limit(text: str) -> None:
    with pytest.raises(ValueError, match="time limit"):
        seconds(text)


async def test_marked_runs_are_rerun_together_from_the_list(world: World) -> None:
    async with console(world).run_test() as pilot:
        await keys("2", "space", "space", "e")(pilot)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, BulkDialog))
        await until(pilot, lambda: "2 of 2 done" in shown(pilot, "#head"))
    assert len(calls(world, "rerun")) == 2


async def test_a_failed_run_of_the_history_is_discarded_and_an_event_has_no_such_key(world: World) -> None:
    async with console(world).run_test() as pilot:
        await keys("4", "D", "d", "e")(pilot)
        assert world.calls == []
        await pilot.press("v", "v")
        table = pilot.app.screen.query_one("#past", LineTable)
        await until(pilot, lambda: len(table.rows) > 0)
        assert table.select(world.run_ids["failed"])
        await settle(pilot)
        await pilot.press("D")
        await settle(pilot)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: calls(world, "discard_run"))
    assert [args[:2] for args in calls(world, "discard_run")] == [(world.run_ids["failed"], "")]


# --- dead letters ------------------------------------------------------------------------------


async def test_marked_causes_are_redriven_with_a_result_for_each(world: World) -> None:
    async with console(world).run_test() as pilot:
        await keys("2", "x")(pilot)
        assert isinstance(pilot.app.screen, DeadScreen)
        assert "5 runs of 4 causes" in shown(pilot, "#dead-head")
        await pilot.press("space", "space", "d")
        await settle(pilot)
        # Somebody else is quicker with one of them.
        await world.by(BO, "redrive_run", world.run_ids["failed"])
        await pilot.press("b", "ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, BulkDialog))
        await until(pilot, lambda: "1 failed" in shown(pilot, "#count"))
        lines = pilot.app.screen.query_one("#results", LineView)
        await until(pilot, lambda: "2 of 3 done" in shown(pilot, "#head"))
        texts = [str(lines.line_at(index)) for index in range(4)]
        assert texts[1].strip() == world.run_ids["failed"]
        assert [text[0] for text in texts] == ["✗", " ", "✓", "✓"]
        await pilot.press("escape")
        # The other two failed again at once.
        await until(pilot, lambda: "4 runs of 3 causes" in shown(pilot, "#dead-head"))
        assert not pilot.app.screen.query_one("#dead", LineTable).marked
    wanted = {world.run_ids[name] for name in ("failed", "full-1", "full-2")}
    assert {args[0] for args in calls(world, "redrive_run")} == wanted
    assert {args[5] for args in calls(world, "redrive_run")} == {"b"}


async def test_into_a_cause_and_out_again(world: World) -> None:
    async with console(world).run_test() as pilot:
        await keys("4", "x", "down", "enter")(pilot)
        table = pilot.app.screen.query_one("#letters", LineTable)
        await until(pilot, lambda: len(table.rows) == 2)
        first = table.rows[0].id
        await pilot.press("D")
        await settle(pilot)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(table.rows) == 1)
        assert [args[:2] for args in calls(world, "discard_run")] == [(first, "")]
        await pilot.press("enter")
        await settle(pilot)
        assert isinstance(pilot.app.screen, RunScreen)
        await pilot.press("escape", "escape")
        await settle(pilot)
        assert pilot.app.screen.query_one("#dead", LineTable).display
        await pilot.press("escape")
        await settle(pilot)
        assert not isinstance(pilot.app.screen, DeadScreen)


async def test_an_error_of_one_run_is_reported_not_raised(world: World) -> None:
    async with console(world).run_test() as pilot:
        await opened(pilot, world.run_ids["failed"])
        world.fail_reads["run"] = ConflictError("not now")
        await pilot.press("d")
        await settle(pilot)
        assert isinstance(pilot.app.screen, RunScreen)


# --- pictures ----------------------------------------------------------------------------------


async def dead_letters(pictures: Pictures, pilot: Pilot[Any], world: World) -> None:
    await keys("down", "enter", "space")(pilot)
    await pictures.at_both_sizes(pilot, "letters-{}")
    await keys("escape")(pilot)


async def redrive(pictures: Pictures, pilot: Pilot[Any], world: World) -> None:
    detail = await world.run(world.run_ids["failed"])
    async with pictures.dialog(pilot, lambda _: RedriveDialog(detail)) as dialog:
        area = dialog.query_one("#state", TextArea)
        area.text = area.text.replace('"eu-1"', '"eu-2"')
        await until(pilot, lambda: "eu-2" in shown(pilot, "#changes"))
        await pictures.at_both_sizes(pilot, "edited-{}")
        area.text = '{"region": }'
        await until(pilot, lambda: "Line 1" in shown(pilot, "#error"))
        await pictures.at_both_sizes(pilot, "invalid-{}")


async def limits(pictures: Pictures, pilot: Pilot[Any], world: World) -> None:
    detail = await retrying(world)
    async with pictures.dialog(pilot, lambda _: OverrideDialog(detail)):
        await pictures.at_both_sizes(pilot, "limits-{}")


async def results(pictures: Pictures, pilot: Pilot[Any], world: World) -> None:
    ids = [run.id for run in await world.runs(RunQuery(limit=200)) if run.status in ("failed", "succeeded")]
    one_by_one = asyncio.Lock()

    async def redrive(run_id: str) -> RunInfo:
        async with one_by_one:  # the results stand in the order in which they come
            return await world.redrive_run(run_id)

    async with pictures.dialog(pilot, lambda _: BulkDialog("Redrive 40 runs", ids[:40], redrive)):
        await until(pilot, lambda: "to go" not in shown(pilot, "#count"))
        await pictures.at_both_sizes(pilot, "results-{}")


async def test_picture(pictures: Pictures, world: World) -> None:
    async with pictures.console(world) as pilot:
        await keys("2", "x")(pilot)
        for scene in (dead_letters, redrive, limits, results):
            await scene(pictures, pilot, world)
