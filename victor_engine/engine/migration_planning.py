"""Which runs and schedules a migration is about, and how each of them gets there."""

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
from victor_engine.runs.migration import Plan, Resting, Way, plan, read_run
from victor_engine.scheduling.plan_fingerprints import spec_facts
from victor_engine.store import queries
from victor_engine.store.repositories import schedules
from victor_engine.versioning import aliases, catalog
from victor_engine.versioning.diff import change_lines
from victor_engine.versioning.migration_steps import MigrationError

KIND = "migration"
"""The kind of the plans that are made here."""

DETAILED = 20
"""Up to how many runs each step is told of."""


ScheduleChange = tuple[ScheduleMove, ScheduleSpec, ScheduleSpec]
"""What becomes of a schedule, the spec that it has, and the one that it would get."""

_WAY = "way from "
_STANDING = ("status", "at")


def run_facts(planned: Plan) -> plans.Facts:
    """Return what the move of a run depends on."""
    run = planned.run
    return {
        "status": run.status,
        "at": ", ".join(jsonio.loads(run.position)["frontier"]),
        "version": planned.way.from_version,
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
    """Return what the move of a schedule depends on."""
    return {"version": "latest", **spec_facts(spec)}


def what_changed(was: plans.Facts, now: plans.Facts | None) -> str:
    """Return in words what changed of a run or schedule since it was planned; empty if nothing did."""
    return plans.what_changed(was, now, _STANDING)


def detailed(spec: MigrationSpec, count: int) -> bool:
    """Whether each step is told: as is asked for, else of a few runs."""
    return spec.detail if spec.detail is not None else count <= DETAILED


class Planner:
    """Plans on one snapshot of the store; what several runs share is looked up once."""

    def __init__(
        self, connection: sqlite3.Connection, spec: MigrationSpec, now: datetime, load: catalog.Load | None
    ) -> None:
        if not (spec.run_ids or spec.from_version or spec.schedule_ids):
            raise UsageError("say what is to move: runs by id, or all that wait on a version")
        if spec.schedules and spec.from_version is None:
            raise UsageError("schedules are taken along from a version; name it, or name the schedules")
        self.connection = connection
        self.spec = spec
        self.now = now
        self._load = load
        self._definitions: dict[int, tuple[WorkflowDefinition, str]] = {}
        self._ways: dict[int, Way | VictorError] = {}
        # Nothing new starts on what is removed: neither what moves there.
        self.target = catalog.resolve(connection, spec.workflow, spec.to_version)
        self.to_version = self.target.version
        self.not_found: list[RunMove] = []
        self._registry = catalog.load_registry(connection, spec.workflow)
        self._ids = queries.version_ids(connection, spec.workflow)
        self.from_version = None if spec.from_version is None else self._known(spec.from_version)

    # --- what is shown and then applied --------------------------------------------------------

    def document(self, runs: Sequence[Plan], schedules: Sequence[ScheduleChange]) -> plans.Plan:
        """Return what is shown of runs and schedules as a plan."""
        items = [
            plans.PlanItem(f"run {move.run_id}", {}, "", move.reason or "there is no such run")
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
        starts = {each.way.from_version for each in runs if each.ready}
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
            "schedules": "all that start it" if spec.schedules else ", ".join(spec.schedule_ids),
        }

    def _target(self, starts: set[str]) -> plans.Facts:
        """Return the version that is moved to, and the migrations that lead there from each of some versions."""
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
        found = catalog.meant(self.connection, self.spec.workflow, spec)
        version = found if found is not None and found != "latest" else self.to_version
        if version not in self._ids:
            have = ", ".join(sorted(self._ids))
            raise NotFoundError(f"{self.spec.workflow} has no version {spec}; there are {have}")
        return version

    # --- runs ----------------------------------------------------------------------------------

    def keys(self) -> list[int]:
        """The runs in question. Ids that name none are in `not_found`."""
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
        """A dry run for each."""
        detail = detailed(self.spec, len(keys))
        for key in keys:
            yield self.plan(key, detail)

    def plan(self, key: int, detail: bool) -> Plan:
        run = read_run(self.connection, key)
        way = self._way(run)
        if isinstance(way, Way):
            return plan(run, way, self.now, detail=detail)
        definition, version = self._definition(run.ref.definition_id)
        nowhere = Way(definition, version, definition, self.to_version, 0, [], lambda _: None)
        move = RunMove(
            run.ref.id, version, self.to_version, "refused", run_status=run.status, reason=way.message
        )
        return Plan(run, nowhere, move)

    def _way(self, run: Resting) -> Way | VictorError:
        definition_id = run.ref.definition_id
        if definition_id not in self._ways:
            try:
                self._ways[definition_id] = self._find_way(run)
            except VictorError as error:
                self._ways[definition_id] = error
        return self._ways[definition_id]

    def _find_way(self, run: Resting) -> Way:
        source, version = self._definition(run.ref.definition_id)
        if run.ref.workflow != self.spec.workflow:
            raise UsageError(f"it is a run of {run.ref.workflow}, not of {self.spec.workflow}")
        if version == self.to_version:
            raise UsageError(f"it is on {version} already")
        between = (self._registry, self.spec.workflow, version, self.to_version)
        path = catalog.migration_path(*between, self._load)
        target, _ = self._definition(self.target.id)
        return Way(
            source,
            version,
            target,
            self.to_version,
            self.target.id,
            path,
            self._by_version,
            catalog.other_paths(*between),
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
        """What becomes of each schedule, with the spec that it would get."""
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
        """As `schedules`, of one by its whole id; None if it is gone."""
        spec = dict(schedules.specs_of(self.connection, self.spec.workflow)).get(schedule_id)
        if spec is None:
            return None
        move, changed = self._schedule(schedule_id, spec, self._starts(spec.version))
        return move, spec, changed

    def _starts(self, spec: str | None) -> str | None:
        try:
            return catalog.resolve(self.connection, self.spec.workflow, spec).version
        except VictorError:
            return catalog.meant(self.connection, self.spec.workflow, spec)

    def _schedule(
        self, schedule_id: str, spec: ScheduleSpec, starts: str | None
    ) -> tuple[ScheduleMove, ScheduleSpec]:
        def refused(reason: str) -> tuple[ScheduleMove, ScheduleSpec]:
            was = spec.version or "latest"
            return ScheduleMove(schedule_id, was, self.to_version, "refused", reason), spec

        if aliases.is_alias_name(spec.version):
            return refused(f"it starts by alias {spec.version!r}; point that at {self.to_version}")
        if starts == self.to_version:
            return refused(f"it starts {self.to_version} already")
        if starts is None:
            return refused("it starts no version that is known")
        try:
            path = catalog.migration_path(
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
