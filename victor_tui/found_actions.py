"""The actions on things that the palette finds by name.

An action goes to the screen of the thing and runs the action of the key there, so that a dialog, a condition and a
role are the same on both ways.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from victor_engine.api import Found, FoundKind, RunCommand, RunStatus, refusal
from victor_engine.errors import VictorError
from victor_tui.text import clean

if TYPE_CHECKING:
    from victor_tui.app_context import Console, Forwarding

WAIT_SECONDS = 10
"""Seconds to wait until a screen shows a thing."""

Act = Callable[["Console", Found], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class FoundAction:
    """One action on a found thing. `method` is the method of the port that decides which role it needs."""

    name: str
    method: str
    act: Act
    allowed: Callable[[Found], bool] = lambda found: True


async def _shown(console: Console, found: Found, attribute: str, is_it: Callable[[Any], bool]) -> bool:
    """Wait until the attribute of the current screen is the thing. Return False after `WAIT_SECONDS`."""
    screen = console.screen
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def look(value: Any) -> None:
        if not done.done() and is_it(value):
            done.set_result(None)

    screen.watch(screen, attribute, look)
    try:
        await asyncio.wait_for(done, WAIT_SECONDS)
    except TimeoutError:
        console.notify(
            f"The {_named(found)} is not loaded yet. Try again in a moment.", severity="warning", markup=False
        )
        return False
    return True


async def _key(console: Console, found: Found, action: str, command: str) -> None:
    """Run the action of a key on the current screen, or report that the state does not permit it."""
    screen = console.screen
    if screen.check_action(action, (command,)) is False:
        console.notify(
            f"The {_named(found)} cannot be changed now: {command} does not apply to its state. w explains the state.",
            markup=False,
        )
        return
    await console.run_action(f"{action}('{command}')", screen)


def _on_schedule(command: str) -> Act:
    async def act(console: Console, found: Found) -> None:
        console.navigator.show_schedule(found.id)
        if await _shown(console, found, "current", lambda row: getattr(row, "id", None) == found.id):
            await _key(console, found, "schedule", command)

    return act


def _on_run(command: str) -> Act:
    async def act(console: Console, found: Found) -> None:
        console.navigator.open_run(found.id)
        if await _shown(console, found, "detail", lambda detail: detail is not None):
            await _key(console, found, "run_command", command)

    return act


def _on_version(command: str) -> Act:
    async def act(console: Console, found: Found) -> None:
        console.navigator.show_version(found.workflow, found.id)
        wanted = (found.workflow, found.id)
        if await _shown(console, found, "current", lambda row: getattr(row, "id", None) == wanted):
            await _key(console, found, "version", command)

    return act


def _on_request(how: Forwarding) -> Act:
    async def act(console: Console, found: Found) -> None:
        await console.dialogs.forward(how, await console.port.request(found.id))

    return act


async def _open_schedule(console: Console, found: Found) -> None:
    console.navigator.show_schedule(found.id)


async def _open_version(console: Console, found: Found) -> None:
    console.navigator.show_version(found.workflow, found.id if found.kind == "version" else None)


async def _open_run(console: Console, found: Found) -> None:
    console.navigator.open_run(found.id)


async def _open_request(console: Console, found: Found) -> None:
    await console.dialogs.answer_request(await console.port.request(found.id))


async def _run_of_request(console: Console, found: Found) -> None:
    console.navigator.open_run((await console.port.request(found.id)).run_id)


async def _claim(console: Console, found: Found) -> None:
    await console.perform(console.port.claim(found.id), "Claimed: the others see that you work on it.")
    console.feed.mark_stale("requests", "inbox")


async def _start(console: Console, found: Found) -> None:
    await console.dialogs.start_workflow(found.workflow, found.id if found.kind == "version" else None)


async def _runs_of_workflow(console: Console, found: Found) -> None:
    console.navigator.show_runs(f"workflow:{found.workflow}")


async def _runs_of_schedule(console: Console, found: Found) -> None:
    console.navigator.show_runs(f"schedule:{found.id}")


async def _changes_of_schedule(console: Console, found: Found) -> None:
    """Show who changed a schedule, in the history."""
    console.navigator.show_history(f"schedule:{found.id} kind:schedule")


def _accepts(command: RunCommand) -> Callable[[Found], bool]:
    return lambda found: refusal(RunStatus(found.detail), command) is None


def _paused(found: Found) -> bool:
    return found.detail == "paused"


ACTIONS: dict[FoundKind, tuple[FoundAction, ...]] = {
    "schedule": (
        FoundAction("Open", "schedule", _open_schedule),
        FoundAction("Trigger", "trigger_schedule", _on_schedule("trigger")),
        FoundAction("Pause", "pause_schedule", _on_schedule("pause"), lambda found: not _paused(found)),
        FoundAction("Resume", "resume_schedule", _on_schedule("resume"), _paused),
        FoundAction("Edit", "edit_schedule", _on_schedule("edit")),
        FoundAction("Move to a version", "edit_schedule", _on_schedule("move")),
        FoundAction("Why", "explain_schedule", _on_schedule("why")),
        FoundAction("Changes", "events", _changes_of_schedule),
        FoundAction("Its runs", "runs", _runs_of_schedule),
    ),
    "workflow": (
        FoundAction("Open", "workflows", _open_version),
        FoundAction("Start", "start_run", _start),
        FoundAction("Its runs", "runs", _runs_of_workflow),
    ),
    "version": (
        FoundAction("Open", "workflows", _open_version),
        FoundAction("Start", "start_run", _start, lambda found: found.detail != "removed"),
        FoundAction("Migrate", "migrate_runs", _on_version("migrate")),
        FoundAction("Set alias", "set_alias", _on_version("alias")),
    ),
    "run": (
        FoundAction("Open", "run", _open_run),
        FoundAction("Cancel", "cancel_run", _on_run("cancel"), _accepts(RunCommand.CANCEL)),
        FoundAction("Pause", "pause_run", _on_run("pause"), _accepts(RunCommand.PAUSE)),
        FoundAction("Resume", "resume_run", _on_run("resume"), _accepts(RunCommand.RESUME)),
        FoundAction("Retry", "retry_run", _on_run("retry"), _accepts(RunCommand.RETRY)),
        FoundAction("Redrive", "redrive_run", _on_run("redrive"), _accepts(RunCommand.REDRIVE)),
        FoundAction("Rerun", "rerun", _on_run("rerun")),
    ),
    "request": (
        FoundAction("Open", "request", _open_request),
        FoundAction("Claim", "claim", _claim),
        FoundAction("Reassign", "reassign", _on_request("reassign")),
        FoundAction("Delegate", "delegate", _on_request("delegate")),
        FoundAction("Send back", "push_back", _on_request("push_back")),
        FoundAction("Its run", "run", _run_of_request),
    ),
}
"""The actions on each kind of thing. The first one opens it."""


def actions_on(found: Found) -> list[FoundAction]:
    """Return the actions that the state of a thing permits."""
    return [action for action in ACTIONS[found.kind] if action.allowed(found)]


async def take(console: Console, found: Found, action: FoundAction) -> None:
    """Take an action, or show the role that it needs or the error."""
    refused = console.access.lacks(action.method)
    if refused is not None:
        console.notify(refused, severity="warning", markup=False)
        return
    console.session.recent.add(found)
    try:
        await action.act(console, found)
    except VictorError as error:
        console.report(error)


def described(found: Found) -> str:
    """Return the kind, the title, the id and the state of a thing on one line."""
    state = f" · {found.detail}" if found.detail else ""
    return clean(f"{_named(found)}{state}")


def _named(found: Found) -> str:
    """Return the kind, the title and the id of a thing on one line."""
    title = found.title if found.kind in ("workflow", "version") else f"{found.title} {found.id}"
    return clean(f"{found.kind} {title}")
