"""The services of an engine. Each implements the actions of one part of the port."""

from __future__ import annotations

from dataclasses import dataclass

from victor_engine.engine.requests import RequestService
from victor_engine.engine.runs import RunService
from victor_engine.engine.schedules import ScheduleService
from victor_engine.engine.versions import VersionService


@dataclass(frozen=True, slots=True)
class Services:
    """The actions of the port, by part."""

    runs: RunService
    schedules: ScheduleService
    requests: RequestService
    versions: VersionService
