"""The tables `definitions` and `state_migrations`: the versions of workflows, and the migrations between them."""

from __future__ import annotations

from victor_engine.store.queries.ids import Source


def is_known(source: Source, workflow: str) -> bool:
    """Return whether any version of a workflow is registered."""
    row = source.execute("SELECT 1 FROM definitions WHERE workflow = ? LIMIT 1", (workflow,)).fetchone()
    return row is not None


def names(source: Source) -> list[str]:
    """Return the names of all registered workflows, in order."""
    rows = source.execute("SELECT DISTINCT workflow FROM definitions ORDER BY workflow")
    return [workflow for (workflow,) in rows]
