"""What a question shows before it is decided: the question first, and what its answers lead to."""

from __future__ import annotations

import re
from typing import Any

import pytest
from textual.widgets import Static

from tests.tui.conftest import console, until
from tests.tui.realport import BO, RealPort
from tests.tui.test_answer import SCHEMA, TWO
from tests.tui.test_inbox import drawn, opened, shown
from victor_engine.api import Answer, RequestQuery
from victor_tui.app import VictorApp
from victor_tui.inbox.answer_dialog import AnswerDialog
from victor_tui.inbox.background import LogDialog

LONG = {"changes": "\n".join(f"line {number}" for number in range(30)), "hosts": ["a", "b"]}


def background(app: Any) -> str:
    return str(app.screen.query_one("#background", Static).content)


@pytest.mark.parametrize(
    ("kind", "fields", "key"),
    [
        ("approval", {}, "ctrl+t"),
        ("input", {"input_schema": SCHEMA}, "x"),
        ("choice", {"choices": TWO}, "down"),
        ("review", {"document": "one\ntwo", "allow_edit": True}, "x"),
        ("override", {"recommendation": "scale"}, "x"),
    ],
)
async def test_the_question_is_in_sight_and_a_key_brings_its_field_into_sight(
    bare: RealPort, kind: str, fields: dict[str, Any], key: str
) -> None:
    request = await bare.ask(kind, prompt="Is it **safe** to go on?", context=LONG, **fields)
    async with console(bare).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        dialog = AnswerDialog(request)
        pilot.app.push_screen(dialog)
        await opened(pilot, AnswerDialog)
        await until(pilot, lambda: "started by ana" in background(pilot.app))
        await pilot.pause()
        app = pilot.app
        assert isinstance(app, VictorApp)
        assert "Is it safe to go on?" in drawn(app)
        await pilot.press(key)
        body = dialog.query_one("#body")
        assert app.focused is not None
        await until(
            pilot, lambda: body.region.overlaps(app.focused.region) and app.focused.region.y >= body.region.y
        )  # type: ignore[union-attr]
        if key == "ctrl+t":
            await pilot.press(*"ok")
            await until(pilot, lambda: re.search(r"╭─ Comment \(ctrl\+t\) ─+╮", drawn(app)))
            assert re.search(r"[│▌] *▌?ok +", drawn(app))


async def test_the_dialog_shows_ways_votes_handovers_and_the_start(bare: RealPort) -> None:
    request = await bare.ask(
        by=BO, required_approvals=2, reject_policy="quorum", assignees=("ana", "bo", "eve")
    )
    await bare.by(
        BO, "answer", request.id, request.revision, Answer("rejected", comment="not before the backup")
    )
    async with console(bare).run_test(size=(80, 24)) as pilot:
        await shown(pilot, 1)
        await pilot.press("enter")
        await opened(pilot, AnswerDialog)
        await until(pilot, lambda: "started by bo" in background(pilot.app))
        text = background(pilot.app)
        assert "approve -> nothing follows\nreject -> ends as rejected\n" in text
        assert "✗ bo rejected 14:05: not before the backup" in text
        await until(
            pilot,
            lambda: "1 of 2 rejections (bo)" in str(pilot.app.screen.query_one("#head", Static).content),
        )
        await bare.by(BO, "reassign", request.id, request.revision, ["ana", "eve", "bo"], "eve knows it")
        await until(
            pilot, lambda: "reassigned to ana, eve, bo by bo 14:05: eve knows it" in background(pilot.app)
        )
        await pilot.press("left", "ctrl+s")
        toasts = lambda: [each.message for each in pilot.app._notifications]  # noqa: E731
        said = "Your approval counts: 1 of 2 approvals (1 of 2 rejections): May it go out?"
        await until(pilot, lambda: said in toasts())


FLOW = {
    "nodes": [
        {"id": "build", "type": "compute", "handler": "work", "next": ["gate"]},
        {"id": "gate", "type": "hitl", "prompt": "Ship it?", "next": []},
    ]
}


async def test_one_key_shows_the_log_of_the_node_before() -> None:
    port = RealPort(files={"victor.yaml": 'handlers: {work: {command: [sh, -c, "echo compiled >&2"]}}\n'})
    await port.open()
    try:
        await port.add("ship", FLOW)
        run = await port.start_run("ship")

        async def asked() -> Any:
            await port.clock.advance(1)
            found = [await port.request(each.id) for each in await port.requests(RequestQuery(run_id=run.id))]
            return [each for each in found if each.log is not None]  # log lines are written in batches

        (request,) = await port.until(asked)
        async with console(port).run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            pilot.app.push_screen(AnswerDialog(request))
            await opened(pilot, AnswerDialog)
            await until(pilot, lambda: "ctrl+l shows the log of build" in background(pilot.app))
            await pilot.press("ctrl+l")
            await opened(pilot, LogDialog)
            await until(pilot, lambda: "compiled" in drawn(pilot.app))  # type: ignore[arg-type]
            await pilot.press("escape")
            await opened(pilot, AnswerDialog)
    finally:
        await port.end()
