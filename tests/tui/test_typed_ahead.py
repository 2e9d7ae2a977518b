"""Keys that are typed before a dialog is open reach its fields, however slowly the engine answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from tests.tui.conftest import console, until
from tests.tui.realport import RealPort
from tests.tui.test_inorder import key
from victor_tui import key_queue
from victor_tui.inbox.answer_dialog import AnswerDialog
from victor_tui.inbox.draft_files import draft_folder
from victor_tui.inbox.forward_dialogs import ForwardDialog

SCHEMA = {
    "type": "object",
    "required": ["user", "password"],
    "properties": {"user": {"type": "string"}, "password": {"type": "string", "format": "password"}},
}


def burst(app: Any, *names: str) -> None:
    for name in names:
        app.post_message(key(name))


async def slowly(port: RealPort, pilot: Pilot[Any], query: str) -> None:
    """Let the engine answer `query` only after the console has asked."""
    for _ in range(20):
        await pilot.pause(0.01)
    port.gates.pop(query).set()


def entered(pilot: Pilot[Any]) -> list[str]:
    return [field.value for field in pilot.app.screen.query("Form Input").results(Input)]


@pytest.mark.parametrize(("places", "query"), [(("3",), "requests"), (("2",), "request")])
async def test_keys_behind_the_key_that_answers_reach_the_form(
    bare: RealPort, places: tuple[str, ...], query: str
) -> None:
    await bare.ask("input", input_schema=SCHEMA)
    async with console(bare).run_test() as pilot:
        await pilot.press(*places)
        await pilot.pause()
        bare.gates[query] = asyncio.Event()
        # On the screen below, d delegates, n starts a run, and K cancels it.
        burst(pilot.app, "a", *"dnK", "tab", *"dq1")
        await slowly(bare, pilot, query)
        await until(pilot, lambda: isinstance(pilot.app.screen, AnswerDialog))
        await until(pilot, lambda: entered(pilot) == ["dnK", "dq1"])
    assert set(bare.names()) <= {"view_request", "leave_request"}


async def test_keys_behind_the_key_that_asks_reach_the_question(bare: RealPort) -> None:
    await bare.ask("approval", allow_questions=True)
    async with console(bare).run_test() as pilot:
        await pilot.press("3")
        await pilot.pause()
        bare.gates["request"] = asyncio.Event()
        burst(pilot.app, "m", *"dqC")
        await slowly(bare, pilot, "request")
        await until(pilot, lambda: isinstance(pilot.app.screen, ForwardDialog))
        await until(pilot, lambda: "dqC" in [each.text for each in pilot.app.screen.query(TextArea)])
    assert "claim" not in bare.names()


async def test_keys_behind_f7_reach_the_next_request(bare: RealPort) -> None:
    """They neither change the answer to the request before it, nor act on the screen below."""
    for name in ("one", "two"):
        await bare.ask("input", input_schema=SCHEMA, workflow=name)
    async with console(bare).run_test() as pilot:
        await pilot.press("3", "a", *"first")
        await until(
            pilot, lambda: isinstance(pilot.app.screen, AnswerDialog) and entered(pilot) == ["first", ""]
        )
        before = pilot.app.screen
        bare.gates["request_page"] = asyncio.Event()
        burst(pilot.app, "f7", *"dqC", "tab", *"pw")
        await slowly(bare, pilot, "request_page")
        await until(
            pilot, lambda: isinstance(pilot.app.screen, AnswerDialog) and pilot.app.screen is not before
        )
        await until(pilot, lambda: entered(pilot) == ["dqC", "pw"])
        (draft,) = [path.read_text() for path in draft_folder().iterdir() if "first" in path.read_text()]
        assert "dqC" not in draft
    assert "claim" not in bare.names()


async def test_keys_do_not_wait_for_ever_for_an_engine_that_hangs(
    bare: RealPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_queue, "OPEN_TIMEOUT", 0.1)
    await bare.ask("input", input_schema=SCHEMA)
    async with console(bare).run_test() as pilot:
        await pilot.pause()
        bare.gates["requests"] = asyncio.Event()
        burst(pilot.app, "a", "question_mark")
        await until(pilot, lambda: type(pilot.app.screen).__name__ == "HelpDialog")
        bare.gates.pop("requests").set()


async def test_a_key_without_effect_says_so_once_while_it_is_repeated(bare: RealPort) -> None:
    """Otherwise the messages of a held key delay the keys behind it."""
    await bare.ask("input", input_schema=SCHEMA)
    async with console(bare).run_test() as pilot:
        await pilot.pause()
        burst(pilot.app, *["ctrl+s"] * 20, "a", *"ana")
        await until(
            pilot, lambda: isinstance(pilot.app.screen, AnswerDialog) and entered(pilot) == ["ana", ""]
        )
        texts = [each.message for each in pilot.app._notifications]
        assert len([text for text in texts if text.startswith("Nothing to send here")]) == 1
