"""The cells of a run in a table, and the order of runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from victor_engine.api import ACTIVE_RUN_STATUSES, RunInfo, handler_failures, handler_text, run_seconds
from victor_tui.text import duration, short_duration
from victor_tui.theme import run_mark, stuck_mark
from victor_tui.widgets.columns import Cell

BAR = 5
"""Width of the progress bar in cells."""


def is_stuck(run: RunInfo, now: datetime) -> bool:
    """Return whether a run has been at a node for far longer than the node ever took."""
    return run.status in ("running", "pausing") and run.stuck_at is not None and now >= run.stuck_at


def is_late(run: RunInfo, now: datetime) -> bool:
    """Return whether an active run takes longer than the 95th percentile of its workflow."""
    seconds = run_seconds(run, now)
    working = run.status in ("running", "pausing", "cancelling")
    return working and seconds is not None and run.slow_seconds is not None and seconds > run.slow_seconds


def version_cell(run: RunInfo, now: datetime) -> Cell:
    """Return the version, marked if it is deprecated."""
    return (f"{run.version} !", "warn") if run.deprecated else (run.version, "dim")


def status_cell(run: RunInfo, now: datetime) -> Cell:
    mark = stuck_mark() if is_stuck(run, now) else run_mark(run.status)
    return mark.text, mark.tone


def progress_cell(run: RunInfo, now: datetime) -> list[Cell]:
    """Return a progress bar and the numbers of finished and expected nodes. A loop can exceed them."""
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
    """Return the elapsed and the usual time, with `!` above the 95th percentile."""
    late = is_late(run, now)
    found: list[Cell] = [(duration(run_seconds(run, now)), "warn" if late else "plain")]
    if late:
        found.append(("!", "warn"))
    if run.typical_seconds is not None and run.status in ACTIVE_RUN_STATUSES:
        found.append((f"/{short_duration(run.typical_seconds)}", "dim"))
    return found


def now_cell(run: RunInfo, now: datetime) -> Cell:
    """Return the handler of its end, the error, the active nodes, the wait, or the note of a run."""
    if run.handler:
        at = run.waits_for or active_nodes(run, now)
        return ": ".join(filter(None, (handler_text(run), at))), "wait" if run.waits_for else "busy"
    if run.error is not None:
        return f"{run.error.type}: {run.error.message}", "bad"
    if run.quarantine:
        return run.quarantine, "bad"
    if run.current and not run.waits_for:
        return active_nodes(run, now), "bad" if is_stuck(run, now) else "busy"
    if run.waits_for:
        return run.waits_for, "wait"
    if run.handler_failures:
        return "; ".join(handler_failures(run)), "warn"
    return run.note, "dim"


def active_nodes(run: RunInfo, now: datetime) -> str:
    """Return the active nodes with their elapsed and usual time."""
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
    """Return the runs by urgency, each with its depth below its parent run.

    Stuck runs come first, then late, active and finished runs, each in the given order. Child runs follow
    their parent, and the most urgent of them decides the position of all.
    """
    ids = {run.id for run in runs}
    below: dict[str, list[RunInfo]] = {}
    roots: list[RunInfo] = []
    for run in runs:
        if run.trigger == "parent" and run.parent_run in ids and run.parent_run != run.id:
            below.setdefault(str(run.parent_run), []).append(run)
        else:
            roots.append(run)
    families = [family(root, below) for root in roots]
    families.sort(key=lambda members: min(_rank(run, now) for run, _ in members))
    return [member for members in families for member in members]


def family(root: RunInfo, below: dict[str, list[RunInfo]]) -> list[tuple[RunInfo, int]]:
    """Return a run and its descendants, each with its depth."""
    found = []
    pending = [(root, 0)]
    while pending:
        run, depth = pending.pop()
        found.append((run, depth))
        pending += [(child, depth + 1) for child in below.pop(run.id, ())]
    return found


def known_names(runs: Iterable[RunInfo]) -> dict[str, list[str]]:
    """Return the names in these runs by filter field, for the completion of a filter."""
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
