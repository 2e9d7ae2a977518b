"""The activity: acts of people and outcomes of runs, in sentences, grouped by run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, tzinfo

from msgspec import Struct

from victor_engine.api import ENGINE_ACTOR, EventInfo, EventKind
from victor_tui.history.sentences import Sentence, sentence
from victor_tui.text import duration, moment
from victor_tui.widgets.columns import Cell, Column
from victor_tui.widgets.table import LineTable


class Activity(Struct, frozen=True):
    """A row of the activity. The rows of a run stand below its first row, the summary, which has no `inner`."""

    event: EventInfo
    sentence: Sentence
    who: str
    inner: bool = False

    @property
    def run_id(self) -> str | None:
        return self.event.run_id

    @property
    def workflow(self) -> str | None:
        return self.event.workflow


def activity(events: Sequence[EventInfo]) -> list[Activity]:
    """Return the rows of a page of events, which is newest first. A run stands where its newest event stands."""
    runs: dict[str, list[EventInfo]] = {}
    for event in events:
        if event.run_id is not None:
            runs.setdefault(event.run_id, []).append(event)
    rows: list[Activity] = []
    for event in events:
        if event.run_id is None:
            rows.append(Activity(event, sentence(event), _person(event)))
        elif event.run_id in runs:
            rows.extend(_of_run(runs.pop(event.run_id)))
    return rows


def _of_run(events: list[EventInfo]) -> Iterable[Activity]:
    """Yield the rows of one run: its outcome if it has ended, else its start, and the other events below."""
    created = next((event for event in events if event.kind == EventKind.RUN_CREATED), None)
    newest = next((event for event in events if event.kind in _TURNS), None)
    if newest is not None and newest.kind == EventKind.RUN_FINISHED:
        yield _ended(newest, created)
        rest = [event for event in events if event not in (newest, created)]
    elif created is not None:
        yield Activity(created, sentence(created), _starter(created))
        rest = [event for event in events if event is not created]
    elif len(events) == 1:
        rest = []
        yield Activity(events[0], sentence(events[0]), _person(events[0]))
    else:
        rest = events[1:]
        yield Activity(events[0], sentence(events[0]), _person(events[0]))
    for event in rest:
        yield Activity(event, sentence(event), _person(event), inner=True)


_TURNS = frozenset({EventKind.RUN_FINISHED, EventKind.RUN_REDRIVEN, EventKind.RUN_RESUMED})
"""Events after which a run has ended, or has not ended any more."""


def _ended(finished: EventInfo, created: EventInfo | None) -> Activity:
    """Return the summary of a run that has ended, with its duration and its starter if they are known."""
    words = sentence(finished)
    if created is None:
        return Activity(finished, words, "")
    took = duration((finished.at - created.at).total_seconds())
    outcome, colon, reason = words.text.partition(": ")
    return Activity(
        finished, Sentence(f"{outcome} after {took}{colon}{reason}", words.tone), _starter(created)
    )


def _person(event: EventInfo) -> str:
    return "" if event.actor == ENGINE_ACTOR else event.actor.user


def _starter(created: EventInfo) -> str:
    return _person(created) or str(created.data.get("trigger") or "")


def activity_table(now: Callable[[], datetime], zone: tzinfo | None, empty: str) -> LineTable[Activity]:
    """Return the table of the activity. Its order is fixed: each run is a group."""

    def at(row: Activity, now: datetime) -> Cell:
        return moment(row.event.at, now, zone), "dim"

    def text(row: Activity, _now: datetime) -> Cell:
        return f"{'  ' if row.inner else ''}{row.sentence.text}", row.sentence.tone

    return LineTable[Activity](
        [
            Column("at", "When", 12, at),
            Column("who", "Who", 8, lambda row, _: (row.who, "dim")),
            Column("what", "What happened", 44, text, grow=1),
            Column("run", "Run", 13, lambda row, _: (row.run_id or "", "dim"), priority=1),
        ],
        key=lambda row: row.event.seq,
        now=now,
        empty=empty,
        id="activity",
    )
