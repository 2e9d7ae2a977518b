"""The exclusion calendars of a workspace: from `victor.yaml`, YAML files and iCalendar files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from victor_engine.config.model import CalendarSource
from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.errors import UsageError, VictorError
from victor_engine.scheduling.calendars.spans import Calendar
from victor_engine.scheduling.calendars.yaml_calendars import SUFFIXES, from_block, from_file


class Calendars:
    """The calendars of a workspace by name. The error of a calendar is raised when the calendar is used.

    `known` has the declared calendars that were read already; `read_file` reads other files.
    """

    def __init__(
        self,
        sources: Mapping[str, CalendarSource],
        workspace: Path,
        *,
        known: Mapping[str, Calendar | VictorError] | None = None,
        read_file: Callable[[str, Path], Calendar] = from_file,
    ) -> None:
        self._workspace = workspace
        self._sources = dict(sources)
        self._known: dict[str, Calendar | VictorError] = dict(known or {})
        self._names = sorted({*sources, *self._known})
        self._read_file = read_file

    def names(self) -> Sequence[str]:
        return self._names

    def errors(self) -> dict[str, VictorError]:
        """Return the errors of the declared calendars, by name."""
        found: dict[str, VictorError] = {}
        for name in self.names():
            try:
                self.get(name)
            except VictorError as error:
                found[name] = error
        return found

    def get(self, name: str) -> Calendar:
        """Return a declared calendar, or a file of the workspace by its path.

        Raise UsageError or ConfigError if it does not exist or cannot be read.
        """
        known = self._known.get(name)
        if known is None:
            try:
                known = self._load(name)
            except VictorError as error:
                known = error
            self._known[name] = known
        if isinstance(known, VictorError):
            raise known
        return known

    def _load(self, name: str) -> Calendar:
        source = self._sources.get(name)
        if source is not None and not isinstance(source.value, str):
            return from_block(name, source.value, source.source, source.key_path)
        given = source.value if source is not None else name
        if not str(given).endswith(SUFFIXES):
            if source is not None:
                raise source.source.fail(
                    source.key_path,
                    f"calendars.{name}: {given!r} is not a calendar file",
                    "Name a .yaml or .ics file",
                )
            hint = did_you_mean(name, self._names) or "Declare it under calendars: in victor.yaml"
            raise UsageError(f"the calendar {name!r} does not exist. {hint}")
        path = (self._workspace / str(given)).resolve()
        if not path.is_relative_to(self._workspace.resolve()):
            raise UsageError(
                f"calendar {name!r}: {given} is outside the workspace; move the file into the workspace"
            )
        return self._read_file(name, path)
