"""Drafts on disk: input that was not sent survives the console, says when it was typed, and goes when it is sent."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static, TextArea

from tests.tui.conftest import console, until
from tests.tui.realport import BO, RealPort
from tests.tui.test_inorder import key
from victor_engine.api import RequestInfo
from victor_tui.inbox.answer_dialog import AnswerDialog
from victor_tui.inbox.draft_files import draft_folder
from victor_tui.widgets.choices import One
from victor_tui.widgets.form import Form

pytestmark = pytest.mark.usefixtures("quick_keys")

SCHEMA = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "mode": {"enum": ["all", "canary"]},
        "pin": {"type": "string", "format": "password"},
        "keys": {
            "type": "array",
            "items": {"type": "object", "properties": {"token": {"type": "string", "writeOnly": True}}},
        },
    },
    "if": {"properties": {"mode": {"const": "canary"}}, "required": ["mode"]},
    "then": {"properties": {"share": {"type": "integer"}}},
}


def file_of(request: RequestInfo) -> Path:
    return draft_folder() / f"{request.id}.json"


async def opened(pilot: Pilot[Any], request: RequestInfo) -> AnswerDialog:
    dialog = AnswerDialog(request)
    pilot.app.push_screen(dialog)
    await pilot.pause()
    return dialog


def error_of(dialog: AnswerDialog) -> str:
    return str(dialog.query_one("#error", Static).content)


async def test_what_was_typed_is_on_disk_and_in_the_next_console_until_it_is_sent(
    bare: RealPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = await bare.ask("input", input_schema=SCHEMA)
    synced: list[str] = []
    monkeypatch.setattr(
        "victor_tui.inbox.draft_files.os.fsync",
        lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")),
    )
    secrets = [*"1234", "tab", "n", *"s3cret", "ctrl+s"]
    async with console(bare).run_test() as pilot:
        await opened(pilot, request)
        assert not file_of(request).exists()
        await pilot.press(*"half", "tab", "down", "down", "tab", *secrets, "tab", *"5x")
        # The dialog is still open, as it is when the process is killed.
        await until(pilot, lambda: file_of(request).exists() and "5x" in file_of(request).read_text())
        text = file_of(request).read_text()
    assert Path(synced[-1]).name.startswith(f".{request.id}.json."), (
        "it is on the disk before it has its name"
    )
    assert file_of(request).stat().st_mode & 0o777 == 0o600
    assert draft_folder().stat().st_mode & 0o777 == 0o700
    assert "1234" not in text
    assert "s3cret" not in text
    async with console(bare).run_test() as pilot:
        dialog = await opened(pilot, request)
        assert error_of(dialog) == "Draft of 2026-03-10 14:05:00 UTC."
        names = {row.field.name: row for row in dialog.query_one(Form)._rows()}
        assert isinstance(names["mode"].widget, One)
        assert {name: row.read() for name, row in names.items()} == {
            "name": "half",
            "mode": ("canary",),
            "share": "5x",
            "pin": "",
            "keys": [],
        }
        assert pilot.app.focused is names["pin"].widget, "the first empty field"
        await pilot.press(*["tab"] * 2, "end", "backspace", "ctrl+s")
        await until(pilot, lambda: not isinstance(pilot.app.screen, AnswerDialog))
    assert (await bare.request(request.id)).answer == {"name": "half", "mode": "canary", "share": 5}
    assert not file_of(request).exists()


@pytest.mark.parametrize("moves", [[], ["shift+tab", "tab"]])
async def test_keys_typed_while_a_draft_is_restored_reach_the_first_empty_field(
    bare: RealPort, moves: list[str]
) -> None:
    """A password has no draft. It is never typed into the visible field before it."""
    secret = {"type": "string", "format": "password"}
    fields = {"user": {"type": "string"}, "password": secret, "note": {"type": "string"}}
    schema = {"type": "object", "required": ["user", "password"], "properties": fields}
    request = await bare.ask("input", input_schema=schema)
    async with console(bare).run_test() as pilot:
        await opened(pilot, request)
        await pilot.press(*"ana", "tab", *"s3cret", "escape")
        pilot.app.push_screen(AnswerDialog(request))
        for name in [*moves, *"s3cret", "ctrl+s"]:  # a burst: nothing waits for the dialog
            pilot.app.post_message(key(name))
        await until(pilot, lambda: not isinstance(pilot.app.screen, AnswerDialog))
    ((_, (_, _, answer)),) = bare.calls
    assert answer.value == {"user": "ana", "password": "s3cret"}
    assert not file_of(request).exists()


async def test_a_text_is_continued_behind_its_draft(bare: RealPort) -> None:
    request = await bare.ask("input")
    async with console(bare).run_test() as pilot:
        await opened(pilot, request)
        await pilot.press(*"half", "escape")
        dialog = await opened(pilot, request)
        await pilot.press(*"way")
        assert dialog.query_one("#answer", TextArea).text == "halfway"


async def test_a_draft_says_that_the_question_has_changed_and_goes_with_it(bare: RealPort) -> None:
    request = await bare.ask("approval")
    async with console(bare).run_test() as pilot:
        dialog = await opened(pilot, request)
        await pilot.press("ctrl+t", *"why", "escape")
        assert file_of(request).exists()
        await bare.by(BO, "reassign", request.id, request.revision, ("ana", "bo"), "yours")
        changed = await bare.request(request.id)
        assert changed.revision != request.revision
        dialog = await opened(pilot, changed)
        assert dialog.query_one("#comment", Input).value == "why"
        assert f"revision {request.revision} then, {changed.revision} now" in error_of(dialog)
        await bare.answer_elsewhere(request.id)
        await until(pilot, lambda: not file_of(request).exists())
        assert dialog.query_one("#comment", Input).value == "why", "the text stays in the open dialog"


async def test_drafts_of_decided_requests_go_when_a_console_connects(bare: RealPort) -> None:
    requests = [await bare.ask("approval", workflow=name) for name in ("one", "two")]
    async with console(bare).run_test() as pilot:
        for request in requests:
            await opened(pilot, request)
            await pilot.press("ctrl+t", *"why", "escape")
    other = json.loads(file_of(requests[0]).read_text())
    elsewhere = draft_folder() / "elsewhere.json"
    elsewhere.write_text(json.dumps({**other, "request": "elsewhere", "engine": "/srv/other"}))
    await bare.answer_elsewhere(requests[0].id)
    async with console(bare).run_test() as pilot:
        await until(pilot, lambda: not file_of(requests[0]).exists())
        assert file_of(requests[1]).exists(), "it is still open"
        assert elsewhere.exists(), "it belongs to another engine"


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}'])
async def test_a_broken_draft_is_reported_and_kept(bare: RealPort, text: str) -> None:
    request = await bare.ask("input")
    draft_folder().mkdir(parents=True, mode=0o700)
    file_of(request).write_text(text)
    async with console(bare).run_test() as pilot:
        dialog = await opened(pilot, request)
        said = [note.message for note in pilot.app._notifications]
        assert any("cannot be read" in message for message in said), said
        assert dialog.query_one("#answer", TextArea).text == ""
        await pilot.press(*"new", "escape")
    assert file_of(request).with_suffix(".broken-0").read_text() == text
    assert "new" in file_of(request).read_text()


async def test_a_draft_that_is_a_link_or_of_another_user_is_left_alone(
    bare: RealPort, tmp_path: Path
) -> None:
    request = await bare.ask("input")
    draft_folder().mkdir(parents=True, mode=0o700)
    target = tmp_path / "target"
    target.write_text("{}")
    if os.geteuid() == 0:
        file_of(request).write_text("{}")
        os.chown(file_of(request), 65534, 65534)
    else:
        file_of(request).symlink_to(target)
    async with console(bare).run_test() as pilot:
        await opened(pilot, request)
        assert any("not a file of yours" in note.message for note in pilot.app._notifications)
        await pilot.press(*"mine", "escape")
        again = await opened(pilot, request)
        assert again.query_one("#answer", TextArea).text == "mine", "it is kept in memory"
    assert file_of(request).read_text() == "{}"


async def test_an_answer_without_input_has_no_draft(bare: RealPort) -> None:
    request = await bare.ask("input", input_schema=SCHEMA)
    async with console(bare).run_test() as pilot:
        await opened(pilot, request)
        await pilot.press("a", "escape")
        assert file_of(request).exists()
        await opened(pilot, request)
        await pilot.press("shift+tab", "backspace", "escape")
        assert not file_of(request).exists()
