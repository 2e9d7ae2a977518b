"""Plans of a command on several runs: its effect on each run, and the check that the run is unchanged."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from victor_engine import jsonio
from victor_engine.api import RunPlanCommand, RunPlanItem, RunsPlan
from victor_engine.domain import plans
from victor_engine.domain.statuses import RunStatus
from victor_engine.domain.transitions import RunCommand, refusal
from victor_engine.errors import ItemChangedError, PlanChangedError, PlanTokenError, VictorError
from victor_engine.runs.commands import Redrive
from victor_engine.runs.redrive import CheckStart, why_not
from victor_engine.store import queries
from victor_engine.store.db import Tx
from victor_engine.store.repositories import attempt_rows, run_rows
from victor_engine.store.repositories.deadletters import PART_OF_A_RUN, is_dead_letter
from victor_engine.store.repositories.run_rows import StoredRun
from victor_engine.store.state import given_state, run_state
from victor_engine.store.stored_position import position_of
from victor_engine.versioning import catalog

Expect = Callable[[Tx, StoredRun], None]
"""Raises ConflictError in the transition of a command if the run is not as the plan showed it."""

_STANDING = ("status", "at")
_NAMED = 10

_EFFECTS: dict[RunPlanCommand, str] = {
    "cancel": "ends",
    "pause": "pauses before its next node",
    "resume": "continues{at}",
    "retry": "retries{at}",
    "redrive": "continues{at}",
    "rerun": "starts a new run with the same input",
    "discard": "leaves the list of dead letters",
}
_CANCELS: dict[str, str] = {
    RunStatus.RUNNING: "ends, with its active attempts{at}",
    RunStatus.PAUSING: "ends, with its active attempts{at}",
    RunStatus.WAITING: "ends, and its wait{at} is cancelled",
    RunStatus.CANCELLING: "is force-killed",
}
_AT_REST: tuple[RunPlanCommand, ...] = ("resume", "retry", "redrive", "rerun", "discard")
"""Commands on runs that are not active: a later revision or attempt is a change."""


def kind(command: RunPlanCommand) -> str:
    """Return the kind of the plans of a command, such as `retry of runs`."""
    return f"{command} of runs"


def plan_runs(
    connection: sqlite3.Connection,
    command: RunPlanCommand,
    run_ids: Sequence[str],
    version: str | None,
    from_node: str | None,
    states: Mapping[str, Mapping[str, Any]] | None,
    now: datetime,
    check: CheckStart | None = None,
) -> RunsPlan:
    """Return the effect of a command on each run. If it has none, the item gives the reason.

    `states` maps run ids, as given, to the whole new states of the runs. `check` raises DefinitionError for a
    definition on which no run can start here.
    """
    items: list[plans.PlanItem] = []
    shown: list[RunPlanItem] = []
    target: plans.Facts = {}
    for given in dict.fromkeys(run_ids):
        try:
            ref = queries.run_ref(connection, given)
        except VictorError as error:
            shown.append(RunPlanItem(given, reason=error.message))
            continue
        stored = run_rows.stored(connection, ref.key)
        facts = run_facts(connection, stored, command)
        reason = _refusal(connection, stored, command)
        if version is not None and not reason:
            target[_version_of(stored.workflow)] = catalog.resolve(
                connection, stored.workflow, version
            ).version
        if command == "redrive" and not reason:
            why = why_not(connection, stored, Redrive(stored.id, from_node, version=version), check)
            reason = f"cannot continue there: {why}" if why else ""
        effect = "" if reason else _effect(command, facts, from_node)
        if effect and version is not None:
            effect += f" on version {target[_version_of(stored.workflow)]}"
        state = (states or {}).get(given)
        if effect and state is not None:
            effect += _edit(_state_before(connection, stored, command), state)
        items.append(plans.PlanItem(stored.id, facts, effect, reason, _digest(state)))
        shown.append(
            RunPlanItem(
                stored.id,
                stored.workflow,
                str(facts["version"]),
                stored.status,
                str(facts["at"]),
                effect,
                reason,
            )
        )
    plan = plans.plan_of(
        kind(command), now, rule={}, target=target, options=_options(version, from_node), items=items
    )
    tokens = {item.id: plan.only(item).token() for item in items if item.effect}
    return RunsPlan(
        command,
        tuple(msgspec.structs.replace(item, plan=tokens.get(item.run_id, "")) for item in shown),
        plan.token() if tokens else "",
    )


def expect(
    token: str,
    command: RunPlanCommand,
    now: datetime,
    *,
    version: str | None = None,
    from_node: str | None = None,
    state: Mapping[str, Any] | None = None,
) -> Expect:
    """Return the check that a run is as the plan showed it, for the transition of the command.

    Raise PlanTokenError or PlanExpiredError if the token cannot be applied. The check raises ItemChangedError if the
    run has changed, and PlanChangedError if the version or an option has changed.
    """
    plan = plans.read_plan(token, kind(command), now)
    items = {item.id: item for item in plan.items}

    def check(tx: Tx, stored: StoredRun) -> None:
        item = items.get(stored.id)
        if item is None or not item.effect:
            why = item.reason if item is not None else "the plan does not list it"
            raise PlanTokenError(f"run {stored.id} is not part of the plan: {why}; plan again")
        changed = plans.what_changed(item.facts, run_facts(tx, stored, command), _STANDING)
        if changed:
            raise ItemChangedError(f"run {stored.id} is {plans.left_out(changed)}", changed=changed)
        target = dict(plan.target)
        if version is not None:
            name = _version_of(stored.workflow)
            target[name] = catalog.resolve(tx, stored.workflow, version).version
        plan.check({}, target, _options(version, from_node))
        if _digest(state) != item.given:
            raise PlanChangedError(
                f"plan {plan.digest} gives run {stored.id} another state. Nothing was changed; plan again",
                changed=["state"],
            )

    return check


def _digest(state: Mapping[str, Any] | None) -> str:
    return "" if state is None else jsonio.digest(state)[:12]


def _state_before(
    connection: sqlite3.Connection, stored: StoredRun, command: RunPlanCommand
) -> Mapping[str, Any]:
    """Return the state that a new state replaces; for a rerun, the input."""
    if command == "rerun":
        given: dict[str, Any] = jsonio.loads(given_state(connection, stored.key))
        return given
    return run_state(connection, stored.key)


def _edit(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return the keys in which two states differ, as the end of a sentence."""
    missing = object()
    changed = [
        key for key in dict.fromkeys([*before, *after]) if before.get(key, missing) != after.get(key, missing)
    ]
    more = ", …" if len(changed) > _NAMED else ""
    return (
        f", with another state ({', '.join(changed[:_NAMED])}{more})" if changed else ", with the same state"
    )


