"""The shell commands that do the same as the actions of a console.

An action has a command if the command line can express all of its effect. An answer is shown only if it is an
approval, a rejection or a choice, because other answers can be long or secret.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET

from victor_engine.api import BackfillSpec, MigrationSpec, ScheduleSpec

_SHELL: Mapping[str, str] = {
    "start_run": "run {workflow}",
    "cancel_run": "runs cancel {run_id}",
    "pause_run": "runs pause {run_id}",
    "resume_run": "runs resume {run_id}",
    "retry_run": "runs retry {run_id}",
    "rerun": "runs rerun {run_id}",
    "redrive_run": "runs redrive {run_id}",
    "discard_run": "runs discard {run_id}",
    "pause_schedule": "scheduler pause {schedule_id}",
    "resume_schedule": "scheduler resume {schedule_id}",
    "skip_next": "scheduler skip {schedule_id}",
    "trigger_schedule": "scheduler trigger {schedule_id}",
    "remove_schedule": "scheduler remove {schedule_id}",
    "pause_backfill": "scheduler backfill pause {backfill_id}",
    "resume_backfill": "scheduler backfill resume {backfill_id}",
    "cancel_backfill": "scheduler backfill cancel {backfill_id}",
    "claim": "inbox claim {request_id}",
    "release": "inbox release {request_id}",
    "undo_answer": "inbox undo {request_id}",
    "ask_requester": "inbox ask-back {request_id} {question}",
    "reply": "inbox reply {request_id} {text}",
    "reassign": "inbox reassign {request_id}",
    "delegate": "inbox delegate {request_id} {to}",
    "push_back": "inbox push-back {request_id} {to_node}",
    "withdraw": "inbox withdraw {request_id}",
    "override_node": "runs override {run_id} {node_id}",
    "set_alias": "versions alias {workflow} {alias} {version}",
    "remove_alias": "versions alias {workflow} {alias} --remove",
    "promote_alias": "versions promote {workflow} {alias}",
    "deprecate": "versions deprecate {workflow} {version}",
    "remove_version": "versions remove {workflow} {version}",
    "restore_version": "versions restore {workflow} {version}",
    "roll_back_alias": "versions rollback {workflow} {alias}",
    "unmigrate_run": "versions undo {run_id}",
    "unmigrate_runs": "versions undo --batch {batch}",
    "drain": "scheduler drain",
    "undrain": "scheduler undrain",
    "deploy": "deploy --yes",
    "trust": "trust --yes",
}
"""The command of each action whose arguments fit into one line."""
_OPTIONS: Mapping[str, str] = {
    "version": "--version",
    "from_node": "--from",
    "state": "--state",
    "rewind": "--rewind",
    "restart_children": "--restart-children",
    "timeout": "--timeout",
    "max_attempts": "--max-attempts",
    "retry_now": "--retry-now",
    "onto": "--onto",
    "message": "--message",
    "successor": "--successor",
    "removal": "--removal",
    "until": "--until",
    "undo": "--undo",
    "comment": "--comment",
    "note": "--note",
}
"""The option of each argument that has no place in the line. True is an option alone, and an object is JSON."""
_VERDICTS = {"approved": "approve", "rejected": "reject"}
_KEYS = {"every_seconds": "every"}
"""The keys of a `schedule:` block with another name than their field."""
_WAYS = ("cron", "every_seconds", "at", "after")
"""The fields of which a schedule has one."""

Words = Sequence[str]


def shell_command(name: str, arguments: Mapping[str, Any], before: Any, result: Any) -> str | None:
    """Return the shell command of an action, or None.

    `before` is the state that the action changed, `result` its result, as far as they are known.
    """
    special = _SPECIAL.get(name)
    words = special(arguments, before, result) if special is not None else _words(name, arguments)
    return None if words is None else shlex.join(["victor", *words])


def _words(name: str, arguments: Mapping[str, Any]) -> Words | None:
    pattern = _SHELL.get(name)
    if pattern is None:
        return None
    given = {key: value for key, value in arguments.items() if value not in (None, "", False, {})}
    words = [word.format(**arguments) for word in pattern.split()]
    words += given.get("assignees", ())
    if "other" in given:
        words += ["--split", str(given["other"]), str(given.get("weight", 0))]
    for key, option in _OPTIONS.items():
        if key in given and f"{{{key}}}" not in pattern:
            words += [option] if given[key] is True else [option, _word(given[key])]
    return words


def _word(value: Any) -> str:
    """Return a value as one word of a command: an object as JSON, a number without needless decimals."""
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _note(arguments: Mapping[str, Any]) -> list[str]:
    return ["--note", arguments["note"]] if arguments.get("note") else []


def _answer(arguments: Mapping[str, Any], request: Any, _: Any) -> Words | None:
    answer = arguments["answer"]
    words = ["inbox", "answer", arguments["request_id"]]
    comment = ["--comment", answer.comment] if answer.comment else []
    if answer.outcome in _VERDICTS and answer.value is UNSET:
        return [*words, _VERDICTS[answer.outcome], *comment]
    if getattr(request, "kind", "") == "choice" and answer.value is not UNSET:
        return [*words, "--value", json.dumps(answer.value, ensure_ascii=False), *comment]
    return None


def changed_settings(old: ScheduleSpec, new: ScheduleSpec) -> list[str]:
    """Return the `--set KEY=JSON` options that turn a schedule into another; null is the default of a key."""
    words: list[str] = []
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    for field in ScheduleSpec.__struct_fields__:
        changed = before.get(field) != after.get(field)
        if field == "every_seconds":
            changed = changed or before.get("every_at") != after.get("every_at")
        if field in ("workflow", "every_at") or not changed:
            continue
        if field in _WAYS and after.get(field) is None:
            continue  # the way that is given replaces this one
        value = after.get(field)
        if field == "every_seconds" and new.every_at is not None:
            value = f"{(new.every_seconds or 0) / 86_400:g} days at {new.every_at}"
        words += ["--set", f"{_KEYS.get(field, field)}={json.dumps(value, ensure_ascii=False)}"]
    return words


def _edit(arguments: Mapping[str, Any], before: Any, _: Any) -> Words | None:
    if not isinstance(before, ScheduleSpec):
        return None
    changes = changed_settings(before, arguments["spec"])
    if not changes:
        return None
    return ["scheduler", "edit", arguments["schedule_id"], *changes, "--yes", *_note(arguments)]


def _add(arguments: Mapping[str, Any], _: Any, __: Any) -> Words:
    spec: ScheduleSpec = arguments["spec"]
    settings = changed_settings(ScheduleSpec(spec.workflow), spec)
    return ["scheduler", "add", spec.workflow, *settings, *_note(arguments)]


def _backfill(arguments: Mapping[str, Any], _: Any, __: Any) -> Words:
    spec: BackfillSpec = arguments["spec"]
    words = ["scheduler", "backfill", "start", spec.schedule_id]
    words += ["--from", spec.start.astimezone(UTC).isoformat(), "--to", _minute(spec.end)]
    words += ["--order", spec.order, "--concurrency", str(spec.concurrency), "--redo", spec.redo, "--yes"]
    return [*words, *_note(arguments)]


def _minute(instant: datetime) -> str:
    """Return the minute of an instant: the command includes this minute."""
    return instant.astimezone(UTC).replace(second=0, microsecond=0).isoformat()


def _migrate(arguments: Mapping[str, Any], _: Any, result: Any) -> Words | None:
    spec: MigrationSpec = arguments["spec"]
    moved = getattr(result, "runs", ())
    old = spec.from_version or (moved[0].from_version if moved else None)
    if old is None or spec.schedule_ids or (spec.run_ids and spec.schedules):
        return None
    words = ["versions", "migrate", spec.workflow, old, spec.to_version, "--apply"]
    for run_id in spec.run_ids:
        words += ["--run", run_id]
    return [*words, *(["--schedules"] if spec.schedules else []), *_note(arguments)]


_SPECIAL: Mapping[str, Callable[[Mapping[str, Any], Any, Any], Words | None]] = {
    "answer": _answer,
    "edit_schedule": _edit,
    "add_schedule": _add,
    "start_backfill": _backfill,
    "migrate_runs": _migrate,
}
