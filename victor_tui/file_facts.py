"""The difference between the files of a workflow and its version in force, as previews show it."""

from __future__ import annotations

from victor_engine.api import EngineInfo
from victor_tui.widgets.preview import Facts


def files_facts(facts: Facts, engine: EngineInfo | None, workflow: str) -> Facts:
    """Add the difference between the files of a workflow and its version in force."""
    found = engine.files.of(workflow) if engine is not None and engine.files is not None else None
    if found is not None:
        facts.text(f"≠ files {found.state}: {found.text}", "bad" if found.state == "error" else "warn")
    return facts
