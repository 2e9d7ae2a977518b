"""What every dialog looks like at the sizes that operators have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from tests.tui import absurd
from tests.tui.conftest import console
from tests.tui.fake_port import ME, NOW, FakePort
from tests.tui.test_answer import SCHEMA, TWO, request_for
from victor_engine.api import (
    BackfillInfo,
    BackfillSpec,
    GraphInfo,
    GraphNode,
    MessageInfo,
    RequestInfo,
    RunDetail,
    RunInfo,
    ScheduleSpec,
    TrustInfo,
    VersionInfo,
)
from victor_tui.dialogs.confirm import ConfirmDialog
from victor_tui.dialogs.help import HelpDialog
from victor_tui.dialogs.quit import QuitDialog
from victor_tui.dialogs.results import Result, ResultsDialog
from victor_tui.dialogs.start_run import TriggerDialog
from victor_tui.dialogs.trust import TrustDialog
from victor_tui.inbox.answer_dialog import AnswerDialog
from victor_tui.inbox.answer_several_dialog import TogetherDialog
from victor_tui.inbox.forward_dialogs import PushBackDialog, ReassignDialog, SayDialog
from victor_tui.runs.override_dialog import OverrideDialog
from victor_tui.runs.redrive_dialog import RedriveDialog
from victor_tui.runs.rerun_dialog import RerunDialog
from victor_tui.schedules.backfill_dialog import BackfillDialog
from victor_tui.schedules.backfill_progress import BackfillProgressDialog
from victor_tui.schedules.edit_dialog import ScheduleDialog
from victor_tui.schedules.explain_dialog import WhyDialog
from victor_tui.schedules.pause_dialog import PauseDialog
from victor_tui.versions.alias_dialog import AliasDialog
from victor_tui.versions.migrate_dialog import MigrateDialog

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "approval": ("approval", {"required_approvals": 2, "assignees": ("ops", "leads")}),
    "confirmation": ("confirmation", {"require_comment": True}),
    "choice": ("choice", {"choices": TWO, "has_default": True, "default": "hold"}),
    "several": ("choice", {"choices": TWO, "multiple": True}),
    "input": ("input", {"input_schema": SCHEMA}),
    "text": ("input", {}),
    "review": ("review", {"document": "# Notes\n\nNothing broke.\n", "allow_edit": True}),
    "override": ("override", {"recommendation": {"replicas": 3}}),
    **{f"absurd-{name}": (kind, {**absurd.QUESTION, **more}) for name, (kind, more) in absurd.KINDS.items()},
}  # fmt: skip


def showing(make: Callable[[Screen[Any]], Screen[Any]]) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """Put a dialog before the first screen once that has settled.

    The screen is made invisible, so that its own changes do not change every dialog's picture.
    """

    async def show(pilot: Pilot[Any]) -> None:
        for _ in range(6):
            await pilot.pause()
        below = pilot.app.screen
        await pilot.app.push_screen(make(below))
        for widget in below.children:
            widget.visible = False
        for _ in range(10):
            await pilot.pause()
        asked = [each for each in pilot.app.workers if each.group in ("preview", "preview-runs", "workflows")]
        if asked:  # given none, it would wait for the feed, which never ends
            await pilot.app.workers.wait_for_complete(asked)
        for _ in range(10):
            await pilot.pause()
        assert pilot.app._exception is None, "a picture of nothing"

    return show


@SIZES
@pytest.mark.parametrize("name", QUESTIONS)
def test_question(snap_compare: Any, size: tuple[int, int], name: str) -> None:
    port = FakePort()
    kind, more = QUESTIONS[name]
    request = request_for(port, kind, **more)
    port.ask(request)
    assert snap_compare(
        console(port), run_before=showing(lambda _: AnswerDialog(request)), terminal_size=size
    )


SPEC = ScheduleSpec(workflow="daily_report", every_seconds=900.0, timezone="Europe/Berlin")
TRUST = TrustInfo(
    workspace="/srv/workflows",
    trusted=False,
    commands=tuple(f"bin/step_{n}.py --all" for n in range(30)),
    functions=("reports.daily",),
    urls=("https://example.org/hook",),
)
UNDER_WAY = BackfillInfo(
    id=3,
    workflow="daily_report",
    spec=BackfillSpec("daily_report", NOW - timedelta(days=20), NOW - timedelta(days=1), concurrency=2),
    status="paused",
    total=20,
    by="ana",
    created_at=NOW - timedelta(minutes=9),
    running=2,
    succeeded=7,
    failed=1,
    note="the feed was empty",
    problem="there is no version ^3.0 of daily_report",
)


def filled(dialog: Screen[Any], values: dict[str, str]) -> Screen[Any]:
    """The dialog with its fields filled in as soon as it has them."""

    def fill() -> None:
        for field, value in values.items():
            dialog.query_one(field, Input).value = value
        dialog._preview()  # type: ignore[attr-defined]

    dialog.call_after_refresh(fill)
    return dialog


def asked(**more: Any) -> RequestInfo:
    return request_for(FakePort(), "approval", **{**absurd.QUESTION, **more})


SAID = tuple(MessageInfo(NOW, replace(ME, user=absurd.LINE), "question", absurd.PROMPT) for _ in range(3))
NAMES = tuple(f"{number}{absurd.LINE}" for number in range(300))
ABSURD_RUN = RunDetail(
    RunInfo("r-1", absurd.LINE, absurd.LINE, "failed", "manual", absurd.LINE, NOW),
    GraphInfo(NAMES[0], tuple(GraphNode(name, "compute", absurd.LINE) for name in NAMES), ()),
    (),
    (),
    {absurd.LINE: absurd.LINE, "rows": [absurd.LINE] * 30},
    (),
    input={absurd.LINE: absurd.LINE},
)

DIALOGS: dict[str, Callable[[Screen[Any]], Screen[Any]]] = {
    "confirm": lambda _: ConfirmDialog("Cancel the run?", "Its two nodes are stopped.", danger=True),
    "pause": lambda _: PauseDialog("Pause daily_report"),
    "pause-several": lambda _: PauseDialog("Pause 2 schedules", names=("daily_report", "deploy")),
    "why": lambda _: WhyDialog(FakePort().schedule_map["data_pipeline"]),
    "why-then": lambda _: WhyDialog(FakePort().schedule_map["daily_report"], "2026-03-29 02:30"),
    "backfill": lambda _: filled(
        BackfillDialog([FakePort().schedule_map["daily_report"]]), {"#from": "last week", "#note": "again"}
    ),
    "backfill-several": lambda _: filled(
        BackfillDialog(list(FakePort().schedule_map.values())), {"#from": "-3d"}
    ),
    "backfill-progress": lambda _: BackfillProgressDialog(UNDER_WAY),
    "results": lambda _: ResultsDialog(
        "Pause", (Result("a"), Result("b", "it was removed " * 9), Result(absurd.LINE))
    ),
    "trigger": lambda _: TriggerDialog("daily_report", {"region": "eu", "days": 7}),
    "trust": lambda _: TrustDialog(TRUST),
    "help": HelpDialog,
    "schedule": lambda _: ScheduleDialog(SPEC),
    "new-schedule": lambda _: ScheduleDialog(None),
    "alias": lambda _: AliasDialog(VersionInfo("deploy", "2.1.0", "c", NOW), []),
    "absurd-confirm": lambda _: ConfirmDialog(absurd.LINE, absurd.PROMPT, danger=True),
    "absurd-results": lambda _: ResultsDialog(
        absurd.LINE, [Result(f"{number}{absurd.LINE}", absurd.LINE * (number % 2)) for number in range(300)]
    ),
    "absurd-together": lambda _: TogetherDialog([asked(id=f"q{number}") for number in range(300)]),
    "absurd-say": lambda _: SayDialog(asked(allow_questions=True, messages=SAID, held_since=NOW)),
    "absurd-back": lambda _: PushBackDialog(
        asked(can_go_back_to=tuple(f"{number}{absurd.LINE}" for number in range(300)))
    ),
    "absurd-reassign": lambda _: ReassignDialog(asked()),
    "absurd-pause": lambda _: PauseDialog(absurd.LINE, names=tuple(f"{n}{absurd.LINE}" for n in range(300))),
    "absurd-trigger": lambda _: TriggerDialog(absurd.LINE, {absurd.LINE: absurd.LINE}),
    "absurd-trust": lambda _: TrustDialog(
        TrustInfo(absurd.LINE, False, (absurd.LINE,) * 300, (absurd.LINE,), (absurd.LINE,))
    ),
    "absurd-migrate": lambda _: MigrateDialog(absurd.LINE, absurd.LINE, absurd.LINE),
    "absurd-rerun": lambda _: RerunDialog(ABSURD_RUN),
    "absurd-redrive": lambda _: RedriveDialog(ABSURD_RUN),
    "absurd-override": lambda _: OverrideDialog(ABSURD_RUN),
    "migrate": lambda _: MigrateDialog("data_pipeline", "1.0.0", "2.0.0"),
}


@SIZES
@pytest.mark.parametrize("name", DIALOGS)
def test_dialog(snap_compare: Any, size: tuple[int, int], name: str) -> None:
    assert snap_compare(console(FakePort()), run_before=showing(DIALOGS[name]), terminal_size=size)


@SIZES
def test_quit(snap_compare: Any, size: tuple[int, int]) -> None:
    port = FakePort()

    async def show(pilot: Pilot[Any]) -> None:
        info = await port.engine()
        await showing(lambda _: QuitDialog(info))(pilot)

    assert snap_compare(console(port), run_before=show, terminal_size=size)
