"""Each kind of question is answered by keyboard alone, and nothing that was typed is lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input, Static, TextArea

from tests.tui.conftest import console, until
from tests.tui.realport import RealPort
from victor_engine.api import Answer, ChoiceInfo, RequestInfo
from victor_engine.errors import InvalidAnswerError
from victor_tui.dialogs import base
from victor_tui.inbox.answer_dialog import AnswerDialog
from victor_tui.inbox.forward_dialogs import PushBackDialog, SayDialog

pytestmark = pytest.mark.usefixtures("quick_keys")

SIZES = [(80, 24), (120, 40)]
SCHEMA = {
    "type": "object",
    "required": ["name", "count"],
    "properties": {
        "name": {"type": "string", "title": "Name"},
        "count": {"type": "integer", "minimum": 1},
        "really": {"type": "boolean"},
    },
}


def request_for(port: Any, kind: Any, **more: Any) -> RequestInfo:
    now = port.clock.now()
    fields: dict[str, Any] = {
        "id": "q-test", "revision": 0, "run_id": "r-test", "workflow": "deploy", "version": "1.0.0",
        "node_id": "gate", "kind": kind, "title": "May it go out?", "prompt": "Deploy **build 7** to production?",
        "status": "open", "created_at": now, "requested_by": "ana", "deadline": now + timedelta(minutes=12),
        "on_timeout_text": "If nobody answers: the run is aborted",
        "context": {"host": "web-1", "checks": [{"name": "db", "ok": True}, {"name": "api", "ok": False}]},
    }  # fmt: skip
    return RequestInfo(**{**fields, **more})


async def answered(
    port: RealPort, pilot: Pilot[Any], kind: str, fields: dict[str, Any], keys: list[str]
) -> Answer:
    """Return the answer that the engine has taken after these keys."""
    request = await port.ask(kind, **fields)
    pilot.app.push_screen(AnswerDialog(request))
    await pilot.pause()
    await pilot.press(*keys)
    await until(pilot, lambda: not isinstance(pilot.app.screen, AnswerDialog))
    assert (await port.request(request.id)).status == "answered"
    (answer,) = [args[2] for name, args in port.calls if name == "answer" and args[0] == request.id]
    return answer  # type: ignore[no-any-return]


TWO = (ChoiceInfo("ship", "Ship", "now", "success"), ChoiceInfo("hold", "Hold", "", "warning"))
CASES: list[tuple[str, dict[str, Any], list[str], Answer]] = [
    ("approval", {}, ["left", "ctrl+s"], Answer("approved")),
    ("approval", {}, ["left", "right", "ctrl+s"], Answer("rejected")),
    ("approval", {"choices": TWO}, ["down", "ctrl+s"], Answer("answered", "hold")),
    ("confirmation", {}, ["left", "ctrl+t", *"ok", "ctrl+s"], Answer("approved", comment="ok")),
    ("choice", {"choices": TWO}, ["down", "enter", *"why", "ctrl+s"], Answer("answered", "hold", "why")),
    ("choice", {"choices": TWO, "multiple": True}, ["space", "down", "space", "ctrl+s"],
     Answer("answered", ["ship", "hold"])),
    ("input", {}, [*"yes", "ctrl+s"], Answer("answered", "yes")),
    ("input", {"input_schema": SCHEMA}, [*"ana", "tab", "3", "tab", "space", "ctrl+s"],
     Answer("answered", {"name": "ana", "count": 3, "really": True})),
    ("review", {"document": "one\ntwo"}, ["left", "ctrl+s"], Answer("approved")),
    ("override", {"recommendation": "scale"}, ["ctrl+s"], Answer("answered", "scale")),
    ("override", {"recommendation": 3}, ["5", "ctrl+s"], Answer("answered", 5)),
    ("override", {"recommendation": {"by": 2}, "default": {"by": 2}, "has_default": True}, ["ctrl+s"],
     Answer("answered", {"by": 2})),
    ("input", {"default": {"by": 2}, "has_default": True}, ["ctrl+s"], Answer("answered", '{"by": 2}')),
    ("review", {"document": "one", "context": {"text": "one"}, "allow_edit": True},
     ["end", "!", "tab", "tab", "enter", "ctrl+s"], Answer("approved", "one!")),
]  # fmt: skip


async def test_every_kind_is_answered_by_keyboard(bare: RealPort) -> None:
    async with console(bare).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        for kind, more, keys, expected in CASES:
            assert await answered(bare, pilot, kind, more, keys) == expected, (kind, more, keys)


def error_of(dialog: AnswerDialog) -> str:
    return str(dialog.query_one("#error", Static).content)


async def test_letters_belong_to_the_comment_while_it_has_the_focus(bare: RealPort) -> None:
    request = await bare.ask("approval")
    async with console(bare).run_test() as pilot:
        dialog = AnswerDialog(request)
        pilot.app.push_screen(dialog)
        await pilot.pause()
        dialog.query_one("#comment").focus()
        await pilot.press("n", "y")
        assert dialog.query_one("#comment", Input).value == "ny"
        assert not [call for call in bare.calls if call[0] == "answer"]


async def test_an_answer_given_elsewhere_is_told_and_typed_text_stays(bare: RealPort) -> None:
    request = await bare.ask("approval")
    async with console(bare).run_test() as pilot:
        dialog = AnswerDialog(request)
        pilot.app.push_screen(dialog)
        await pilot.pause()
        dialog.query_one("#comment", Input).value = "my reasons"
        await bare.answer_elsewhere(request.id)
        await until(pilot, lambda: "Already answered by" in error_of(dialog))
        await pilot.press("left", "ctrl+s")
        assert pilot.app.screen is dialog
        assert dialog.query_one("#comment", Input).value == "my reasons"


async def test_leaving_keeps_a_draft(bare: RealPort) -> None:
    request = await bare.ask("input", input_schema=SCHEMA)
    async with console(bare).run_test() as pilot:
        pilot.app.push_screen(AnswerDialog(request))
        await pilot.pause()
        await pilot.press(*"half", "escape")
        again = AnswerDialog(request)
        pilot.app.push_screen(again)
        await pilot.pause()
        assert again.query_one("#field-0", Input).value == "half"


async def test_the_first_field_that_does_not_fit_is_focused(bare: RealPort) -> None:
    request = await bare.ask("input", input_schema=SCHEMA)
    async with console(bare).run_test() as pilot:
        dialog = AnswerDialog(request)
        pilot.app.push_screen(dialog)
        await pilot.pause()
        await pilot.press(*"ana", "tab", "0", "ctrl+s")
        assert dialog.focused is dialog.query_one("#field-1")
        assert "count: must be at least 1" in error_of(dialog)


async def test_an_invalid_answer_is_explained_inside(bare: RealPort) -> None:
    request = await bare.ask("input")
    async with console(bare).run_test() as pilot:
        dialog = AnswerDialog(request)
        pilot.app.push_screen(dialog)
        await pilot.pause()
        bare.fail_next = InvalidAnswerError("does not fit", errors={"": "too short"})
        await pilot.press("x", "ctrl+s")
        await pilot.pause()
        assert pilot.app.screen is dialog
        assert "too short" in error_of(dialog)


@pytest.mark.parametrize("size", SIZES)
async def test_absurd_content_keeps_the_actions_in_sight(bare: RealPort, size: tuple[int, int]) -> None:
    wild = "\x1b]0;owned\x07\x1b[2J日本語 e\u0301\u0301\u0301\u0301\u0301 \u202egnp.exe עברית [red]x[/red] "
    request = await bare.ask(
        "review", title=wild * 20, prompt=wild * 200, document="\n".join(f"+ {i} {wild}" for i in range(40_000)),
        context={wild: wild, "long": "\n".join(["x" * 400] * 500)},
    )  # fmt: skip
    async with console(bare).run_test(size=size) as pilot:
        dialog = AnswerDialog(request)
        pilot.app.push_screen(dialog)
        await pilot.pause()
        button = dialog.query_one("#approved").region
        assert button.bottom < size[1]
        assert dialog.query_one("#box").region.height <= size[1]
        drawn = "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())
        assert "\x1b" not in drawn
        assert "\u202e" not in drawn


async def test_a_run_is_sent_back_and_the_requester_asked_from_the_dialog(bare: RealPort) -> None:
    request = await bare.ask("input", allow_questions=True, can_go_back_to=("plan", "build"))
    app = console(bare)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.feed.port)
        app.run_worker(app.dialogs.answer_request(request))
        await until(pilot, lambda: isinstance(app.screen, AnswerDialog) and app.focused)
        dialog = app.screen
        await pilot.press(*"half", "ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, SayDialog) and app.focused)
        await pilot.press(*"which?", "ctrl+s")
        await until(pilot, lambda: app.screen is dialog)
        said = dialog.query_one("#messages", Static)
        await until(pilot, lambda: "which?" in str(said.content) and said.display)
        assert dialog.query_one("#answer", TextArea).text == "half"
        await pilot.press("ctrl+g")
        await until(pilot, lambda: isinstance(app.screen, PushBackDialog) and app.focused)
        await pilot.press("enter", *"less", "ctrl+s")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        done = await bare.request(request.id)
        assert (done.outcome, done.pushed_back_to) == ("pushed_back", "build")


async def test_keys_that_come_in_a_burst_choose_what_they_say(bare: RealPort) -> None:
    choices = tuple(ChoiceInfo(name, name) for name in ("ship", "hold", "drop"))
    request = await bare.ask("choice", choices=choices, multiple=True)
    async with console(bare).run_test(size=(80, 24)) as pilot:
        pilot.app.push_screen(AnswerDialog(request))
        await pilot.pause()
        for key in ("space", "down", "down", "space", "ctrl+s"):
            pilot.app.post_message(events.Key(key, " " if key == "space" else None))
        await until(pilot, lambda: bare.calls)
    ((name, (_, _, answer)),) = bare.calls
    assert (name, answer.value) == ("answer", ["ship", "drop"])


async def test_the_next_key_opens_another_request_before_the_list_is_read_again(
    bare: RealPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = console(bare)
    async with app.run_test(size=(80, 24)) as pilot:
        first = await bare.ask("approval")
        second = await bare.ask("approval", node_id="other")
        await until(pilot, lambda: app.queue.count == 2)
        monkeypatch.setattr(app.feed, "mark_stale", lambda *subjects: None)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AnswerDialog) and app.focused)
        await pilot.press("left", "ctrl+s")
        await until(pilot, lambda: not isinstance(app.screen, AnswerDialog))
        assert (await bare.request(first.id)).status == "answered"
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AnswerDialog))
        assert app.screen.request.id == second.id


TYPED = ("looks fine, not urgent", "sunday", "yes\n", "ay", "approve now\nbxcdm")
"""Texts that somebody types without looking where the cursor is."""


@pytest.mark.parametrize("kind", ["approval", "confirmation", "review"])
async def test_text_typed_outside_of_a_field_decides_nothing(bare: RealPort, kind: str) -> None:
    request = await bare.ask(kind, **({"document": "one"} if kind == "review" else {}))
    async with console(bare).run_test(size=(80, 24)) as pilot:
        for text in TYPED:
            dialog = AnswerDialog(request)
            pilot.app.push_screen(dialog)
            await pilot.pause()
            await pilot.press(*("enter" if char == "\n" else char for char in text))
            await pilot.pause()
            assert pilot.app.screen is dialog, text
            assert not bare.calls, text
            await pilot.press("ctrl+s")
            await pilot.pause()
            assert not bare.calls, text
            assert "Select an answer first" in error_of(dialog), text
            dialog.dismiss()
            await until(pilot, lambda dialog=dialog: pilot.app.screen is not dialog)


async def test_an_editable_review_opens_with_the_cursor_in_its_document(bare: RealPort) -> None:
    request = await bare.ask("review", document="Monday", allow_edit=True)
    async with console(bare).run_test(size=(80, 24)) as pilot:
        dialog = AnswerDialog(request)
        pilot.app.push_screen(dialog)
        await pilot.pause()
        await pilot.press(*"sunday")
        assert dialog.query_one("#answer", TextArea).text == "sundayMonday"
        assert not bare.calls


async def test_what_is_typed_before_the_dialog_was_readable_does_not_send(
    bare: RealPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "HOLD", 0.3)
    request = await bare.ask("approval")
    async with console(bare).run_test(size=(80, 24)) as pilot:
        dialog = AnswerDialog(request)
        pilot.app.push_screen(dialog)
        await pilot.pause()
        await pilot.press("left", "ctrl+s")
        await pilot.pause()
        assert (pilot.app.screen, dialog.selected, bare.calls) == (dialog, "approved", [])
        await bare.clock.advance(0.31)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: bare.calls)
    assert [call[0] for call in bare.calls] == ["answer"]
