"""The dialogs that start a run are forms of the declared inputs, with JSON one key away."""

from __future__ import annotations

from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input, Static, TextArea

from tests.tui.conftest import console, until
from tests.tui.realport import BARE, RealPort
from tests.tui.test_console import go
from victor_engine.api import RunQuery
from victor_tui.dialogs.start_run import TriggerDialog
from victor_tui.widgets.form import Form

FLOW = """
workflows:
  invoice:
    inputs:
      customer: {type: string, description: The id of the customer}
      copies: {type: integer, default: 2, minimum: 1}
      region: {enum: [eu, us], default: eu}
      urgent: {type: boolean, default: false}
    outputs: {pages: integer}
    schedule: {cron: "0 3 * * *", initial_state: {customer: nightly, region: us}}
    nodes: [{id: a, type: transform, transform: pages = copies * 2}]
  free:
    nodes: [{id: a, type: transform, transform: x = 1}]
"""


async def opened(pilot: Pilot[Any]) -> TriggerDialog:
    await until(pilot, lambda: isinstance(pilot.app.screen, TriggerDialog) and pilot.app.screen.focused)
    dialog = pilot.app.screen
    assert isinstance(dialog, TriggerDialog)
    return dialog


def error_of(dialog: TriggerDialog) -> str:
    return str(dialog.query_one("#error", Static).visual)


def text_of(pilot: Pilot[Any], selector: str) -> str:
    return "".join(str(widget.visual) for widget in pilot.app.screen.query(selector).results(Static))


async def started(port: RealPort) -> dict[str, Any]:
    [run, *_] = await port.engine_.runs(RunQuery(limit=1))
    return (await port.engine_.run(run.id)).state


async def test_the_dialogs_that_start_a_run_are_forms_of_the_inputs() -> None:
    port = await RealPort(files=BARE | {"workflows/w.yaml": FLOW}).open()
    app = console(port)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "1")
        await pilot.press("t")
        dialog = await opened(pilot)
        assert dialog.query_one(Form).read() == {
            "customer": "nightly",
            "copies": 2,
            "region": "us",
            "urgent": False,
        }
        await pilot.press("tab", *["backspace"], *"x", "ctrl+s")
        assert error_of(dialog) == "copies: must be a whole number"
        await pilot.press("backspace", *"5", "ctrl+s")
        await until(pilot, lambda: not pilot.app.screen.is_modal)
        assert await started(port) == {
            "customer": "nightly",
            "copies": 5,
            "region": "us",
            "urgent": False,
            "pages": 10,
        }

        await go(pilot, "2")
        await pilot.press("n", "down", "enter")
        dialog = await opened(pilot)
        await pilot.press("ctrl+s")
        assert error_of(dialog) == "customer: is required"
        assert isinstance(dialog.focused, Input)
        await pilot.press(*"ana", "ctrl+r")
        area = dialog.query_one("#json-text", TextArea)
        assert '"customer": "ana"' in area.text
        area.text = '{"customer": "ben", "cuont": 1}'
        await pilot.press("ctrl+s")
        assert "cuont" in error_of(dialog)
        area.text = '{"customer": "ben", "copies": 7}'
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not pilot.app.screen.is_modal)
        assert (await started(port))["pages"] == 14
        await until(pilot, lambda: "→ pages: 14" in text_of(pilot, "#run-head"))

        await go(pilot, "2")
        await pilot.press("n", "enter")
        dialog = await opened(pilot)
        assert not dialog.query(Form)
        assert dialog.query("#state")
        assert not any(b.binding.action == "switch_form" for b in dialog.active_bindings.values())
    await port.end()
