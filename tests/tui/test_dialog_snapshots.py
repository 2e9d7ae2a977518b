"""Pictures of each dialog at the sizes that operators have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from tests.tui import absurd
from tests.tui.one_thread import idle
from tests.tui.pictures import Pictures, settle
from tests.tui.realport import NOW, RealPort
from tests.tui.test_answer import SCHEMA, TWO
from tests.tui.world import World, steady_ids
from victor_engine.api import (
    BackfillInfo,
    BackfillSpec,
    EngineInfo,
    RequestInfo,
    RequestQuery,
    RunDetail,
    RunQuery,
    ScheduleInfo,
    TrustInfo,
    VersionInfo,
)
from victor_engine.errors import ConflictError
from victor_tui.dialogs.bulk import BulkDialog
from victor_tui.dialogs.confirm import ConfirmDialog
from victor_tui.dialogs.help import HelpDialog
from victor_tui.dialogs.quit import QuitDialog
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

QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "approval": ("approval", {"required_approvals": 2, "assignees": ("ops", "leads")}),
    "confirmation": ("confirmation", {"require_comment": True}),
    "choice": ("choice", {"choices": TWO, "has_default": True, "default": "hold"}),
    "several": ("choice", {"choices": TWO, "multiple": True}),
    "input": ("input", {"input_schema": SCHEMA}),
    "text": ("input", {}),
    "review": ("review", {"document": "# Notes\n\nNothing broke.\n", "allow_edit": True}),
    "override": ("override", {"recommendation": {"replicas": 3}}),
}  # fmt: skip


async def test_question(pictures: Pictures, bare: RealPort) -> None:
    with steady_ids():
        asked = {
            name: await bare.ask(kind, workflow=name, **more) for name, (kind, more) in QUESTIONS.items()
        }
    async with pictures.console(bare) as pilot:
        for name, request in asked.items():
            async with pictures.dialog(pilot, lambda _, request=request: AnswerDialog(request)):
                await pictures.at_both_sizes(pilot, name + "-{}")


@pytest.mark.parametrize("name", absurd.KINDS)
async def test_absurd_question(pictures: Pictures, bare: RealPort, name: str) -> None:
    kind, more = absurd.KINDS[name]
    with steady_ids():
        request = await absurd_question(bare, name, kind, **{"context": absurd.CONTEXT, **more})
    async with pictures.console(bare) as pilot, pictures.dialog(pilot, lambda _: AnswerDialog(request)):
        await pictures.at_both_sizes(pilot, "{}")


async def absurd_question(port: RealPort, name: str, kind: str = "approval", **more: Any) -> RequestInfo:
    """Ask a question that somebody else has claimed, if it is for several at once."""
    fields = {**absurd.PEOPLE, "prompt": absurd.PROMPT, "workflow": f"absurd-{name}", **more}
    request = await port.ask(kind, by=absurd.WHO, **fields)
    if "chain" not in more:
        await port.by(absurd.WHO, "claim", request.id)
    return await port.request(request.id)


# --- dialogs on the shared day -----------------------------------------------------------------


@dataclass
class Facts:
    """What the dialogs are about."""

    schedules: dict[str, ScheduleInfo]
    version: VersionInfo
    backfill: BackfillInfo
    engine: EngineInfo
    trust: TrustInfo


@dataclass
class Scene:
    """A dialog, and the text that is written into its fields."""

    make: Callable[[Facts, Screen[Any]], Screen[Any]]
    fill: dict[str, str] = field(default_factory=dict)


INPUTS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "customer": {"type": "string", "description": "The id of the customer"},
        "days": {"type": "integer", "default": 7, "minimum": 1},
        "region": {"enum": ["eu", "us"], "default": "us"},
        "urgent": {"type": "boolean", "default": False},
    },
    "additionalProperties": False,
    "required": ["customer"],
}


def refusing(names: Collection[str], message: str) -> Callable[[str], Awaitable[None]]:
    """Return an action that the engine refuses for these names."""

    async def act(name: str) -> None:
        if name in names:
            raise ConflictError(message)

    return act


DIALOGS = {
    "confirm": Scene(
        lambda f, _: ConfirmDialog("Cancel the run?", "Its two nodes are stopped.", danger=True)
    ),
    "pause": Scene(lambda f, _: PauseDialog("Pause daily_report")),
    "pause-several": Scene(lambda f, _: PauseDialog("Pause 2 schedules", names=("daily_report", "deploy"))),
    "why": Scene(lambda f, _: WhyDialog(f.schedules["data_pipeline"])),
    "why-then": Scene(lambda f, _: WhyDialog(f.schedules["daily_report"], "2026-03-29 02:30")),
    "backfill": Scene(
        lambda f, _: BackfillDialog([f.schedules["daily_report"]]), {"#from": "last week", "#note": "again"}
    ),
    "backfill-several": Scene(lambda f, _: BackfillDialog(list(f.schedules.values())), {"#from": "-3d"}),
    "backfill-progress": Scene(lambda f, _: BackfillProgressDialog(f.backfill)),
    "results": Scene(
        lambda f, _: BulkDialog("Pause", ["a", "b", absurd.LINE, "c"], refusing("bc", "it was removed " * 9))
    ),
    "trigger": Scene(lambda f, _: TriggerDialog("daily_report", {"region": "eu", "days": 7})),
    "trigger-form": Scene(lambda f, _: TriggerDialog("daily_report", {"region": "eu"}, INPUTS)),
    "trust": Scene(lambda f, _: TrustDialog(f.trust)),
    "help": Scene(lambda f, below: HelpDialog(below)),
    "schedule": Scene(lambda f, _: ScheduleDialog(f.schedules["host_health"].spec)),
    "new-schedule": Scene(lambda f, _: ScheduleDialog(None)),
    "alias": Scene(lambda f, _: AliasDialog(f.version, [])),
    "migrate": Scene(lambda f, _: MigrateDialog("data_pipeline", "1.0.0", "2.0.0")),
    "quit": Scene(lambda f, _: QuitDialog(f.engine)),
}


async def test_dialog(pictures: Pictures, world: World) -> None:
    facts = await facts_of(world)
    async with pictures.console(world) as pilot:
        for name, scene in DIALOGS.items():
            async with pictures.dialog(pilot, lambda below, scene=scene: scene.make(facts, below)) as dialog:
                for selector, text in scene.fill.items():
                    dialog.query_one(selector, Input).value = text
                await previewed(pilot)
                await pictures.at_both_sizes(pilot, name + "-{}")


async def previewed(pilot: Pilot[Any]) -> None:
    await settle(pilot)
    asked = [each for each in pilot.app.workers if each.group in ("preview", "preview-runs", "workflows")]
    if asked:  # with an empty list, it would wait for the feed, which never ends
        await pilot.app.workers.wait_for_complete(asked)


async def facts_of(world: World) -> Facts:
    with steady_ids():
        spec = BackfillSpec(world.schedule_ids["nightly_backup"], NOW - timedelta(days=6), NOW, concurrency=2)
        started = await world.start_backfill(spec, "the feed was empty")
        await world.clock.advance(18)
        await world.pause_backfill(started.id)
        await idle()
    world.clock.set_wall(NOW)
    schedules = {each.spec.workflow: each for each in await world.schedules()}
    versions = [each for info in await world.workflows() for each in info.versions]
    return Facts(
        schedules,
        next(each for each in versions if (each.workflow, each.version) == ("deploy", "2.1.0")),
        next(each for each in await world.backfills() if each.id == started.id),
        await world.engine(),
        await trust_of("\n".join(f"  step_{n}: {{command: [bin/step.py, --all, '{n}']}}" for n in range(30))),
    )


async def trust_of(handlers: str) -> TrustInfo:
    """Return what somebody is asked to trust in a workspace with these handlers."""
    port = RealPort(files={"victor.yaml": f"handlers:\n{handlers}\n"}, trusted=False)
    port.same_everywhere = True
    await port.open()
    try:
        return await port.trust_info()
    finally:
        await port.end()


# --- dialogs on absurd runs and questions ------------------------------------------------------


@dataclass
class Absurd:
    """What the dialogs are about."""

    request: RequestInfo
    returnable: RequestInfo
    several: list[RequestInfo]
    run: RunDetail
    trust: TrustInfo


NAMES = tuple(f"{number}{absurd.LINE}" for number in range(300))
ABSURD: dict[str, Callable[[Absurd], Screen[Any]]] = {
    "confirm": lambda a: ConfirmDialog(absurd.LINE, absurd.PROMPT, danger=True),
    "results": lambda a: BulkDialog(absurd.LINE, NAMES, refusing(NAMES[1::2], absurd.LINE)),
    "pause": lambda a: PauseDialog(absurd.LINE, names=NAMES),
    "trigger": lambda a: TriggerDialog(absurd.LINE, {absurd.LINE: absurd.LINE}),
    "migrate": lambda a: MigrateDialog(absurd.LINE, absurd.LINE, absurd.LINE),
    "together": lambda a: TogetherDialog(a.several),
    "say": lambda a: SayDialog(a.request),
    "back": lambda a: PushBackDialog(a.returnable),
    "reassign": lambda a: ReassignDialog(a.request),
    "trust": lambda a: TrustDialog(a.trust),
    "rerun": lambda a: RerunDialog(a.run),
    "redrive": lambda a: RedriveDialog(a.run),
    "override": lambda a: OverrideDialog(a.run),
}


ONE_SIZE = ("migrate", "back")
"""After the change of the size, the length of their scroll bar at 80x24 depends on the order of two layouts."""


async def test_absurd(pictures: Pictures, bare: RealPort) -> None:
    with steady_ids():
        facts = await absurd_facts(bare)
    async with pictures.console(bare) as pilot:
        for name, make in ABSURD.items():
            async with pictures.dialog(pilot, lambda _, make=make: make(facts)):
                await previewed(pilot)
                if name in ONE_SIZE:
                    await pilot.resize_terminal(120, 40)
                    await pictures.take(pilot, f"{name}-120x40")
                    await pilot.resize_terminal(80, 24)
                else:
                    await pictures.at_both_sizes(pilot, name + "-{}")


async def absurd_facts(port: RealPort) -> Absurd:
    request = await absurd_question(port, "say", allow_questions=True)
    for _ in range(3):
        await port.by(absurd.WHO, "ask_requester", request.id, absurd.PROMPT[:2000])
    back = await absurd_question(
        port, "back", can_go_back_to=tuple(f"step_{n}_" + "x" * 50 for n in range(60))
    )
    for _ in range(40):
        await port.by(absurd.WHO, "start_run", "absurd-say")
    await idle()
    handlers = f"  a: {{command: {[absurd.LINE] * 2!r}}}"
    return Absurd(
        await port.request(request.id),
        back,
        await port.requests(RequestQuery(limit=300)),
        await absurd_run(port),
        await trust_of(handlers),
    )


async def absurd_run(port: RealPort) -> RunDetail:
    """Return a failed run of 300 nodes."""
    node = {"name": absurd.LINE, "type": "transform", "transform": "a = missing"}
    nodes = [{"id": f"node_{n}", **node, "next": [f"node_{n + 1}"]} for n in range(299)]
    nodes.append({"id": "node_299", **node})
    await port.add("absurd-run", {"description": absurd.LINE, "nodes": nodes})
    state = {absurd.LINE: absurd.LINE, "rows": [absurd.LINE] * 30}
    run = await port.by(absurd.WHO, "start_run", "absurd-run", None, state)
    await idle()
    (found,) = await port.runs(RunQuery(workflow="absurd-run"))
    assert (found.id, found.status) == (run.id, "failed")
    return await port.run(run.id)
