"""The problems of an engine that the store knows: quarantined runs, failing notifications, and retention."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from victor_engine.api import ProblemInfo
from victor_engine.config import Config
from victor_engine.engine.retention_plan import retention_problems
from victor_engine.notify import notify_problems
from victor_engine.store.repositories import suspects


def stored_problems(
    connection: sqlite3.Connection, now: datetime, config: Config | None = None
) -> list[ProblemInfo]:
    """Return the problems, the most urgent first. Without a configuration those of settings are left out."""
    held = [
        ProblemInfo("error", f"run {run_id} is {found.reason}: victor runs resume {run_id}")
        for run_id, found in suspects.all_quarantined(connection)
    ]
    failing = notify_problems(connection, now, config.notify if config is not None else ())
    return [
        *held,
        *failing,
        *(retention_problems(connection, config.retention) if config is not None else ()),
    ]
