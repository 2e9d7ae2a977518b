"""The plan of a migration: its runs and schedules, and the migration path of each."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from victor_engine import jsonio
from victor_engine.api import MigrationSpec, RunMove, ScheduleMove, ScheduleSpec
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.domain import plans
from victor_engine.errors import NotFoundError, UsageError, VictorError
from victor_engine.runs.migration import MigratableRun, Plan, Route, plan, read_run
from victor_engine.scheduling.plan_fingerprints import spec_facts
from victor_engine.store import queries
from victor_engine.store.repositories import schedules
from victor_engine.versioning import aliases, catalog, stored_migrations
from victor_engine.versioning.diff import change_lines
from victor_engine.versioning.migration_steps import MigrationError
from victor_engine.work.migration_functions import Calls

KIND = "migration"
"""The kind of these plans."""

DETAILED = 20
"""Maximum number of runs for which the result has each step by default."""


ScheduleChange = tuple[ScheduleMove, ScheduleSpec, ScheduleSpec]
"""The result for a schedule, its current spec, and its new spec."""

_WAY = "way from "
_STANDING = ("status", "at")


def run_facts(planned: Plan) -> plans.Facts:
    """Return the facts that the migration of a run depends on."""
    run = planned.run
    return {
        "status": run.status,
        "at": ", ".join(jsonio.loads(run.position)["frontier"]),
        "version": planned.route.from_version,
        "revision": run.revision,
        "last_attempt": run.last_attempt,
        "attempts": ", ".join(each.status for each in run.live),
        "questions": ", ".join(
            f"{each.question.status} (revision {each.question.revision}, votes {each.question.votes})"
            for each in run.live
            if each.question is not None
        ),
    }


def schedule_facts(spec: ScheduleSpec) -> plans.Facts:
    """Return the facts that the migration of a schedule depends on."""
    return {"version": "latest", **spec_facts(spec)}


def what_changed(was: plans.Facts, now: plans.Facts | None) -> str:
    """Return a description of the changes of a run or schedule since the plan; empty without changes."""
    return plans.what_changed(was, now, _STANDING)


def detailed(spec: MigrationSpec, count: int) -> bool:
    """Return whether the result has each step: as the spec requires, or by default for few runs."""
    return spec.detail if spec.detail is not None else count <= DETAILED


class Planner:
    """The planner of a migration on one snapshot of the store. It caches definitions and migration paths."""

    def __init__(
        self, connection: sqlite3.Connection, spec: MigrationSpec, now: datetime, calls: Calls | None
    ) -> None:
        if not (spec.run_ids or spec.from_version or spec.schedule_ids):
            raise UsageError("a migration needs run ids, a version to migrate from, or schedule ids")
        if spec.schedules and spec.from_version is None:
            raise UsageError("`schedules` needs a version to migrate from; give it, or give schedule ids")
        self.connection = connection
        self.spec = spec
        self.now = now
        self._load = None if calls is None else calls.load
        self._definitions: dict[int, tuple[WorkflowDefinition, str]] = {}
        self._routes: dict[int, Route | VictorError] = {}
        # Runs cannot migrate to a removed version, because new runs cannot start on it either.
        self.target = catalog.resolve(connection, spec.workflow, spec.to_version)
        self.to_version = self.target.version
        self.not_found: list[RunMove] = []
        self._registry = stored_migrations.load_registry(connection, spec.workflow)
        self._ids = queries.version_ids(connection, spec.workflow)
        self.from_version = None if spec.from_version is None else self._known(spec.from_version)

    # --- the plan ------------------------------------------------------------------------------

    def document(self, runs: Sequence[Plan], schedules: Sequence[ScheduleChange]) -> plans.Plan:
        """Return the results for runs and schedules as a plan."""
        items = [
            plans.PlanItem(f"run {move.run_id}", {}, "", move.reason or "the run does not exist")
            for move in self.not_found
        ]
        for each in runs:
            move = each.move
            effect = ", ".join(move.path) if each.ready else ""
            items.append(plans.PlanItem(f"run {move.run_id}", run_facts(each), effect, move.reason))
        for moved, spec, _ in schedules:
            effect = f"{moved.from_version}->{moved.to_version}" if moved.outcome == "ready" else ""
            items.append(
                plans.PlanItem(f"schedule {moved.schedule_id}", schedule_facts(spec), effect, moved.reason)
            )
        starts = {each.route.from_version for each in runs if each.ready}
        for moved, spec, _ in schedules:
            version = self._starts(spec.version) if moved.outcome == "ready" else None
            starts |= {version} if version is not None else set()
        return plans.plan_of(KIND, self.now, rule=self._rule(), target=self._target(starts), items=items)

    def check(self, plan: plans.Plan) -> None:
        """Raise PlanChangedError if the target, the rule or the migrations are not those of the plan."""
        starts = {name.removeprefix(_WAY) for name in plan.target if name.startswith(_WAY)}
        plan.check(self._rule(), self._target(starts))

    def _rule(self) -> plans.Facts:
        spec = self.spec
        return {
            "workflow": spec.workflow,
            "from_version": self.from_version,
            "runs": ", ".join(spec.run_ids),
            "schedules": "all that use it" if spec.schedules else ", ".join(spec.schedule_ids),
        }

    def _target(self, starts: set[str]) -> plans.Facts:
        """Return the target version, and the migrations that lead to it from each of the given versions."""
        checksum = queries.checksum_of(self.connection, self.target.id)
        found: plans.Facts = {"to_version": self.to_version, "checksum": checksum[:12]}
        for version in sorted(starts):
            try:
                path = self._registry.get_migration_path(self.spec.workflow, version, self.to_version)
            except MigrationError as error:
                found[f"{_WAY}{version}"] = error.message
            else:
                found[f"{_WAY}{version}"] = ", ".join(f"{m.migration_id} ({m.checksum[:8]})" for m in path)
        return found

    def _known(self, spec: str) -> str:
        found = catalog.version_to_show(self.connection, self.spec.workflow, spec)
        version = found if found is not None and found != "latest" else self.to_version
        if version not in self._ids:
            known = ", ".join(sorted(self._ids))
            raise NotFoundError(f"{self.spec.workflow} has no version {spec}; its versions are {known}")
        return version

    # --- runs ----------------------------------------------------------------------------------

    def keys(self) -> list[int]:
        """Return the keys of the runs to migrate. Put ids that do not exist into `not_found`."""
        found: dict[int, None] = {}
        for given in self.spec.run_ids:
            try:
                run = queries.run_ref(self.connection, given)
            except VictorError as error:
                self.not_found.append(RunMove(given, "", self.to_version, "refused", reason=error.message))
                continue
            found[run.key] = None
        if self.from_version is not None:
            definition_id = self._ids[self.from_version]
            found |= dict.fromkeys(queries.movable_runs(self.connection, self.spec.workflow, definition_id))
        return sorted(found)

    def plans(self, keys: Sequence[int]) -> Iterator[Plan]:
        """Yield a dry run for each run."""
        detail = detailed(self.spec, len(keys))
        for key in keys:
            yield self.plan(key, detail)

    def plan(self, key: int, detail: bool) -> Plan:
        run = read_run(self.connection, key)
        route = self._route(run)
        if isinstance(route, Route):
            return plan(run, route, self.now, detail=detail)
        definition, version = self._definition(run.ref.definition_id)
        no_path = Route(definition, version, definition, self.to_version, 0, [], lambda _: None)
        move = RunMove(
            run.ref.id, version, self.to_version, "refused", run_status=run.status, reason=route.message
        )
        return Plan(run, no_path, move)

    def _route(self, run: MigratableRun) -> Route | VictorError:
        definition_id = run.ref.definition_id
        if definition_id not in self._routes:
            try:
                self._routes[definition_id] = self._find_route(run)
            except VictorError as error:
                self._routes[definition_id] = error
        return self._routes[definition_id]

    def _find_route(self, run: MigratableRun) -> Route:
        source, version = self._definition(run.ref.definition_id)
        if run.ref.workflow != self.spec.workflow:
            raise UsageError(f"the run is of workflow {run.ref.workflow}, not of {self.spec.workflow}")
        if version == self.to_version:
            raise UsageError(f"the run is already on {version}")
        between = (self._registry, self.spec.workflow, version, self.to_version)
        path = stored_migrations.migration_path(*between, self._load)
        target, _ = self._definition(self.target.id)
        return Route(
            source,
            version,
            target,
            self.to_version,
            self.target.id,
            path,
            self._by_version,
            stored_migrations.other_paths(*between),
        )

    def _definition(self, definition_id: int) -> tuple[WorkflowDefinition, str]:
        if definition_id not in self._definitions:
            self._definitions[definition_id] = catalog.load_definition(self.connection, definition_id)
        return self._definitions[definition_id]

    def _by_version(self, version: str) -> WorkflowDefinition | None:
        definition_id = self._ids.get(version)
        return None if definition_id is None else self._definition(definition_id)[0]

    # --- schedules -----------------------------------------------------------------------------

    def schedules(self) -> list[ScheduleChange]:
        """Return the result for each schedule, with its new spec."""
        found = []
        known = schedules.specs_of(self.connection, self.spec.workflow)
        exact = {schedule_id for schedule_id, _ in known} & set(self.spec.schedule_ids)
        parts = tuple(given for given in self.spec.schedule_ids if given not in exact)
        for schedule_id, spec in known:
            named = schedule_id in exact or schedule_id.startswith(parts)
            starts = self._starts(spec.version)
            if named or (self.spec.schedules and starts == self.from_version):
                move, changed = self._schedule(schedule_id, spec, starts)
                found.append((move, spec, changed))
        return found

    def schedule(self, schedule_id: str) -> ScheduleChange | None:
        """Return the result for one schedule by its full id, as `schedules` does; None if it does not exist."""
        spec = dict(schedules.specs_of(self.connection, self.spec.workflow)).get(schedule_id)
        if spec is None:
            return None
        move, changed = self._schedule(schedule_id, spec, self._starts(spec.version))
        return move, spec, changed

    def _starts(self, spec: str | None) -> str | None:
        try:
            return catalog.resolve(self.connection, self.spec.workflow, spec).version
        except VictorError:
            return catalog.version_to_show(self.connection, self.spec.workflow, spec)

    def _schedule(
        self, schedule_id: str, spec: ScheduleSpec, starts: str | None
    ) -> tuple[ScheduleMove, ScheduleSpec]:
        def refused(reason: str) -> tuple[ScheduleMove, ScheduleSpec]:
            old = spec.version or "latest"
            return ScheduleMove(schedule_id, old, self.to_version, "refused", reason), spec

        if aliases.is_alias_name(spec.version):
            return refused(f"the schedule uses alias {spec.version!r}; set that alias to {self.to_version}")
        if starts == self.to_version:
            return refused(f"the schedule already uses {self.to_version}")
        if starts is None:
            return refused(f"version {spec.version} of the schedule does not exist")
        try:
            path = stored_migrations.migration_path(
                self._registry, self.spec.workflow, starts, self.to_version, self._load
            )
            state = dict(spec.initial_state)
            for migration in path:
                state = migration.apply_to_state(state)
        except VictorError as error:
            return refused(error.message)
        changed = msgspec.structs.replace(spec, version=self.to_version, initial_state=state)
        move = ScheduleMove(
            schedule_id,
            spec.version or "latest",
            self.to_version,
            "ready",
            changes=tuple(change_lines(spec.initial_state, state)),
        )
        return move, changed
