"""The facts of schedules and backfills in plans, and their comparison with the store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from victor_engine import jsonio
from victor_engine.api import BackfillSpec, ScheduleSpec
from victor_engine.domain import plans
from victor_engine.errors import ConflictError, ItemChangedError
from victor_engine.scheduling.timing import Nominal

BACKFILL = "backfill"
"""The kind of the plans of backfills."""

EDIT = "schedule edit"
"""The kind of the plans of edits."""

_LONG = 80
"""Characters of a setting above which the plan has its digest instead."""


def spec_facts(spec: ScheduleSpec) -> plans.Facts:
    """Return the settings of a schedule that differ from the defaults, each as text."""
    return {name: _text(value) for name, value in msgspec.to_builtins(spec).items() if name != "workflow"}


def _text(value: object) -> str:
    text = value if isinstance(value, str) else jsonio.canonical(value).decode()
    return text if len(text) <= _LONG else f"digest {jsonio.digest(value)[:12]}"


# --- edits ---------------------------------------------------------------------------------------


def edit_plan(
    schedule_id: str,
    stored: ScheduleSpec,
    new: ScheduleSpec,
    version: str | None,
    changes: str,
    now: datetime,
) -> plans.Plan:
    """Return the plan of an edit. `version` is the version that the new spec starts, `changes` the effect in words."""
    item = plans.PlanItem(schedule_id, spec_facts(stored), changes or "nothing")
    return plans.plan_of(
        EDIT, now, rule={"schedule": schedule_id}, target=_edit_target(new, version), items=[item]
    )


def edited_spec(plan: plans.Plan) -> ScheduleSpec:
    """Return the new spec of a plan of an edit."""
    return msgspec.json.decode(str(plan.target["spec"]), type=ScheduleSpec)


def check_edit(
    plan: plans.Plan, schedule_id: str, stored: ScheduleSpec, new: ScheduleSpec, version: str | None
) -> None:
    """Raise ItemChangedError if the schedule has changed since the plan, and PlanChangedError if the edit differs."""
    plan.check({"schedule": schedule_id}, {**plan.target})
    (item,) = plan.items
    changed = plans.what_changed(item.facts, spec_facts(stored))
    if changed:
        raise ItemChangedError(f"schedule {schedule_id} is {plans.left_out(changed)}", changed=changed)
    plan.check({"schedule": schedule_id}, _edit_target(new, version))


def _edit_target(new: ScheduleSpec, version: str | None) -> plans.Facts:
    return {"spec": msgspec.json.encode(new).decode(), "starts_version": version}


# --- backfills -----------------------------------------------------------------------------------

FireRuns = Mapping[tuple[str, int], tuple[str, str]]
"""The status and id of the run of each fire that has one, by local time and fold."""


def backfill_plan(
    spec: BackfillSpec,
    schedule: ScheduleSpec,
    version: str | None,
    fires: tuple[Nominal, ...],
    runs: FireRuns,
    now: datetime,
) -> plans.Plan:
    """Return the plan of a backfill. Its items are the fires, in the order in which they run."""
    return plans.plan_of(
        BACKFILL,
        now,
        rule=_rule(spec),
        target=_target(schedule, version),
        options={"order": spec.order, "concurrency": spec.concurrency},
        items=[plans.PlanItem(name, _fire_facts(name, runs), "run") for name in map(_name, fires)],
    )


def backfill_spec(plan: plans.Plan) -> BackfillSpec:
    """Return the backfill of a plan."""
    return msgspec.convert({**plan.rule, **plan.options}, BackfillSpec)


def still_planned(
    plan: plans.Plan,
    spec: BackfillSpec,
    schedule: ScheduleSpec,
    version: str | None,
    fires: tuple[Nominal, ...],
    runs: FireRuns,
) -> tuple[tuple[Nominal, ...], tuple[str, ...]]:
    """Return the unchanged fires of a plan, in its order, and the changes of the other fires, in words.

    `fires` are the fires that the backfill would run now. Raise PlanChangedError if the schedule, its version or the
    backfill differs from the plan, and ConflictError if no fire is unchanged.
    """
    plan.check(
        _rule(spec), _target(schedule, version), {"order": spec.order, "concurrency": spec.concurrency}
    )
    now = {_name(nominal): nominal for nominal in fires}
    kept: list[Nominal] = []
    changed: list[str] = []
    for item in plan.items:
        nominal = now.get(item.id)
        words = plans.what_changed(item.facts, _fire_facts(item.id, runs))
        if not words and nominal is not None:
            kept.append(nominal)
        else:
            changed.append(f"{item.id}: {words or 'a calendar excludes it now'}")
    if not kept:
        raise ConflictError(
            f"nothing to run: all {len(changed)} fires of plan {plan.digest} have changed ({changed[0]}); plan again",
            changed=changed,
        )
    return tuple(kept), tuple(changed)


def _rule(spec: BackfillSpec) -> plans.Facts:
    return {
        "schedule_id": spec.schedule_id,
        "start": spec.start.isoformat(),
        "end": spec.end.isoformat(),
        "redo": spec.redo,
    }


def _target(schedule: ScheduleSpec, version: str | None) -> plans.Facts:
    return {**spec_facts(schedule), "starts_version": version}


def _name(nominal: Nominal) -> str:
    return f"{nominal.local}#{nominal.fold}" if nominal.fold else nominal.local


def _fire_facts(name: str, runs: FireRuns) -> plans.Facts:
    local, _, fold = name.partition("#")
    known = runs.get((local, int(fold or 0)))
    return {} if known is None else {"run": f"{known[0]} ({known[1]})"}
