"""The texts about runs that the console and the command line share."""

from __future__ import annotations

from math import floor

from victor_engine.api.insight import FailureCause
from victor_engine.api.runs import RunInfo


def handler_text(run: RunInfo) -> str:
    """Return the handler that a run executes at its end, such as `finally, then failed`; empty if it executes none."""
    return f"{run.handler}, then {run.ends_as}" if run.handler else ""


def handler_failures(run: RunInfo) -> tuple[str, ...]:
    """Return a sentence for each handler that failed at the end of a run."""
    return tuple(
        f"{each.handler} failed"
        + (f" at {each.error.node_id}" if each.error.node_id else "")
        + f": {each.error.type}: {each.error.message}"
        for each in run.handler_failures
    )


def rate_text(rate: float | None) -> str:
    """Return a success rate as text. It is rounded down: only a rate without failures is 100 %."""
    if rate is None:
        return "–"
    return "100 %" if rate == 1 else f"{floor(rate * 1000 + 1e-9) / 10:.1f} %"


def cause_text(cause: FailureCause) -> str:
    """Return the cause of failures, such as `TimeoutError in roll_out`."""
    return f"{cause.error_type} in {cause.node_id}" if cause.node_id else cause.error_type
