"""The actions that undo the actions of a console.

An action that replaced a value is undone by restoring the old value, unless the value has changed since.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from victor_engine.api import AliasInfo, Port, ScheduleSpec, methods

Arguments = Mapping[str, Any]
Inverse = tuple[str, dict[str, Any]]

_PLAIN: Mapping[str, str] = {
    "pause_run": "resume_run",
    "resume_run": "pause_run",
    "pause_schedule": "resume_schedule",
    "resume_schedule": "pause_schedule",
    "pause_backfill": "resume_backfill",
    "resume_backfill": "pause_backfill",
    "claim": "release",
    "release": "claim",
    "deprecate": "restore_version",
    "remove_version": "restore_version",
    "drain": "undrain",
    "undrain": "drain",
}
"""The action that undoes an action with the same arguments."""


async def state_before(port: Port, name: str, arguments: Arguments) -> Any:
    """Return the state that an action is going to change, if undoing or repeating it needs that."""
    match name:
        case "edit_schedule":
            return (await port.schedule(arguments["schedule_id"])).spec
        case "set_alias" | "remove_alias" | "promote_alias" | "roll_back_alias":
            return await _alias(port, arguments)
        case "answer" | "reassign":
            return await port.request(arguments["request_id"])
    return None


async def _alias(port: Port, arguments: Arguments) -> AliasInfo | None:
    name = arguments.get("onto") or arguments["alias"]
    return next((info for info in await port.aliases(arguments["workflow"]) if info.name == name), None)


def inverse(name: str, arguments: Arguments, before: Any, result: Any) -> Inverse | None:
    """Return the method that undoes an action, and its arguments, or None."""
    if name in _PLAIN:
        other = _PLAIN[name]
        wanted = methods()[other].signature.parameters
        return other, {key: arguments[key] for key in wanted if key in arguments and key != "note"}
    find = _SPECIAL.get(name)
    return find(arguments, before, result) if find is not None else None


def _edit(arguments: Arguments, before: Any, _: Any) -> Inverse | None:
    if not isinstance(before, ScheduleSpec):
        return None
    return "edit_schedule", {"schedule_id": arguments["schedule_id"], "spec": before}


def _added(_: Arguments, __: Any, result: Any) -> Inverse | None:
    if not getattr(result, "created", False):
        return None
    return "remove_schedule", {"schedule_id": result.id}


def _set_alias(arguments: Arguments, before: Any, _: Any) -> Inverse | None:
    name = arguments.get("onto") or arguments["alias"]
    place = {"workflow": arguments["workflow"], "alias": name}
    if not isinstance(before, AliasInfo):
        return "remove_alias", place
    main, *others = before.sides
    split = {"other": others[0].version, "weight": others[0].weight} if others else {}
    return "set_alias", {**place, "version": main.version, **split}


def _removed_alias(arguments: Arguments, before: Any, result: Any) -> Inverse | None:
    return _set_alias(arguments, before, result) if isinstance(before, AliasInfo) else None


def _backfill(_: Arguments, __: Any, result: Any) -> Inverse | None:
    return ("cancel_backfill", {"backfill_id": result.id}) if result is not None else None


def _migrated(_: Arguments, __: Any, result: Any) -> Inverse | None:
    batch = getattr(result, "batch", "")
    return ("unmigrate_runs", {"batch": batch}) if batch else None


def _deployed(arguments: Arguments, _: Any, result: Any) -> Inverse | None:
    return None if arguments.get("undo") or result is None else ("deploy", {"undo": True})


def _reassigned(arguments: Arguments, before: Any, result: Any) -> Inverse | None:
    if before is None or result is None or not before.assignees:
        return None
    request = {"request_id": arguments["request_id"], "revision": result.revision}
    return "reassign", {**request, "assignees": list(before.assignees)}


_SPECIAL: Mapping[str, Callable[[Arguments, Any, Any], Inverse | None]] = {
    "edit_schedule": _edit,
    "add_schedule": _added,
    "set_alias": _set_alias,
    "promote_alias": _set_alias,
    "roll_back_alias": _set_alias,
    "remove_alias": _removed_alias,
    "start_backfill": _backfill,
    "migrate_runs": _migrated,
    "deploy": _deployed,
    "reassign": _reassigned,
}


async def changed_since(port: Port, name: str, arguments: Arguments, result: Any) -> str | None:
    """Return what has changed since an action, so that undoing it would undo more; None if nothing has."""
    check = _CHECKS.get(name)
    return await check(port, arguments, result) if check is not None else None


async def _schedule_changed(port: Port, arguments: Arguments, _: Any) -> str | None:
    found = await port.schedule(arguments["schedule_id"])
    return None if found.spec == arguments["spec"] else "the schedule was changed again"


async def _alias_changed(port: Port, arguments: Arguments, result: Any) -> str | None:
    found = await _alias(port, arguments)
    now = [(side.version, side.weight) for side in found.sides] if found is not None else []
    then = [(side.version, side.weight) for side in result.sides] if result is not None else []
    return None if now == then else "the alias was changed again"


async def _deployed_again(port: Port, _: Arguments, result: Any) -> str | None:
    newest = await port.deployments(1)
    return None if newest and newest[0].number == result.number else "there was another deployment"


_CHECKS: Mapping[str, Callable[[Port, Arguments, Any], Awaitable[str | None]]] = {
    "edit_schedule": _schedule_changed,
    "set_alias": _alias_changed,
    "promote_alias": _alias_changed,
    "roll_back_alias": _alias_changed,
    "remove_alias": _alias_changed,
    "deploy": _deployed_again,
}


def described(name: str, arguments: Arguments) -> str:
    """Return what undoing does, in words."""
    match name:
        case "edit_schedule":
            return "give the schedule its former settings"
        case "set_alias":
            split = f" and {arguments['other']} ({arguments['weight']}%)" if arguments.get("other") else ""
            return f"point {arguments['alias']} at {arguments['version']}{split}"
        case "remove_alias":
            return f"remove the alias {arguments['alias']} of {arguments['workflow']}"
        case "restore_version":
            return f"restore version {arguments['version']} of {arguments['workflow']}"
        case "drain":
            return "drain the engine"
        case "undrain":
            return "stop draining the engine"
        case "reassign":
            return f"reassign {arguments['request_id']} to {', '.join(arguments['assignees'])}"
        case "unmigrate_runs":
            return "move the runs back that have not continued"
        case "deploy":
            return "take the deployment back"
    target = next((str(value) for value in arguments.values()), "")
    return f"{name.replace('_', ' ')} {target}".strip()
