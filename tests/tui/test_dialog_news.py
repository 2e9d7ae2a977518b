"""An open answer dialog counts down and shows what becomes of its request, on a real engine."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Button, Input, Static

import victor_tui
from tests.engine.support import engine_on, question, workspace
from tests.tui.conftest import until
from victor_engine.api import Actor, Answer, Port, Question, RequestInfo
from victor_engine.clock import FakeClock
from victor_engine.engine import Engine
from victor_engine.identity import acting_as
from victor_tui.app import VictorApp
from victor_tui.base_screen import ConsoleScreen
from victor_tui.feed import FeedReader
from victor_tui.inbox.answer_dialog import AnswerDialog
from victor_tui.inbox.forward_dialogs import ReassignDialog

BOB = Actor(user="bob", uid=-1, via="cli")
FLOW = """
    workflows:
      ask:
        nodes:
          - id: gate
            type: hitl
            hitl_type: approval
            prompt: Fail over?
            timeout: 25s
            on_timeout: approve
            required_approvals: 2
            allow_questions: true
            next: {approved: finish, rejected: finish}
          - {id: finish, type: transform, transform: "v = 1"}
    """


class _Kept:
    """The engine as the console's port: leaving the console leaves the engine to the test."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def close(self) -> None:
        return None


Opened = tuple[Pilot[Any], Engine, FakeClock, RequestInfo]


@asynccontextmanager
async def opened(tmp_path: Path, asked: Question | None = None) -> AsyncIterator[Opened]:
    """A console whose dialog for the only request was opened by the operator's key."""
    clock = FakeClock(datetime(2026, 3, 10, 14, 5, tzinfo=UTC))
    root = workspace(tmp_path, {"victor.yaml": "{}", "workflows/ask.yaml": FLOW})
    async with engine_on(root, clock=clock) as engine:
        port: Any = _Kept(engine)

        async def connect() -> Port:
            return port  # type: ignore[no-any-return]

        if asked is not None:
            request = await engine.ask(asked)
        else:
            request = await question(engine, (await engine.start_run("ask")).id)
        app = VictorApp(connect, clock=clock, zone=UTC)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: app.queue.count)
            await pilot.press("a")
            await until(pilot, lambda: isinstance(app.screen, AnswerDialog) and app.focused)
            yield pilot, engine, clock, request


def text(pilot: Pilot[Any], name: str) -> str:
    return str(pilot.app.screen.query_one(name, Static).content)


async def shows(pilot: Pilot[Any], name: str, words: str) -> None:
    await until(pilot, lambda: words in text(pilot, name))


async def test_the_countdown_goes_on_and_the_deadline_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path) as (pilot, engine, clock, request):
        assert "⏱ 25s" in text(pilot, "#head")
        await clock.advance(10)
        await shows(pilot, "#head", "⏱ 15s")
        await clock.advance(16)
        await shows(pilot, "#error", "The deadline has passed")
        assert (await engine.request(request.id)).outcome == "approved"
        assert "approved" in text(pilot, "#error")
        assert not re.search(r"⏱ \d", text(pilot, "#head"))
        assert all(button.disabled for button in pilot.app.screen.query("#actions Button").results(Button))


async def test_a_question_from_a_shell_says_who_asked_it(tmp_path: Path) -> None:
    asked = Question("Ship 4.2?", choices=("ship", "hold"))
    async with opened(tmp_path, asked) as (pilot, engine, _, request):
        assert "asked by me from a shell" in text(pilot, "#head")
        await pilot.press("escape", "3")
        await until(pilot, lambda: getattr(pilot.app.screen, "current", None))
        await engine.withdraw(request.id)
        await until(pilot, lambda: getattr(pilot.app.screen, "current", None) is None)


async def test_an_answer_of_another_user_is_shown(tmp_path: Path) -> None:
    async with opened(tmp_path) as (pilot, engine, _, request):
        await pilot.press("ctrl+t", *"my reasons")
        with acting_as(BOB):
            await engine.answer(request.id, request.revision, Answer("rejected"))
        await shows(pilot, "#error", "Already answered by bob")
        assert "rejected" in text(pilot, "#error")
        assert pilot.app.screen.query_one("#comment", Input).value == "my reasons"
        assert all(button.disabled for button in pilot.app.screen.query("#actions Button").results(Button))


async def test_votes_questions_replies_and_reassignment_are_shown(tmp_path: Path) -> None:
    async with opened(tmp_path) as (pilot, engine, _, request):
        revision = request.revision
        with acting_as(BOB):
            await engine.answer(request.id, revision, Answer("approved"))
        await shows(pilot, "#head", "1 of 2 approvals (bob)")
        with acting_as(BOB):
            await engine.ask_requester(request.id, "Which one?")
        await shows(pilot, "#messages", "Which one?")
        await shows(pilot, "#head", "paused until the requester replies")
        await engine.reply(request.id, "The second")
        await shows(pilot, "#messages", "The second")
        found = await engine.request(request.id)
        await engine.reassign(request.id, found.revision, ["daemon"], "")
        await shows(pilot, "#error", "You cannot answer: it is assigned to daemon")
        assert pilot.app.screen.query_one("#answered", Button).disabled


async def test_a_dialog_over_the_dialog_is_refreshed_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as (pilot, engine, _, request):
        await pilot.press("escape")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
        await pilot.press("3")
        await until(pilot, lambda: getattr(pilot.app.screen, "current", None))
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, ReassignDialog))
        with acting_as(BOB):
            await engine.answer(request.id, request.revision, Answer("rejected"))
        await shows(pilot, "#error", "Already answered by bob")
        assert pilot.app.screen.query_one("#send", Button).disabled


def test_every_screen_and_dialog_is_registered() -> None:
    found = set()
    for module in pkgutil.walk_packages(victor_tui.__path__, "victor_tui."):
        members = inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        found |= {kind for _, kind in members if issubclass(kind, Screen) and kind.__module__ == module.name}
    assert {AnswerDialog, ConsoleScreen} <= found
    methods = ("loaders", "feed_refreshed", "show_banner", "tick")
    assert not [
        kind
        for kind in found
        if not issubclass(kind, FeedReader) and any(name in vars(kind) for name in methods)
    ]
    # These show files of the workspace and of the user, and nothing of the feed.
    without = {kind.__name__ for kind in found if not issubclass(kind, FeedReader)}
    assert without <= {"Picker", "PickWorkflow", "ViewsDialog"}
