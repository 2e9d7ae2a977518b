"""The queries of the port on the store, which are the same with and without an engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from victor_engine.api import Actor
from victor_engine.clock import Clock
from victor_engine.config import Config
from victor_engine.engine.queries.reader import Reader, StoreReader
from victor_engine.engine.queries.requests import NoneOf, RequestQueries, reach_all
from victor_engine.engine.queries.runs import RunQueries
from victor_engine.engine.queries.schedules import ScheduleQueries, exclusion
from victor_engine.engine.queries.search import SearchQueries
from victor_engine.engine.queries.stored_problems import stored_problems
from victor_engine.engine.queries.versions import (
    Problems,
    VersionQueries,
    no_problems,
)
from victor_engine.people.groups import Groups
from victor_engine.runs.redrive import CheckStart
from victor_engine.scheduling.calendars.workspace_calendars import Calendars
from victor_engine.versioning.pruning import Declared
from victor_engine.work.migration_functions import MigrationFunctions, NoFunctions

__all__ = [
    "Queries",
    "Reader",
    "RequestQueries",
    "RunQueries",
    "ScheduleQueries",
    "SearchQueries",
    "StoreReader",
    "VersionQueries",
    "exclusion",
    "stored_problems",
]


@dataclass(frozen=True, slots=True)
class Queries:
    """The queries of a port. They write nothing."""

    runs: RunQueries
    schedules: ScheduleQueries
    requests: RequestQueries
    versions: VersionQueries
    search: SearchQueries

    @classmethod
    def over(
        cls,
        reader: Reader,
        clock: Clock,
        *,
        calendars: Callable[[], Calendars],
        config: Callable[[], Config],
        roles: Callable[[], Mapping[str, tuple[str, ...]]],
        groups: Groups,
        anyone: Callable[[Actor], Awaitable[bool]],
        watched: bool,
        problems: Problems = no_problems,
        migration_functions: MigrationFunctions | None = None,
        declared: Declared = frozenset,
        check_start: CheckStart | None = None,
        none_of: NoneOf = reach_all,
        untrusted: Callable[[], str] = str,
    ) -> Queries:
        """Return the queries that use `reader`.

        `watched` is whether an engine runs on the store. `check_start` raises DefinitionError for a definition on
        which no run can start here; without it, because no bindings are loaded, this is not checked.
        """
        return cls(
            RunQueries(reader, clock, lambda: config().retention, check_start),
            ScheduleQueries(
                reader,
                clock,
                calendars,
                lambda: config().scheduler.defaults.as_block(),
                watched=watched,
                untrusted=untrusted,
            ),
            RequestQueries(reader, roles, groups, anyone, clock, none_of),
            VersionQueries(
                reader, clock, problems, migration_functions or NoFunctions(), declared, check_start
            ),
            SearchQueries(reader),
        )
