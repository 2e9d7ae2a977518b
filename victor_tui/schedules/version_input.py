"""The version field of a schedule: it lists the versions and aliases of the workflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from textual import work

from victor_engine.api import AliasInfo, VersionInfo
from victor_engine.errors import VictorError
from victor_tui.app_context import Console
from victor_tui.widgets.choice_input import Choice, ChoiceInput


def version_choices(versions: Sequence[VersionInfo], aliases: Sequence[AliasInfo]) -> list[Choice]:
    """Return what the version field accepts: `latest`, the aliases, and the versions that can start runs."""
    current = next((each.version for each in versions if each.current), "")
    return [
        Choice("latest", f"now {current}" if current else "the newest version"),
        *(Choice(each.name, f"alias of {each.version}") for each in aliases),
        *(
            Choice(each.version, "current" if each.current else "deprecated" if each.deprecated else "")
            for each in versions
            if not each.removed
        ),
    ]


class VersionInput(ChoiceInput):
    """The field `#version`, with the versions of `workflow`."""

    def __init__(self, value: str, workflow: str) -> None:
        super().__init__(value, placeholder="latest", id="version", compact=True)
        self._workflow = workflow

    def on_mount(self) -> None:
        if self._workflow:
            self.offer_versions(self._workflow)

    @work(group="versions", exclusive=True)
    async def offer_versions(self, workflow: str) -> None:
        """Offer the versions and aliases of a workflow."""
        console = cast("Console", self.app)
        try:
            found = await console.port.workflows(workflow)
            aliases = await console.port.aliases(workflow)
        except VictorError as error:
            console.report(error)
            return
        self.offer(version_choices(found[0].versions if found else (), aliases))
