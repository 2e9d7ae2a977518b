"""The changes of a schedule: who made them, when, and each difference in words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Any

from textual.content import Content

from victor_engine.api import ENGINE_ACTOR, EventInfo, EventKind, EventQuery, Port, ScheduleInfo
from victor_tui.dialogs.listing import Line, ListingDialog
from victor_tui.history.sentences import sentence
from victor_tui.text import full, one_line, plural, relative, schedule_name

LISTED = 200
"""Maximum number of listed changes."""
_KINDS = (
    EventKind.SCHEDULE_ADDED,
    EventKind.SCHEDULE_CHANGED,
    EventKind.SCHEDULE_REMOVED,
    EventKind.SCHEDULE_PAUSED,
    EventKind.SCHEDULE_RESUMED,
    EventKind.SCHEDULE_REOPENED,
)
NAMES = {
    "cron": "the cron expression",
    "every_seconds": "the interval",
    "every_at": "the time of day of the interval",
    "at": "the time",
    "timezone": "the time zone",
    "initial_state": "the initial state",
    "overlap": "the policy if a run is still active",
    "catchup": "the policy for missed fires",
    "catchup_window": "the window of missed fires",
    "misfire_grace": "the grace period",
    "wait_for_previous": "the wait for the success of the run before",
    "max_active_runs": "the number of active runs",
    "exclude": "the exclusion calendars",
    "on_excluded": "the policy for excluded days",
    "pause_after_failures": "the number of failures before a pause",
    "expect": "the expectations",
    "after": "the dependencies",
    "enabled": "whether it fires",
}
"""The fields of `ScheduleSpec` whose names do not say enough."""
_CHANGE = re.compile(r"(\w+): (.*) -> (.*)", re.DOTALL)


def difference(change: str) -> str:
    """Return a change `field: old -> new`, with JSON values, in words."""
    found = _CHANGE.fullmatch(change)
    if found is None:
        return change
    name = NAMES.get(found[1], f"the {found[1].replace('_', ' ')}")
    old, new = _value(found[2]), _value(found[3])
    if old == "":
        return f"set {name} to {new}"
    return f"changed {name} from {old} to {new}" if new else f"removed {name}, which was {old}"


def _value(text: str) -> str:
    """Return a JSON value as people write it; empty for no value."""
    try:
        value: Any = json.loads(text)
    except ValueError:
        return text
    if value is None or value == "" or value == [] or value == {}:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else text


def _lines(event: EventInfo, now: datetime, zone: tzinfo | None) -> Iterator[Content]:
    """Yield the line of an event, and one for each difference."""
    engine = event.actor == ENGINE_ACTOR
    changes = [difference(str(each)) for each in event.data.get("changes", ())]
    note = str(event.data.get("note") or "")
    words = f"made {plural(len(changes), 'change')}" if changes else sentence(event).text
    who = (
        "the files" if engine and changes else "" if engine else event.actor.user
    )  # its sentences are passive
    yield Content.assemble(
        (f"{full(event.at, zone)} ({relative(event.at, now)})  ", "$text-muted"),
        (f"{one_line(who, 40)} " if who else "", "bold"),
        one_line(words, 300),
        (f": {one_line(note, 300)}" if changes and note else "", "$text-muted"),
    )
    for each in changes:
        yield Content(f"    {one_line(each, 500)}")


async def changes_dialog(
    port: Port, schedule: ScheduleInfo, now: datetime, zone: tzinfo | None
) -> ListingDialog:
    """Return the list of the changes of a schedule, newest first."""
    kinds = tuple(str(kind) for kind in _KINDS)
    found = await port.events(EventQuery(schedule_id=schedule.id, kinds=kinds, limit=LISTED))
    lines = [
        Line(line, (("change", line.plain.strip()),)) for event in found for line in _lines(event, now, zone)
    ]
    name = one_line(schedule_name(schedule.id, schedule.spec.workflow), 60)
    return ListingDialog(f"Changes of {name}", lines, "This schedule was not changed.")
