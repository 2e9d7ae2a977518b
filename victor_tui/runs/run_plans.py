"""A command on several runs: plan, confirmation, execution of the plan."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from victor_engine.api import Port, RunInfo, RunPlanCommand, RunPlanItem, RunsPlan
from victor_engine.errors import VictorError
from victor_tui.text import clean, plural

if TYPE_CHECKING:
    from victor_tui.app_context import Console

_NAMED = 6
"""Maximum number of runs that a confirmation names."""

PLANNED: dict[str, RunPlanCommand] = {
    "cancel": "cancel",
    "kill": "cancel",
    "pause": "pause",
    "resume": "resume",
    "retry": "retry",
    "redrive": "redrive",
    "rerun": "rerun",
    "discard": "discard",
}
"""The engine command of each key command."""


async def apply_to_all(
    console: Console, ids: Sequence[str], command: str, words: str, which: str = ""
) -> None:
    """Plan a command, confirm it, apply the plan, and show the result of each run. Needs a worker.

    `which` describes the runs; by default the text names them.
    """
    from victor_tui.dialogs.bulk import BulkDialog

    verb, planned = command.capitalize(), PLANNED[command]
    try:
        plan = await console.port.plan_runs(planned, list(ids))
    except VictorError as error:
        console.report(error)
        return
    ready = [item for item in plan.items if item.effect]
    if not ready:
        reasons = "; ".join(f"{item.run_id} {item.reason}" for item in plan.items[:3])
        console.notify(clean(f"Nothing to do: {reasons}."), severity="warning", markup=False)
        return
    title = f"{verb} {plural(len(ready), 'run')}"
    body = f"{which or _listed(ready)}{_unchanged(plan)}\n\n{words}".rstrip()
    note = await console.dialogs.confirm(f"{title}?", body)
    if note is None:
        return
    action, tokens = _action(console.port, planned), {item.run_id: item.plan for item in ready}
    await console.push_screen_wait(
        BulkDialog(title, [*tokens], lambda run_id: action(run_id, note=note, plan=tokens[run_id]))
    )


def _action(port: Port, command: RunPlanCommand) -> Callable[..., Awaitable[RunInfo]]:
    actions: dict[RunPlanCommand, Callable[..., Awaitable[RunInfo]]] = {
        "cancel": port.cancel_run,
        "pause": port.pause_run,
        "resume": port.resume_run,
        "retry": port.retry_run,
        "redrive": port.redrive_run,
        "rerun": port.rerun,
        "discard": port.discard_run,
    }
    return actions[command]


def _listed(items: Sequence[RunPlanItem]) -> str:
    """Return a line for each of the first runs, with the effect of the command."""
    lines = [clean(f"{item.workflow} {item.run_id} {item.effect}") for item in items[:_NAMED]]
    return "\n".join([*lines, *([f"and {len(items) - _NAMED} more"] if len(items) > _NAMED else [])])


def _unchanged(plan: RunsPlan) -> str:
    """Return a line about the runs that the command does not change; empty if it changes all."""
    unchanged = [item for item in plan.items if not item.effect]
    if not unchanged:
        return ""
    first = f"{unchanged[0].run_id} {unchanged[0].reason}"
    return f"\n{plural(len(unchanged), 'run')} unchanged: {clean(first)}"
