"""The texts about runs that the console and the command line share."""

from __future__ import annotations

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