def run_facts(source: Tx | sqlite3.Connection, stored: StoredRun, command: RunPlanCommand) -> plans.Facts:
    """Return the facts about a run on which a command depends."""
    _, version = run_rows.id_and_version(source, stored.key)
    facts: plans.Facts = {
        "status": stored.status,
        "at": ", ".join(position_of(source, stored.key)["frontier"]),
        "version": version,
    }
    if command in _AT_REST:
        facts |= {"revision": stored.revision, "last_attempt": attempt_rows.last(source, stored.key)}
    return facts


def _refusal(connection: sqlite3.Connection, stored: StoredRun, command: RunPlanCommand) -> str:
    """Return why a command has no effect on a run, as the predicate of a sentence; empty if it has an effect."""
    if command == "rerun":
        return ""
    if command == "discard":
        return "" if is_dead_letter(connection, stored.key) else f"is {stored.status}, and not a dead letter"
    reason = refusal(RunStatus(stored.status), RunCommand(command))
    if reason is None and command == "redrive":
        parent = run_rows.parent_id(connection, stored.key, PART_OF_A_RUN)
        if parent is not None:
            return f"is a child of run {parent}; retry that run, which continues this one where it stopped"
    return reason or ""


def _effect(command: RunPlanCommand, facts: plans.Facts, from_node: str | None) -> str:
    text = _EFFECTS[command]
    if command == "cancel":
        text = _CANCELS.get(str(facts["status"]), text)
    node = from_node or facts["at"]
    return text.format(at=f" at {node}" if node else "")


def _version_of(workflow: str) -> str:
    return f"version of {workflow}"


def _options(version: str | None, from_node: str | None) -> plans.Facts:
    given: plans.Facts = {"version": version, "from_node": from_node}
    return {name: value for name, value in given.items() if value is not None}
