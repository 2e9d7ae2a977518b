"""The values that `c` copies, and the explanations that `w` shows, of rows and of views."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from victor_engine.api import (
    DeadLetterGroup,
    EventInfo,
    RequestCommand,
    RequestInfo,
    RunInfo,
    ScheduleInfo,
    handler_text,
    request_refused,
)
from victor_tui.text import duration
from victor_tui.widgets.graph import RunGraph
from victor_tui.widgets.lines import LineView

Values = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Here:
    """The position in a screen, for the keys that are the same on all screens."""

    values: Values
    """The values that `c` copies, each with a label, the most specific first."""
    why: str = ""
    """The explanation of the row under the cursor."""
    of: str = ""
    """The id of the object that the screen shows; empty for a list."""
    reopen: Callable[[], None] | None = None
    """Opens the screen again over its main screen; None for a main screen."""


@runtime_checkable
class HasPlace(Protocol):
    """A screen or dialog that has a row under the cursor."""

    def here(self) -> Here:
        """Return the values of the row under the cursor."""
        ...


def row_values(row: Any) -> Values:
    """Return the ids of a row and the shell command that shows it, each with a label."""
    found = _ids(row)
    command = _command(row)
    return [*found, ("shell command", shlex.join(["victor", *command]))] if command else found


def _command(row: Any) -> list[str]:
    """Return the words of the command that shows the same as the row."""
    match row:
        case RunInfo():
            return ["runs", "show", row.id]
        case RequestInfo():
            return ["inbox", "show", row.id]
        case ScheduleInfo():
            return ["scheduler", "explain", row.id]
        case DeadLetterGroup():
            return ["runs", "dead", row.cause]
        case EventInfo():
            return ["runs", "show", row.run_id] if row.run_id else []
    info = getattr(row, "info", None)
    return ["versions", "show", info.workflow, info.version] if info is not None else []


def _ids(row: Any) -> Values:
    match row:
        case RunInfo():
            found = [("run id", row.id), ("workflow", row.workflow)]
        case RequestInfo():
            found = [("request id", row.id), ("run id", row.run_id)]
        case ScheduleInfo():
            found = [("schedule id", row.id), ("workflow", row.spec.workflow)]
        case EventInfo():
            found = [
                ("run id", row.run_id or ""),
                ("request id", row.request_id or ""),
                ("schedule id", row.schedule_id or ""),
                ("workflow", row.workflow or ""),
            ]
        case DeadLetterGroup():
            found = [("cause", row.cause), ("message", row.pattern)]
        case None:
            found = []
        case _:
            info = getattr(row, "info", None)
            found = [("version", info.version), ("workflow", info.workflow)] if info is not None else []
    return [(label, str(value)) for label, value in found if value]


def widget_values(widget: Any) -> Values:
    """Return the value under the cursor of a view of lines."""
    if isinstance(widget, RunGraph):
        return [("node id", widget.selected)] if widget.selected else []
    if isinstance(widget, LineView) and widget.show_cursor and widget.line_count:
        text = widget.line_at(widget.cursor).plain.strip()
        return [("line", text)] if text else []
    return []


def row_why(row: Any, now: datetime) -> str:
    """Return why a row is in its status; empty if there is nothing to explain."""
    match row:
        case RunInfo():
            return run_why(row, now)
        case RequestInfo():
            refused = request_refused(row, RequestCommand.ANSWER)
            asked = f"It asks {', '.join(row.assignees)}." if row.assignees else "It asks everyone."
            return (
                f"It cannot be answered: {refused}. {asked}"
                if refused
                else f"It waits for an answer. {asked}"
            )
        case EventInfo():
            return f"{row.actor.user} caused this event ({row.kind})."
        case DeadLetterGroup():
            return f"{row.count} runs failed with {row.error_type} in {row.node_id or row.workflow}: {row.pattern}"
    info = getattr(row, "info", None)
    if info is not None and info.removed is not None:
        return "The version is removed: new runs cannot start on it. u undoes this."
    if info is not None and info.deprecated is not None:
        return "The version is deprecated: it warns its users. u undoes this."
    return "The version is in use." if info is not None else ""


def run_why(run: RunInfo, now: datetime) -> str:
    """Return why a run is in its status."""
    if run.handler:
        return f"{run.id} is {run.status}: it executes {handler_text(run)}."
    if run.error is not None:
        node = f" in {run.error.node_id}" if run.error.node_id else ""
        return f"{run.id} is {run.status}{node}: {run.error.type}: {run.error.message}"
    if run.quarantine:
        return f"{run.id} is {run.quarantine}."
    if run.waits_for:
        return f"{run.id} is {run.status}: it waits for {run.waits_for}."
    since = f" for {duration((now - run.since).total_seconds())}" if run.since else ""
    if run.status == "queued":
        return f"{run.id} is queued{since}: it waits for a slot."
    at = f" in {', '.join(run.current)}" if run.current else ""
    return f"{run.id} is {run.status}{at}{since}. It was started by {run.started_by} ({run.trigger})."
