"""The inbox: who is asked what, filtered and grouped, and everything that is done from the list."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from textual import events
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input, OptionList, Static

from tests.tui.conftest import console, until
from tests.tui.realport import NOW, RealPort
from tests.tui.test_answer import TWO
from victor_engine.api import Answer, EventQuery, Question, RequestInfo
from victor_engine.clock import FakeClock
from victor_tui.app import VictorApp
from victor_tui.dialogs import base
from victor_tui.dialogs.bulk import BulkDialog
from victor_tui.filter_language import FilterError
from victor_tui.history.facts import event_words
from victor_tui.inbox.answer_several_dialog import TogetherDialog, why_not_together
from victor_tui.inbox.distinctions import common_text, distinctions
from victor_tui.inbox.filter_language import parse_inbox_filter
from victor_tui.inbox.forward_dialogs import ForwardDialog
from victor_tui.inbox.screen import InboxScreen
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.table import LineTable

pytestmark = pytest.mark.usefixtures("quick_keys")

VOLUMES = (("vol-021", "prod"), ("vol-020", "dev"))


def table(app: VictorApp) -> LineTable[Any]:
    found: LineTable[Any] = app.screen.query_one("#requests", LineTable)
    return found


def ids(app: VictorApp) -> list[str]:
    return [row.id for row in table(app).rows]


def drawn(app: VictorApp) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def calls(port: Inbox, name: str) -> list[tuple[Any, ...]]:
    return [args for called, args in port.calls if called == name]


async def opened(pilot: Pilot[Any], kind: type[Screen[Any]]) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, kind))
    await pilot.pause()


class Inbox(RealPort):
    """A port whose engine has put questions to people; `q` has their ids."""

    def __init__(self) -> None:
        super().__init__()
        self.q: list[str] = []

    async def put(self, kind: str = "approval", **fields: Any) -> RequestInfo:
        request = await self.ask(kind, **fields)
        self.q.append(request.id)
        return request

    async def put_approvals(self, count: int, **fields: Any) -> None:
        for number in range(count):
            await self.put(context={"host": f"web-{number}", "all": 1}, **fields)

    def at(self, *places: int) -> list[str]:
        return [self.q[place] for place in places]


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    """An inbox without questions."""
    port = Inbox()
    await port.open()
    yield port
    await port.end()


@pytest.fixture
async def port(inbox: Inbox) -> Inbox:
    """An inbox of five: for the group, for ana, for bo, claimed by ana, and for anyone and overdue."""
    overdue = await inbox.ask("input", deadline=timedelta(seconds=5))
    hours = [timedelta(hours=1 + place) for place in range(4)]
    await inbox.put(assignees=("@release",), workflow="ship", deadline=hours[0])
    await inbox.put("choice", assignees=("ana",), choices=TWO, deadline=hours[1])
    await inbox.put(assignees=("bo",), workflow="ship", deadline=hours[2])
    await inbox.claim((await inbox.put(deadline=hours[3])).id)
    inbox.q.append(overdue.id)
    inbox.calls.clear()
    inbox.console_clock = FakeClock(NOW + timedelta(seconds=10))  # the engine has not looked since
    return inbox


async def shown(pilot: Pilot[Any], count: int = 5) -> VictorApp:
    app = pilot.app
    assert isinstance(app, VictorApp)
    await pilot.press("3")
    await until(pilot, lambda: isinstance(app.screen, InboxScreen) and len(ids(app)) == count)
    await pilot.pause()
    return app


# --- finding ------------------------------------------------------------------------------------


async def test_views_follow_each_other_under_one_key(port: Inbox) -> None:
    async with console(port).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot)
        assert ids(app) == port.at(4, 0, 1, 2, 3)
        for expected in (
            port.at(4, 0, 1, 3),
            port.at(1, 3),
            port.at(0),
            port.at(4, 0, 1, 2),
            port.at(4),
            port.at(4, 0, 1, 2, 3),
        ):
            await pilot.press("f")
            await until(pilot, lambda expected=expected: ids(app) == expected)  # type: ignore[misc]
        assert not app.screen.query_one(FilterBar).display


async def test_the_filter_line_narrows_and_says_what_it_does_not_know(port: Inbox) -> None:
    async with console(port).run_test(size=(120, 40)) as pilot:
        app = await shown(pilot)
        await pilot.press("slash", *"workflow:sh unclaimed")
        await until(pilot, lambda: ids(app) == port.at(0, 2))
        await pilot.press("enter")
        await pilot.pause()
        assert app.focused is table(app)
        assert "2 of 5" in drawn(app)
        await pilot.press("slash", *" nosuchword")
        await until(pilot, lambda: ids(app) == [])
        assert "No request matches the filter" in drawn(app)
        await pilot.press("escape")
        await until(pilot, lambda: len(ids(app)) == 5)


async def test_time_alone_moves_a_request_into_a_view(port: Inbox) -> None:
    async with console(port).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot)
        await pilot.press("slash", *"overdue", "enter")
        await until(pilot, lambda: ids(app) == port.at(4))
        port.console_clock.set_wall(NOW + timedelta(seconds=3620))
        app._tick()
        await until(pilot, lambda: ids(app) == port.at(4, 0))


def test_a_filter_that_means_nothing_says_what_would() -> None:
    now = NOW
    for text, words in (("wrokflow:x", "did you mean workflow:"), ("kind:", "kind:approval"), ("a1:x", "")):
        if not words:
            assert parse_inbox_filter(text, now).words == ("a1:x",)
            continue
        with pytest.raises(FilterError, match=words):
            parse_inbox_filter(text, now)


async def test_groups_by_workflow_name_themselves_once(port: Inbox) -> None:
    async with console(port).run_test(size=(120, 40)) as pilot:
        app = await shown(pilot)
        await pilot.press("B")
        await until(pilot, lambda: ids(app) == port.at(4, 1, 3, 0, 2))
        assert drawn(app).count("3 × deploy") == 1
        assert drawn(app).count("2 × ship") == 1
        await pilot.press("B")
        await until(pilot, lambda: ids(app)[1] == port.q[0])


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_preview_shows_prompt_and_context(inbox: Inbox, size: tuple[int, int]) -> None:
    await inbox.put(context={"before": {"a": 1}, "after": {"a": 2}, "wild": "\x1b[2J\nx"})
    async with console(inbox).run_test(size=size) as pilot:
        app = await shown(pilot, 1)
        text = " ".join(str(part.content) for part in app.screen.query_one("#preview").query(Static))
        assert '+  "a": 2' in text
        assert "\x1b" not in text
        assert "Deploy build 7 to production?" in drawn(app)


async def test_only_a_request_with_a_deadline_shows_its_end(inbox: Inbox) -> None:
    """Without a deadline, nothing happens if no one answers."""
    await inbox.put(deadline=None)
    async with console(inbox).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot, 1)
        assert "If no one answers" not in drawn(app)
        assert "If no one answers" in (await inbox.request(inbox.q[0])).on_timeout_text


# --- doing --------------------------------------------------------------------------------------


async def test_marked_approvals_of_one_node_are_listed_and_answered_together(inbox: Inbox) -> None:
    await inbox.put_approvals(3)
    async with console(inbox).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot, 3)
        await pilot.press("space", "space", "enter")
        await opened(pilot, TogetherDialog)
        await pilot.press("ctrl+s")
        assert "Select an answer first" in drawn(app)
        await pilot.press("left")
        assert "host=web-0" in drawn(app)
        assert "host=web-2" not in drawn(app)
        await pilot.press("tab", *"go", "ctrl+s")
        await opened(pilot, BulkDialog)
        assert "2 of 2 done" in drawn(app)
        await pilot.press("escape")
        await until(pilot, lambda: ids(app) == inbox.at(2))
    for place in (0, 1):
        done = await inbox.request(inbox.q[place])
        assert (done.status, done.outcome, done.comment) == ("answered", "approved", "go")


async def test_several_are_sent_only_after_all_lines_were_on_the_screen(inbox: Inbox) -> None:
    for number in range(30):
        await inbox.put(prompt="Delete volume **{vol}** on **prod**?", context={"vol": f"vol-{number:03}"})
    async with console(inbox).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot, 30)
        await pilot.press("ctrl+a", "enter")
        await opened(pilot, TogetherDialog)
        assert re.search(r"vol-000 ", drawn(app))
        assert "vol-029" not in drawn(app)
        await pilot.press("left", "ctrl+s")
        assert "Scroll through all requests first" in drawn(app)
        assert not calls(inbox, "answer")
        await pilot.press("pagedown", "pagedown", "pagedown", "pagedown")
        await until(pilot, lambda: "vol-029" in drawn(app))
        await pilot.press("ctrl+s")
        await opened(pilot, BulkDialog)
        await until(pilot, lambda: "30 of 30 done" in drawn(app))


async def test_what_somebody_else_was_faster_with_stays_marked(inbox: Inbox) -> None:
    await inbox.put_approvals(2)
    async with console(inbox).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot, 2)
        await pilot.press("ctrl+a", "enter")
        await opened(pilot, TogetherDialog)
        await pilot.press("right")
        await inbox.answer_elsewhere(inbox.q[0], "approved")
        await pilot.press("ctrl+s")
        await opened(pilot, BulkDialog)
        assert "1 of 2 done" in drawn(app)
        assert "bo answered this request at" in drawn(app)
    assert [(await inbox.request(each)).outcome for each in inbox.q] == ["approved", "rejected"]


async def test_only_requests_of_one_node_are_answered_together(inbox: Inbox) -> None:
    one = await inbox.put()
    assert why_not_together([one, replace(one, id="q2")]) == ""
    assert "of one node" in why_not_together([one, replace(one, node_id="other")])
    assert "approvals and confirmations" in why_not_together([one, replace(one, kind="input")])
    assert "decided" in why_not_together([one, replace(one, status="answered")])
    changed = replace(one, context={**one.context, "host": "web-2"})
    assert distinctions([one, changed]) == ["host=web-1", "host=web-2"]
    delete = [replace(one, prompt=f"Delete volume **{vol}** on **{env}**?") for vol, env in VOLUMES]
    assert distinctions(delete) == ["vol-021 prod", "vol-020 dev"]
    assert distinctions([one, one]) == ["", ""]
    long = [replace(one, prompt=f"Delete {'the ' * 900}volume v{number} now?") for number in range(200)]
    assert distinctions(long)[:2] == ["v0", "v1"]
    assert common_text([each.prompt for each in delete]) == "Delete volume **…** on **…**?"


async def test_several_of_different_nodes_are_refused(port: Inbox) -> None:
    async with console(port).run_test(size=(80, 24), notifications=True) as pilot:
        app = await shown(pilot)
        table(app).set_marks(port.at(0, 3))
        await pilot.press("down", "enter")
        await until(pilot, lambda: any("of one node" in each.message for each in app._notifications))
        assert isinstance(app.screen, InboxScreen)
        assert calls(port, "answer") == []


async def test_reassigning_and_delegating_from_the_list(port: Inbox) -> None:
    async with console(port).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot)
        await pilot.press("down", "r")
        await opened(pilot, ForwardDialog)
        await pilot.press("ctrl+s")
        assert "Enter at least one user" in drawn(app)
        await pilot.press(*"nobody, @leads", "tab", *"on leave", "ctrl+s")
        await opened(pilot, InboxScreen)
        assert (await port.request(port.q[0])).assignees == ("nobody", "@leads")
        await until(pilot, lambda: "nobody cannot connect" in " ".join(n.message for n in app._notifications))
        await until(pilot, lambda: table(app).row and table(app).row.id == port.q[0])
        await pilot.press("down", "d")
        await opened(pilot, ForwardDialog)
        await pilot.press(*"nobody root", "ctrl+s")
        assert "Enter one name" in drawn(app)
        app.screen.query_one("#to", Input).value = "nobody"
        await pilot.press("ctrl+s")
        await opened(pilot, InboxScreen)
        assert (await port.request(port.q[1])).assignees == ("nobody",)
    assert [args[3] for args in calls(port, "reassign")] == ["on leave"]


async def test_a_refusal_is_shown_inside_and_loses_nothing(port: Inbox) -> None:
    async with console(port).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot)
        await pilot.press("down", "r")
        await opened(pilot, ForwardDialog)
        await pilot.press(*"nobody")
        await port.answer_elsewhere(port.q[0], "approved")
        await pilot.press("ctrl+s")
        error = app.screen.query_one("#error", Static)
        await pilot.pause()
        await until(pilot, lambda: "bo" in str(error.content) and "answered" in str(error.content))
        assert app.screen.query_one("#to", Input).value == "nobody"
    assert (await port.request(port.q[0])).assignees == ("@release",)


async def test_sending_a_run_back_from_the_list(inbox: Inbox) -> None:
    await inbox.put(can_go_back_to=("plan", "build"))
    async with console(inbox).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot, 1)
        await pilot.press("b")
        await opened(pilot, ForwardDialog)
        assert app.screen.query_one("#nodes", OptionList).highlighted == 1
        await pilot.press("up", "enter", "ctrl+s")
        assert "Describe the required changes" in drawn(app)
        await pilot.press(*"smaller", "ctrl+s")
        await opened(pilot, InboxScreen)
    done = await inbox.request(inbox.q[0])
    assert (done.outcome, done.pushed_back_to, done.comment) == ("pushed_back", "plan", "smaller")


async def test_asking_back_and_replying_from_the_list(inbox: Inbox) -> None:
    await inbox.put(deadline=timedelta(minutes=5))
    await inbox.put(allow_questions=True)
    async with console(inbox).run_test(size=(120, 40)) as pilot:
        app = await shown(pilot, 2)
        assert app.screen.check_action("request", ("say",)) is False, (
            "the author of the first lets nobody ask"
        )
        await pilot.press("down", "m")
        await opened(pilot, ForwardDialog)
        await pilot.press(*"why?", "ctrl+s")
        await opened(pilot, InboxScreen)
        assert calls(inbox, "ask_requester") == [(inbox.q[1], "why?")]
        await until(pilot, lambda: "‖ question" in drawn(app))
        await pilot.press("m")
        await opened(pilot, ForwardDialog)
        assert "why?" in drawn(app)
        await pilot.press(*"because", "ctrl+s")
        await opened(pilot, InboxScreen)
        assert calls(inbox, "reply") == [(inbox.q[1], "because")]
    assert [said.text for said in (await inbox.request(inbox.q[1])).messages] == ["why?", "because"]


async def hold(inbox: Inbox) -> None:
    """Answer a question in a way that counts 20 seconds later."""
    request = await inbox.put(undo_window=20)
    await inbox.answer(request.id, request.revision, Answer("approved"))
    inbox.calls.clear()


async def test_an_answer_that_does_not_count_yet_is_counted_down_and_taken_back(inbox: Inbox) -> None:
    await hold(inbox)
    async with console(inbox).run_test(size=(80, 24)) as pilot:
        app = pilot.app
        assert isinstance(app, VictorApp)
        await until(pilot, lambda: "In force in 20 s; u undoes it" in drawn(app))
        await inbox.clock.advance(5)
        app._tick()
        await pilot.pause()
        assert "In force in 15 s" in drawn(app), "on every screen"
        await shown(pilot, 1)
        await pilot.press("home", "u")
        await until(pilot, lambda: "In force in" not in drawn(app))
    assert calls(inbox, "undo_answer") == [(inbox.q[0],)]
    assert (await inbox.request(inbox.q[0])).status == "open"


async def test_an_answer_that_counts_leaves_the_list_by_itself(inbox: Inbox) -> None:
    await hold(inbox)
    async with console(inbox).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot, 1)
        await inbox.clock.advance(21)
        await until(pilot, lambda: ids(app) == [])
        await pilot.press("u")
        await pilot.pause()
        assert calls(inbox, "undo_answer") == []


async def test_the_dialog_of_several_ignores_keys_at_first_and_enter_does_not_send(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = inbox
    await port.put_approvals(2)
    monkeypatch.setattr(base, "HOLD", 0.3)
    async with console(port).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot, 2)
        for key in ("space", "space", "enter", "left", "ctrl+s", "n", "enter"):
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await opened(pilot, TogetherDialog)
        await pilot.pause()
        assert isinstance(app.screen, TogetherDialog)
        await pilot.press("x", "ctrl+s")
        assert isinstance(app.screen, TogetherDialog)
        await port.clock.advance(0.31)
        await pilot.press("left", "tab", *"looks fine", "enter")
        assert isinstance(app.screen, TogetherDialog)
        assert calls(port, "answer") == []
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(calls(port, "answer")) == 2)
    assert {answer.comment for *_, answer in calls(port, "answer")} == {"looks fine"}


async def test_an_answer_that_its_asker_gave_is_marked(bare: RealPort) -> None:
    asked = await bare.by(bare.actor, "ask", Question("Go?"))
    await bare.by(bare.actor, "answer", asked.id, asked.revision, Answer("approved"))
    async with console(bare).run_test(size=(120, 40)) as pilot:
        app = pilot.app
        assert isinstance(app, VictorApp)
        await until(pilot, lambda: app.feed.port is not None)
        await pilot.press("3", "v")
        await until(pilot, lambda: "approved by ana (self-approved)" in drawn(app))
    (event,) = await bare.engine_.events(EventQuery(kinds=("request.answered",)))
    assert event_words(event) == "approved (self-approved)"
