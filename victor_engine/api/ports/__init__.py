"""The protocols that declare the port: each method once, with its mark."""

from victor_engine.api.ports.engine import EnginePort
from victor_engine.api.ports.people import PeoplePort
from victor_engine.api.ports.runs import RunsPort
from victor_engine.api.ports.schedules import SchedulesPort
from victor_engine.api.ports.search import SearchPort
from victor_engine.api.ports.versions import VersionsPort

__all__ = ["EnginePort", "PeoplePort", "RunsPort", "SchedulesPort", "SearchPort", "VersionsPort"]
