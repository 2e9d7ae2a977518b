"""How a run reads in a table: status, progress, time against what is usual, what it does; and the order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from victor_engine.api import ACTIVE_RUN_STATUSES, RunInfo
from victor_tui.text import duration, short_duration
from victor_tui.theme import STUCK_MARK, run_mark
from victor_tui.widgets.columns import Cell

BAR = 5
"""Cells of the bar that shows how far a run has come."""


def elapsed(run: RunInfo, now: datetime) -> float | None:
    """Seconds since its start, or from start to end."""
    if run.started_at is None:
        return None
    return ((run.finished_at or now) - run.started_at).total_seconds()


def is_stuck(run: RunInfo, now: datetime) -> bool:
    """Whether it has been at a node for far longer than that ever takes."""
    return run.status in ("running", "pausing") and run.stuck_at is not None and now >= run.stuck_at


def is_late(run: RunInfo, now: datetime) -> bool:
    """Whether it is at work for longer than 95 of 100 runs of its workflow took."""
    seconds = elapsed(run, now)
    working = run.status in ("running", "pausing", "cancelling")
    return working and seconds is not None and run.slow_seconds is not None and seconds > run.slow_seconds


def version_cell(run: RunInfo, now: datetime) -> Cell:
    """The version, marked where it is deprecated."""
    return (f"{run.version} !", "warn") if run.deprecated else (run.version, "dim")


def status_cell(run: RunInfo, now: datetime) -> Cell:
    mark = STUCK_MARK if is_stuck(run, now) else run_mark(run.status)
    return mark.text, mark.tone


def progress_cell(run: RunInfo, now: datetime) -> list[Cell]:
    """A bar of done against expected nodes, and the numbers. Loops may do more than expected."""
    if not run.nodes_expected:
        return [(f"{run.nodes_done} done", "dim")]
    share = min(1.0, run.nodes_done / run.nodes_expected)
    filled = round(share * BAR)
    tone = "bad" if is_stuck(run, now) else run_mark(run.status).tone
    return [
        ("━" * filled, tone),
        ("╌" * (BAR - filled), "dim"),
        (f" {run.nodes_done}/{run.nodes_expected}", "dim"),
    ]


def elapsed_cell(run: RunInfo, now: datetime) -> list[Cell]:
    """How long it has taken, and what is usual; `!` past what 95 of 100 runs took."""
    late = is_late(run, now)
    found: list[Cell] = [(duration(elapsed(run, now)), "warn" if late else "plain")]
    if late:
        found.append(("!", "warn"))
    if run.typical_seconds is not None and run.status in ACTIVE_RUN_STATUSES:
        found.append((f"/{short_duration(run.typical_seconds)}", "dim"))
    return found


def now_cell(run: RunInfo, now: datetime) -> Cell:
    """What it does and since when, waits for, or died of."""
    if run.error is not None:
        return f"{run.error.type}: {run.error.message}", "bad"
    if run.current and not run.waits_for:
        return at_work(run, now), "bad" if is_stuck(run, now) else "busy"
    if run.waits_for:
        return run.waits_for, "wait"
    return run.note, "dim"


def at_work(run: RunInfo, now: datetime) -> str:
    """The nodes at work, for how long, and how long that usually takes."""
    words = ", ".join(run.current)
    if run.since is None:
        return words
    took = f"{words} {duration((now - run.since).total_seconds())}"
    return f"{took}, usually {duration(run.node_seconds)}" if run.node_seconds is not None else took


def _rank(run: RunInfo, now: datetime) -> int:
    if is_stuck(run, now):
        return 0
    if is_late(run, now):
        return 1
    return 2 if run.status in ACTIVE_RUN_STATUSES else 3


def arrange(runs: Sequence[RunInfo], now: datetime) -> list[tuple[RunInfo, int]]:
    """Runs in the order in which they want attention, each with its depth below the run that started it.

    What is stuck comes first, then what is late, then what is active, then what has ended, each in the
    given order. Runs that were started by another one that is here follow it, and count for it.
    """
    here = {run.id for run in runs}
    below: dict[str, list[RunInfo]] = {}
    roots: list[RunInfo] = []
    for run in runs:
        if run.trigger == "parent" and run.parent_run in here and run.parent_run != run.id:
            below.setdefault(str(run.parent_run), []).append(run)
        else:
            roots.append(run)
    families = [family(root, below) for root in roots]
    families.sort(key=lambda members: min(_rank(run, now) for run, _ in members))
    return [member for members in families for member in members]


def family(root: RunInfo, below: dict[str, list[RunInfo]]) -> list[tuple[RunInfo, int]]:
    """A run and everything that it has started, each with its depth."""
    found = []
    pending = [(root, 0)]
    while pending:
        run, depth = pending.pop()
        found.append((run, depth))
        pending += [(child, depth + 1) for child in below.pop(run.id, ())]
    return found


def known_names(runs: Iterable[RunInfo]) -> dict[str, list[str]]:
    """What completes the values of a filter: the names that these runs have."""
    fields: dict[str, set[str]] = {
        name: set() for name in ("workflow", "version", "actor", "node", "schedule", "error")
    }
    for run in runs:
        fields["workflow"].add(run.workflow)
        fields["version"].add(run.version)
        fields["actor"].add(run.started_by)
        fields["node"].update(run.current)
        if run.schedule_id is not None:
            fields["schedule"].add(run.schedule_id)
        if run.error is not None:
            fields["error"].add(run.error.type)
            if run.error.node_id is not None:
                fields["node"].add(run.error.node_id)
    return {name: sorted(values) for name, values in fields.items()}
