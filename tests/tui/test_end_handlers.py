"""The handlers of the end of a run, as the console shows them."""

from __future__ import annotations

from datetime import UTC, datetime

from victor_engine.api import ErrorInfo, HandlerFailure, RunInfo
from victor_engine.domain.statuses import RunStatus
from victor_tui.row_values import run_why
from victor_tui.runs.columns import now_cell
from victor_tui.runs.run_header import head

NOW = datetime(2026, 1, 5, 12, 1, tzinfo=UTC)
FULL = ErrorInfo(type="DiskError", message="full", node_id="copy")


def run(status: RunStatus, **more: object) -> RunInfo:
    begun = datetime(2026, 1, 5, 12, tzinfo=UTC)
    return RunInfo("r1", "w", "1.0.0", status, "manual", "ana", begun, started_at=begun, **more)  # type: ignore[arg-type]


def test_a_run_that_executes_a_handler_names_it_and_its_final_status() -> None:
    ending = run(RunStatus.RUNNING, ends_as="failed", handler="finally", error=FULL, current=("unlock",))
    assert now_cell(ending, NOW) == ("finally, then failed: unlock", "busy")
    assert "executes finally, then failed" in head(ending, NOW, UTC).plain
    assert "DiskError in copy: full" in head(ending, NOW, UTC).plain
    assert run_why(ending, NOW) == "r1 is running: it executes finally, then failed."


def test_a_failed_handler_is_shown_beside_the_status() -> None:
    failures = (HandlerFailure("finally", ErrorInfo(type="E", message="busy", node_id="unlock")),)
    green = run(RunStatus.SUCCEEDED, handler_failures=failures)
    assert now_cell(green, NOW) == ("finally failed at unlock: E: busy", "warn")
    assert "finally failed at unlock: E: busy" in head(green, NOW, UTC).plain
