"""The problems of an engine that the store knows: notifications that fail, and quarantined runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from victor_engine.api import ProblemInfo
from victor_engine.config.model import NotifyRule
from victor_engine.notify import notify_problems
from victor_engine.store.repositories import suspects


def stored_problems(
    connection: sqlite3.Connection, now: datetime, rules: Sequence[NotifyRule] = ()
) -> list[ProblemInfo]:
    """Return the problems, the most urgent first."""
    held = [
        ProblemInfo("error", f"run {run_id} is {found.reason}: victor runs resume {run_id}")
        for run_id, found in suspects.all_quarantined(connection)
    ]
    return [*held, *notify_problems(connection, now, rules)]
