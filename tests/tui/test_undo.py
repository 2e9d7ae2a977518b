"""The undo window of answers in a console: what sets it, and what each console shows of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Button

from tests.tui.conftest import console, until
from tests.tui.realport import BARE, BO, RealPort
from tests.tui.test_answer import SCHEMA, TWO, error_of
from tests.tui.test_inbox import drawn, opened, shown
from victor_engine.api import Answer, RequestInfo
from victor_tui.app import VictorApp
from victor_tui.inbox.answer_dialog import AnswerDialog
from victor_tui.inbox.screen import InboxScreen


@pytest.fixture
async def port() -> AsyncIterator[RealPort]:
    """An engine whose workspace leaves the undo window at its default of 5 seconds."""
    made = RealPort(files={"victor.yaml": BARE["victor.yaml"].replace("0s", "5s")})
    await made.open()
    yield made
    await made.end()


def window(port: RealPort) -> float:
    return next(args[2].undo_window for name, args in port.calls if name == "answer")


async def answered(pilot: Pilot[Any], request: RequestInfo, *keys: str) -> None:
    pilot.app.push_screen(AnswerDialog(request))
    await opened(pilot, AnswerDialog)
    await pilot.press(*keys)
    await until(pilot, lambda: not isinstance(pilot.app.screen, AnswerDialog))


@pytest.mark.parametrize(
    ("kind", "fields", "keys", "seconds"),
    [
        ("approval", {}, ["left", "ctrl+s"], 5.0),
        ("confirmation", {}, ["right", "ctrl+s"], 5.0),
        ("choice", {"choices": TWO}, ["down", "ctrl+s"], 5.0),
        ("approval", {"undo_window": 60}, ["left", "ctrl+s"], 60.0),
        ("approval", {"undo_window": 0}, ["left", "ctrl+s"], None),
        ("input", {"input_schema": SCHEMA}, [*"ana", "tab", "3", "ctrl+s"], None),
        ("review", {"document": "one"}, ["left", "ctrl+s"], None),
        ("override", {"recommendation": "scale"}, ["ctrl+s"], None),
    ],
)
async def test_the_kind_and_the_node_decide_whether_an_answer_is_held(
    port: RealPort, kind: str, fields: dict[str, Any], keys: list[str], seconds: float | None
) -> None:
    request = await port.ask(kind, **fields)
    async with console(port).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await answered(pilot, request, *keys)
    held = await port.request(request.id)
    assert held.status == "answered"
    left = None if held.settles_at is None else (held.settles_at - port.clock.now()).total_seconds()
    assert left == seconds


async def test_the_configuration_turns_the_undo_window_off(port: RealPort) -> None:
    request = await port.ask()
    async with console(port).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        port.write("victor.yaml", BARE["victor.yaml"])
        await answered(pilot, request, "left", "ctrl+s")
    assert window(port) == 0
    assert (await port.request(request.id)).settles_at is None


async def test_the_own_console_undoes_an_answer_and_the_others_see_it(port: RealPort) -> None:
    request = await port.ask()
    async with console(port).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot, 1)
        await pilot.press("enter")
        await opened(pilot, AnswerDialog)
        await pilot.press("left", "ctrl+s")
        await opened(pilot, InboxScreen)
        await until(pilot, lambda: "undoes it" in drawn(app))
        await until(pilot, lambda: "approved by ana, in force in 5 s" in drawn(app))
        await port.clock.advance(1)
        app._tick()
        await until(pilot, lambda: "approved by ana, in force in 4 s" in drawn(app))
        await pilot.press("home", "u")
        await until(pilot, lambda: "in force" not in drawn(app))
        assert (await port.request(request.id)).status == "open"


async def test_an_open_dialog_of_another_user_closes_and_opens_again(port: RealPort) -> None:
    request = await port.ask()
    async with console(port).run_test(size=(80, 24)) as pilot:
        app = pilot.app
        assert isinstance(app, VictorApp)
        await shown(pilot, 1)
        await pilot.press("enter")
        await opened(pilot, AnswerDialog)
        dialog = app.screen
        assert isinstance(dialog, AnswerDialog)
        given = Answer("approved", undo_window=5.0)
        await port.by(BO, "answer", request.id, request.revision, given)
        await until(pilot, lambda: "Approved by bo, in force in 5 s." in error_of(dialog))
        assert dialog.query_one("#answered", Button).disabled
        await port.clock.advance(2)
        app._tick()
        await until(pilot, lambda: "in force in 3 s" in error_of(dialog))
        await port.by(BO, "undo_answer", request.id)
        await until(pilot, lambda: "open again" in error_of(dialog))
        assert not dialog.query_one("#answered", Button).disabled
        open_again = await port.request(request.id)
        await port.by(BO, "answer", request.id, open_again.revision, given)
        await until(pilot, lambda: "Approved by bo, in force in 5 s." in error_of(dialog))
        await port.clock.advance(5)
        app._tick()
        await until(pilot, lambda: "Already answered by bo" in error_of(dialog))
        await pilot.press("left", "ctrl+s")
        assert port.names().count("answer") == 0
