"""The version field of the dialogs that redrive or rerun a run."""

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
"""Maximum length of a state that the dialog can edit, in characters."""

SHOWN = 200
"""Maximum number of visible lines of a diff."""


def changed_lines(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return a unified diff of the changed keys only, so that the cost depends on the change."""
    missing = object()
    keys = [key for key in {**before, **after} if before.get(key, missing) != after.get(key, missing)]
    old = {key: before[key] for key in keys if key in before}
    new = {key: after[key] for key in keys if key in after}
    return state_diff(old, new)


def version_options(run: RunInfo, known: Iterable[VersionInfo]) -> list[tuple[Content, str]]:
    """Return the options of the version field, the version of the run first."""
    return [
        (Content(f"{one_line(run.version, 60)} (unchanged)"), run.version),
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
    """A dialog on one run with a `#version` field. Dismisses with the resulting run, or None."""

    def __init__(self, detail: RunDetail) -> None:
        super().__init__()
        self.detail = detail

    def on_mount(self) -> None:
        self._read_versions()

    @work(group="preview")
    async def _read_versions(self) -> None:
        """Load the versions of the workflow into the field. Until then it has the version of the run only."""
        run = self.detail.run
        try:
            found = await self.port.workflows(run.workflow)
        except VictorError as error:
            self.show_error(error.message)
            return
        options = version_options(run, found[0].versions if found else ())
        self.query_one("#version", Select).set_options(options)
