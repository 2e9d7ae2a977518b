"""The inbox: who is asked what, filtered and grouped, and everything that is done from the list."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from textual import events
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input, OptionList, Static

from tests.tui.conftest import console, until
from tests.tui.fake_port import ME, FakePort
from tests.tui.test_answer import TWO, request_for
from victor_engine.api import Answer
from victor_engine.errors import ConflictError
from victor_tui.app import VictorApp
from victor_tui.dialogs import base
from victor_tui.dialogs.confirm import ConfirmDialog
from victor_tui.dialogs.passing import PassingDialog
from victor_tui.dialogs.results import ResultsDialog
from victor_tui.dialogs.together import TogetherDialog, differences, why_not_together
from victor_tui.filters import FilterError
from victor_tui.inboxfilter import parse_inbox_filter
from victor_tui.screens.inbox import InboxScreen
from victor_tui.widgets.filterbar import FilterBar
from victor_tui.widgets.table import LineTable


def app_on(port: FakePort) -> VictorApp:
    app = console(port)
    app.user = ME.user
    return app


def table(app: VictorApp) -> LineTable[Any]:
    found: LineTable[Any] = app.screen.query_one("#requests", LineTable)
    return found


def ids(app: VictorApp) -> list[str]:
    return [row.id for row in table(app).rows]


def drawn(app: VictorApp) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def calls(port: FakePort, name: str) -> list[tuple[Any, ...]]:
    return [args for called, args in port.calls if called == name]


async def opened(pilot: Pilot[Any], kind: type[Screen[Any]]) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, kind))
    await pilot.pause()


@pytest.fixture
def port() -> FakePort:
    """An inbox of five: for the group, for ana, for bob, claimed by ana, for anyone and overdue."""
    port = FakePort(empty=True)
    now = port.clock.now()
    for place, more in enumerate(
        (
            {"assignees": ("group:release",), "workflow": "ship"},
            {"assignees": ("ana",), "kind": "choice", "choices": TWO},
            {"assignees": ("bob",), "workflow": "ship"},
            {"claimed_by": "ana"},
            {"deadline": now - timedelta(seconds=5), "kind": "input"},
        )
    ):
        asked = {"kind": "approval", "deadline": now + timedelta(hours=1 + place), **more}
        kind = asked.pop("kind")
        port.request_map[f"q{place}"] = request_for(port, kind, id=f"q{place}", run_id=f"r{place}", **asked)
    return port


async def shown(pilot: Pilot[Any], count: int = 5) -> VictorApp:
    app = pilot.app
    assert isinstance(app, VictorApp)
    await pilot.press("3")
    await until(pilot, lambda: isinstance(app.screen, InboxScreen) and len(ids(app)) == count)
    await pilot.pause()
    return app


# --- finding ------------------------------------------------------------------------------------


async def test_views_follow_each_other_under_one_key(port: FakePort) -> None:
    async with app_on(port).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot)
        assert ids(app) == ["q4", "q0", "q1", "q2", "q3"]
        for expected in (
            ["q1", "q3"],
            ["q0"],
            ["q4", "q0", "q1", "q2"],
            ["q4"],
            ["q4", "q0", "q1", "q2", "q3"],
        ):
            await pilot.press("f")
            await until(pilot, lambda expected=expected: ids(app) == expected)  # type: ignore[misc]
        assert not app.screen.query_one(FilterBar).display


async def test_the_filter_line_narrows_and_says_what_it_does_not_know(port: FakePort) -> None:
    async with app_on(port).run_test(size=(120, 40)) as pilot:
        app = await shown(pilot)
        await pilot.press("slash", *"workflow:sh unclaimed")
        await until(pilot, lambda: ids(app) == ["q0", "q2"])
        await pilot.press("enter")
        await pilot.pause()
        assert app.focused is table(app)
        assert "2 of 5" in drawn(app)
        await pilot.press("slash", *" nosuchword")
        await until(pilot, lambda: ids(app) == [])
        assert "No request fits the filter" in drawn(app)
        await pilot.press("escape")
        await until(pilot, lambda: len(ids(app)) == 5)


async def test_time_alone_moves_a_request_into_a_view(port: FakePort) -> None:
    async with app_on(port).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot)
        await pilot.press("slash", *"overdue", "enter")
        await until(pilot, lambda: ids(app) == ["q4"])
        await port.clock.advance(3600)
        app._tick()
        assert ids(app) == ["q4", "q0"]


def test_a_filter_that_means_nothing_says_what_would(port: FakePort) -> None:
    now = port.clock.now()
    for text, words in (("wrokflow:x", "did you mean workflow:"), ("kind:", "kind:approval"), ("a1:x", "")):
        if not words:
            assert parse_inbox_filter(text, now).words == ("a1:x",)
            continue
        with pytest.raises(FilterError, match=words):
            parse_inbox_filter(text, now)


async def test_groups_by_workflow_name_themselves_once(port: FakePort) -> None:
    async with app_on(port).run_test(size=(120, 40)) as pilot:
        app = await shown(pilot)
        await pilot.press("w")
        await until(pilot, lambda: ids(app) == ["q4", "q1", "q3", "q0", "q2"])
        assert drawn(app).count("deploy (3)") == 1
        assert drawn(app).count("ship (2)") == 1
        await pilot.press("w")
        await until(pilot, lambda: ids(app)[1] == "q0")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_preview_shows_prompt_and_context(port: FakePort, size: tuple[int, int]) -> None:
    port.request_map = {
        "q": request_for(
            port, "approval", id="q", context={"before": {"a": 1}, "after": {"a": 2}, "wild": "\x1b[2J\nx"}
        )
    }
    async with app_on(port).run_test(size=size) as pilot:
        app = await shown(pilot, 1)
        text = " ".join(str(part.content) for part in app.screen.query_one("#preview").query(Static))
        assert '+  "a": 2' in text
        assert "\x1b" not in text
        assert "Deploy build 7 to production?" in drawn(app)


# --- doing --------------------------------------------------------------------------------------


async def test_marked_approvals_of_one_node_are_listed_and_answered_together(port: FakePort) -> None:
    port.request_map = {
        f"q{n}": request_for(
            port, "approval", id=f"q{n}", run_id=f"r{n}", context={"host": f"web-{n}", "all": 1}
        )
        for n in range(3)
    }
    async with app_on(port).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot, 3)
        await pilot.press("space", "space", "y")
        await opened(pilot, TogetherDialog)
        assert "host=web-0" in drawn(app)
        assert "host=web-2" not in drawn(app)
        await pilot.press("tab", *"go", "ctrl+s")
        await opened(pilot, ResultsDialog)
        assert "2 of 2 done" in drawn(app)
        assert calls(port, "answer") == [(f"q{n}", 0, Answer("approved", comment="go")) for n in (0, 1)]
        await pilot.press("escape")
        await until(pilot, lambda: ids(app) == ["q2"])


async def test_what_somebody_else_was_faster_with_stays_marked(port: FakePort) -> None:
    port.request_map = {f"q{n}": request_for(port, "approval", id=f"q{n}") for n in range(2)}
    async with app_on(port).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot, 2)
        await pilot.press("ctrl+a", "x")
        await opened(pilot, TogetherDialog)
        port.fail_next = ConflictError("somebody was faster")
        await pilot.press("ctrl+s")
        await opened(pilot, ResultsDialog)
        assert "1 of 2 done" in drawn(app)
        assert "somebody was faster" in drawn(app)


def test_only_requests_of_one_node_are_answered_together(port: FakePort) -> None:
    one = request_for(port, "approval")
    assert why_not_together([one, replace(one, id="q2")]) == ""
    assert "of one node" in why_not_together([one, replace(one, node_id="other")])
    assert "approvals and confirmations" in why_not_together([one, replace(one, kind="input")])
    assert "decided" in why_not_together([one, replace(one, status="answered")])
    changed = replace(one, context={**one.context, "host": "web-2"})
    assert differences([one, changed]) == ["host"]


async def test_several_of_different_nodes_are_refused(port: FakePort) -> None:
    async with app_on(port).run_test(size=(80, 24), notifications=True) as pilot:
        app = await shown(pilot)
        table(app).set_marks(["q0", "q3"])
        await pilot.press("down", "y")
        await until(pilot, lambda: any("of one node" in each.message for each in app._notifications))
        assert isinstance(app.screen, InboxScreen)
        assert calls(port, "answer") == []


async def test_reassigning_and_delegating_from_the_list(port: FakePort) -> None:
    async with app_on(port).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot)
        await pilot.press("down", "r")
        await opened(pilot, PassingDialog)
        await pilot.press("ctrl+s")
        assert "Say who" in drawn(app)
        await pilot.press(*"bob, @lead", "tab", *"on leave", "ctrl+s")
        await opened(pilot, InboxScreen)
        assert calls(port, "reassign") == [("q0", 0, ["bob", "@lead"], "on leave")]
        await pilot.press("d")
        await opened(pilot, PassingDialog)
        await pilot.press(*"bob eve", "ctrl+s")
        assert "One name" in drawn(app)
        app.screen.query_one("#to", Input).value = "bob"
        await pilot.press("ctrl+s")
        await opened(pilot, InboxScreen)
        assert calls(port, "delegate") == [("q0", 1, "bob", "")]


async def test_a_refusal_is_shown_inside_and_loses_nothing(port: FakePort) -> None:
    async with app_on(port).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot)
        await pilot.press("down", "r")
        await opened(pilot, PassingDialog)
        await pilot.press(*"bob")
        port.fail_next = ConflictError("somebody has changed it")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "somebody has changed it" in drawn(app))
        assert app.screen.query_one("#to", Input).value == "bob"


async def test_sending_a_run_back_from_the_list(port: FakePort) -> None:
    port.request_map["q0"] = replace(port.request_map["q0"], can_go_back_to=("plan", "build"))
    async with app_on(port).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot)
        await pilot.press("down", "b")
        await opened(pilot, PassingDialog)
        assert app.screen.query_one("#nodes", OptionList).highlighted == 1
        await pilot.press("up", "enter", "ctrl+s")
        assert "Say what is to be different" in drawn(app)
        await pilot.press(*"smaller", "ctrl+s")
        await opened(pilot, InboxScreen)
        assert calls(port, "push_back") == [("q0", 0, "plan", "smaller")]


async def test_asking_back_and_replying_from_the_list(port: FakePort) -> None:
    port.request_map["q0"] = replace(port.request_map["q0"], allow_questions=True)
    async with app_on(port).run_test(size=(120, 40)) as pilot:
        app = await shown(pilot)
        assert app.screen.check_action("request", ("say",)) is False, "the author of q4 lets nobody ask"
        await pilot.press("down", "m")
        await opened(pilot, PassingDialog)
        await pilot.press(*"why?", "ctrl+s")
        await opened(pilot, InboxScreen)
        assert calls(port, "ask_requester") == [("q0", "why?")]
        await until(pilot, lambda: "‖ asked back" in drawn(app))
        await pilot.press("m")
        await opened(pilot, PassingDialog)
        assert "why?" in drawn(app)
        await pilot.press(*"because", "ctrl+s")
        await opened(pilot, InboxScreen)
        assert calls(port, "reply") == [("q0", "because")]


async def test_an_answer_that_does_not_count_yet_is_counted_down_and_taken_back(port: FakePort) -> None:
    now = port.clock.now()
    port.request_map["q0"] = replace(
        port.request_map["q0"], status="answered", outcome="approved", answered_by=ME, answered_at=now,
        settles_at=now + timedelta(seconds=20),
    )  # fmt: skip
    async with app_on(port).run_test(size=(80, 24)) as pilot:
        app = pilot.app
        assert isinstance(app, VictorApp)
        await until(pilot, lambda: "It counts in 20s; U takes it back" in drawn(app))
        await port.clock.advance(5)
        app._tick()
        await pilot.pause()
        assert "It counts in 15s" in drawn(app), "on every screen"
        await shown(pilot)
        assert ids(app)[0] == "q0"
        await pilot.press("home", "u")
        await until(pilot, lambda: calls(port, "undo_answer") == [("q0",)])
        await until(pilot, lambda: "It counts in" not in drawn(app))


async def test_an_answer_that_counts_leaves_the_list_by_itself(port: FakePort) -> None:
    now = port.clock.now()
    port.request_map["q0"] = replace(
        port.request_map["q0"], status="answered", outcome="approved", answered_by=ME, answered_at=now,
        settles_at=now + timedelta(seconds=20),
    )  # fmt: skip
    async with app_on(port).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot)
        await port.clock.advance(21)
        app._tick()
        assert "q0" not in ids(app)
        await pilot.press("U")
        await pilot.pause()
        assert calls(port, "undo_answer") == []


@pytest.mark.parametrize("marks", [0, 2])
async def test_the_confirmation_ignores_keys_at_first_and_enter_does_not_send(
    port: FakePort, monkeypatch: pytest.MonkeyPatch, marks: int
) -> None:
    monkeypatch.setattr(base, "HOLD", 0.3)
    port.request_map = {f"q{n}": request_for(port, "approval", id=f"q{n}", run_id=f"r{n}") for n in range(2)}
    kind = TogetherDialog if marks else ConfirmDialog
    async with app_on(port).run_test(size=(80, 24)) as pilot:
        app = await shown(pilot, 2)
        for key in (*["space"] * marks, "y", "ctrl+s", "n", "enter"):
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await opened(pilot, kind)
        await pilot.pause()
        assert isinstance(app.screen, kind)
        await pilot.press("x", "ctrl+s")
        assert isinstance(app.screen, kind)
        await port.clock.advance(0.31)
        await pilot.press(*([] if not marks else ["tab"]), *"looks fine", "enter")
        assert isinstance(app.screen, kind)
        assert calls(port, "answer") == []
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(calls(port, "answer")) == max(1, marks))
    assert {answer.comment for *_, answer in calls(port, "answer")} == {"looks fine"}
