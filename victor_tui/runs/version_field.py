"""What dialogs share that start something on the run's own version or on another one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from textual import work
from textual.content import Content
from textual.widgets import Select

from victor_engine.api import RunDetail, RunInfo, VersionInfo
from victor_engine.errors import VictorError
from victor_tui.dialogs.base import SendingDialog
from victor_tui.text import one_line
from victor_tui.versions.migrate_dialog import state_diff

EDITABLE = 200_000
"""Characters of a state that can be edited here; a larger one is edited in a file."""

SHOWN = 200
"""Lines of a difference that are shown."""


def changed_lines(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """A unified diff of those keys that differ, so that its cost follows the change."""
    missing = object()
    keys = [key for key in {**before, **after} if before.get(key, missing) != after.get(key, missing)]
    old = {key: before[key] for key in keys if key in before}
    new = {key: after[key] for key in keys if key in after}
    return state_diff(old, new)


def version_options(run: RunInfo, known: Iterable[VersionInfo]) -> list[tuple[Content, str]]:
    """Versions to choose from, the run's own first."""
    return [
        (Content(f"{one_line(run.version, 60)} (its own)"), run.version),
        *(
            (
                Content(f"{one_line(version.version, 60)}{' (current)' if version.current else ''}"),
                version.version,
            )
            for version in known
            if version.version != run.version
        ),
    ]


class VersionedDialog(SendingDialog[RunInfo | None]):
    """A dialog on one run with a `#version` to choose. Dismisses with the run that goes on, or None."""

    def __init__(self, detail: RunDetail) -> None:
        super().__init__()
        self.detail = detail

    def on_mount(self) -> None:
        self._read_versions()

    @work(group="preview")
    async def _read_versions(self) -> None:
        """Offer what the workflow has; until then, and where it cannot be read, the run's own version."""
        run = self.detail.run
        try:
            found = await self.port.workflows(run.workflow)
        except VictorError as error:
            self.fault(error.message)
            return
        options = version_options(run, found[0].versions if found else ())
        self.query_one("#version", Select).set_options(options)
