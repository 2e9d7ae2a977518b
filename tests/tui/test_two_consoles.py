"""Two consoles of two users on one queue: what each sees of the other, and the way from question to question.

The consoles tick by themselves, each second: a call from the test would run in the context of the other console.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from tests.tui.conftest import console, until
from tests.tui.realport import BO, RealPort
from victor_engine.api import Answer, RequestInfo
from victor_engine.people import viewers
from victor_tui.app import VictorApp
from victor_tui.inbox.answer_dialog import AnswerDialog


@asynccontextmanager
async def second(port: RealPort) -> AsyncIterator[tuple[RealPort, Pilot[Any]]]:
    """A console of bo on the engine of `port`."""
    other = RealPort(root=port.root, clock=port.clock, files={})
    other.engine_, other._opened, other.actor = port.engine_, True, BO
    async with console(other).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: other.closed or "requests" in app_of(pilot).feed.snapshots)
        yield other, pilot


def app_of(pilot: Pilot[Any]) -> VictorApp:
    assert isinstance(pilot.app, VictorApp)
    return pilot.app


def head(pilot: Pilot[Any]) -> str:
    found = pilot.app.screen.query("#head")
    return str(found.first(Static).content) if found else ""


async def opens(pilot: Pilot[Any], request: RequestInfo) -> None:
    await until(
        pilot,
        lambda: isinstance(pilot.app.screen, AnswerDialog) and pilot.app.screen.request.id == request.id,
    )


def listed(pilot: Pilot[Any]) -> str:
    table = pilot.app.screen.query_one("#requests")
    return "\n".join(table.render_line(y).text for y in range(6))


async def test_each_console_shows_what_the_other_user_looks_at(bare: RealPort) -> None:
    first, next_ = await bare.ask("approval"), await bare.ask("approval", node_id="other")
    events = (await bare.engine()).last_event
    async with console(bare).run_test(size=(80, 24)) as ana, second(bare) as (other, bo):
        await until(ana, lambda: app_of(ana).queue.count == 2)
        await bo.press("3")
        await ana.press("a")
        await opens(ana, first)
        await until(bo, lambda: "◎ ana" in listed(bo))
        await bo.press("enter")
        await opens(bo, first)
        await until(bo, lambda: "ana is looking" in head(bo))
        await until(ana, lambda: "bo is looking" in head(ana))
        # The next question: nobody looks at it, and the first is left.
        await bo.press("f7")
        await opens(bo, next_)
        assert "looking" not in head(bo)
        await until(ana, lambda: "looking" not in head(ana))
        await bo.press("escape")
        # The view of a console that vanished ends by itself.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(AnswerDialog, "tick", lambda dialog: None)
            assert (await other.request(first.id)).viewers == ("ana",)
            await bare.clock.advance(viewers.VIEW_SECONDS + 1)
            assert (await other.request(first.id)).viewers == ()
        # Looking wrote nothing.
        assert (await bare.engine()).last_event == events
        await ana.press("escape")


async def test_the_dialog_goes_on_to_the_next_and_back_with_its_draft(bare: RealPort) -> None:
    one, two, three = [await bare.ask("approval", node_id=f"n{number}") for number in range(3)]
    async with console(bare).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app_of(pilot).queue.count == 3)
        await pilot.press("a")
        await opens(pilot, one)
        await pilot.press("ctrl+t", *"wait", "f7")
        await opens(pilot, two)
        await pilot.press("f7")
        await opens(pilot, three)
        await pilot.press("f7")
        await until(
            pilot, lambda: "last request" in str(pilot.app.screen.query_one("#error", Static).content)
        )
        await bare.by(BO, "answer", two.id, two.revision, Answer(outcome="approved"))
        await pilot.press("f6")
        await opens(pilot, one)
        assert pilot.app.screen.query_one("#comment", Input).value == "wait"
        await pilot.press("left", "ctrl+s")
        await until(pilot, lambda: not isinstance(pilot.app.screen, AnswerDialog))
        assert (await bare.request(one.id)).comment == "wait"
        assert (await bare.request(three.id)).status == "open"


async def test_a_console_that_claims_on_opening_releases_what_it_leaves(bare: RealPort) -> None:
    bare.write("victor.yaml", "hitl: {unknown_assignees: warn}\nconsole: {claim_on_open: true}\n")
    one, two = await bare.ask("approval"), await bare.ask("approval", node_id="other")
    async with console(bare).run_test(size=(80, 24)) as ana, second(bare) as (other, bo):
        await until(ana, lambda: app_of(ana).queue.count == 2)
        await ana.press("a")
        await opens(ana, one)
        await until(bo, lambda: app_of(bo).queue.count == 1)
        assert (await other.request(one.id)).claimed_by == "ana"
        # `a` of bo is the other one; bo may still open the first, and takes no claim away.
        await bo.press("a")
        await opens(bo, two)
        await until(ana, lambda: app_of(ana).queue.count == 1)
        await bo.press("escape")
        await until(ana, lambda: app_of(ana).queue.count == 2)
        await ana.press("f7")
        await opens(ana, two)
        await until(bo, lambda: app_of(bo).queue.next is not None and app_of(bo).queue.next.id == one.id)
        await ana.press("left", "ctrl+s")
        await until(ana, lambda: not isinstance(ana.app.screen, AnswerDialog))
    assert (await bare.engine_.request(two.id)).status == "answered"
    assert (await bare.engine_.request(one.id)).claimed_by is None
