"""Events as sentences. Each kind of event has one; `Who` stands in a column of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from victor_engine.api import ENGINE_ACTOR, EventInfo, EventKind
from victor_tui.theme import Tone


class Sentence(NamedTuple):
    """What an event reports, in words, and its tone."""

    text: str
    tone: Tone = "plain"


_OUTCOMES: Mapping[str, tuple[str, Tone]] = {
    "approved": ("approved", "ok"),
    "rejected": ("rejected", "warn"),
    "changes_requested": ("requested changes for", "warn"),
}
_FIRES: Mapping[str, tuple[str, Tone]] = {
    "missed": ("missed", "warn"),
    "skipped": ("skipped", "dim"),
    "excluded": ("excluded", "dim"),
    "queued": ("queued", "dim"),
    "started": ("started", "plain"),
    "backfilled": ("backfilled", "plain"),
}


def sentence(event: EventInfo) -> Sentence:
    """Return the sentence of an event. An unknown kind, of a newer engine, is named by its kind."""
    build = _SENTENCES.get(event.kind)
    if build is None:
        return Sentence(event.kind.replace(".", " ").replace("_", " "), "dim")
    return build(event)


def _node(event: EventInfo) -> str:
    """Return workflow and node of an event."""
    return f"{event.workflow} · {event.node_id}" if event.node_id else str(event.workflow or "")


def _text(data: Mapping[str, Any], *keys: str) -> str:
    """Return the first of these values that is a text and not empty."""
    return next((value for key in keys if isinstance(value := data.get(key), str) and value), "")


def _with(text: str, reason: str) -> str:
    return f"{text}: {reason}" if reason else text


def _noted(text: str, tone: Tone = "plain") -> Callable[[EventInfo], Sentence]:
    """Return a sentence of a fixed form: `{about}` is workflow and node, `{name}` a value of the data."""

    def build(event: EventInfo) -> Sentence:
        values = {key: _short(value) for key, value in event.data.items()}
        known = _Values(values, about=_node(event), workflow=event.workflow or "")
        return Sentence(_with(text.format_map(known), _text(event.data, "note", "comment", "message")), tone)

    return build


def _did(verb: str, about: str, tone: Tone = "plain", *, rest: str = "") -> Callable[[EventInfo], Sentence]:
    """Return a sentence about an act: "paused deploy" by a person, "deploy was paused" by the engine.

    `verb` is a past participle, and `rest` ends the sentence.
    """
    active, passive = _noted(f"{verb} {about}{rest}", tone), _noted(f"{about} was {verb}{rest}", tone)
    return lambda event: passive(event) if event.actor == ENGINE_ACTOR else active(event)


class _Values(dict[str, str]):
    """Values of a sentence. An older engine may not have written one: it is an ellipsis."""

    def __missing__(self, key: str) -> str:
        return "…"


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in value)
    return str(value)


def _created(event: EventInfo) -> Sentence:
    trigger = _text(event.data, "trigger")
    how = {
        "schedule": "started by its schedule",
        "backfill": "started by a backfill",
        "child": "started by its parent",
    }
    return Sentence(_with(f"{event.workflow} {how.get(trigger, 'started')}", _text(event.data, "note")))


def _finished(event: EventInfo) -> Sentence:
    status = _text(event.data, "status") or "finished"
    tones: Mapping[str, Tone] = {"succeeded": "ok", "failed": "bad", "rejected": "warn", "cancelled": "warn"}
    tone = tones.get(status, "plain")
    words = {"cancelled": "was cancelled", "rejected": "was rejected"}.get(status, status)
    error = event.data.get("error")
    if not isinstance(error, dict):
        return Sentence(f"{event.workflow} {words}", tone)
    place = f" at {error['node']}" if error.get("node") else ""
    return Sentence(
        _with(f"{event.workflow} {words}{place}", str(error.get("message") or error.get("type"))), tone
    )


def _handled(event: EventInfo) -> Sentence:
    """Return the sentence about the end of a handler of the end of a run."""
    handler, status = _text(event.data, "handler"), _text(event.data, "status")
    error = event.data.get("error")
    if not isinstance(error, dict):
        return Sentence(f"{handler} of {event.workflow} {status}", "dim" if status == "succeeded" else "bad")
    place = f" at {error['node']}" if error.get("node") else ""
    return Sentence(_with(f"{handler} of {event.workflow} {status}{place}", str(error.get("message"))), "bad")


def _handlers_skipped(event: EventInfo) -> Sentence:
    names = event.data.get("handlers")
    listed = " and ".join(map(str, names)) if isinstance(names, list) else "the handlers"
    return Sentence(f"{listed} of {event.workflow} skipped, because the run was cancelled again", "warn")


def _failed(event: EventInfo) -> Sentence:
    retry = event.kind == EventKind.NODE_RETRYING
    text = f"{_node(event)} {'failed and will be tried again' if retry else 'failed'}"
    return Sentence(_with(text, _text(event.data, "message", "type")), "warn" if retry else "bad")


def fire_time(event: EventInfo) -> str:
    """Return the nominal wall time of a fire, with its zone and the second pass of a time that occurs twice.

    The fire of a dependency has the period instead, or its upstream run.
    """
    wall = str(event.data.get("nominal", "")).replace("T", " ")
    wall = f"{wall[:-1]} UTC" if wall.endswith("Z") else wall
    zone = f" {event.data['timezone']}" if event.data.get("timezone") else ""
    again = " (second pass)" if event.data.get("fold") else ""
    return f"{wall}{zone}{again}"


def _fire(event: EventInfo) -> Sentence:
    outcome = _text(event.data, "outcome")
    words, tone = _FIRES.get(outcome, (outcome.replace("_", " "), "plain"))
    return Sentence(
        _with(f"the fire of {event.workflow} at {fire_time(event)} was {words}", _text(event.data, "reason")),
        tone,
    )


def _answered(event: EventInfo) -> Sentence:
    outcome = _text(event.data, "outcome")
    verb, tone = _OUTCOMES.get(outcome, ("answered", "ok"))
    value = event.data.get("value")
    given = (
        f" with {_short(value)}" if verb == "answered" and isinstance(value, str | int | float | list) else ""
    )
    voted = " (one vote)" if event.kind == EventKind.REQUEST_VOTED else ""
    back = f", back to {_text(event.data, 'to')}" if event.data.get("to") else ""
    own = ", own request" if event.data.get("self_approved") else ""
    return Sentence(
        _with(f"{verb} {_node(event)}{given}{back}{voted}{own}", _text(event.data, "comment")), tone
    )


def _expired(event: EventInfo) -> Sentence:
    outcome = _text(event.data, "outcome").replace("_", " ")
    return Sentence(f"no one answered {_node(event)} in time: {outcome or 'expired'}", "warn")


def _opened(event: EventInfo) -> Sentence:
    return Sentence(
        _with(
            f"{_node(event)} asks for {_text(event.data, 'kind') or 'an answer'}", _text(event.data, "title")
        ),
        "wait",
    )


def _escalated(event: EventInfo) -> Sentence:
    to = _text(event.data, "escalated_to")
    return Sentence(
        f"{_node(event)} was escalated to {to}" if to else f"{_node(event)} is asked again", "warn"
    )


def _changed(event: EventInfo) -> Sentence:
    changes = event.data.get("changes")
    words = ""
    if isinstance(changes, Mapping):
        words = ", ".join(str(key) for key in changes)
    elif isinstance(changes, list):
        words = ", ".join(_short(each) for each in changes)
    skipped = _text(event.data, "skip_next", "skipped")
    if skipped:
        return Sentence(
            _with(f"skipped the fire of {event.workflow} at {skipped}", _text(event.data, "note"))
        )
    text = f"changed the schedule of {event.workflow}" + (f" ({words})" if words else "")
    return Sentence(_with(text, _text(event.data, "note")))


def _paused(event: EventInfo) -> Sentence:
    until = _text(event.data, "until")
    rest = f" until {_minute(until)}" if until else ""
    return _did("paused", "the schedule of {workflow}", "warn", rest=rest)(event)


def _minute(text: str) -> str:
    """Return an ISO instant to the minute, with its offset in words only if it is UTC."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{instant:%Y-%m-%d %H:%M} {instant.tzname() or ''}".strip()


def _deployed(event: EventInfo) -> Sentence:
    lines = event.data.get("lines")
    found = [str(line) for line in lines] if isinstance(lines, list) else []
    number, undoes = event.data.get("number"), event.data.get("undoes")
    text = (
        f"undid deployment {undoes}" if undoes else f"deployed {'#' + str(number) if number else 'the files'}"
    )
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return Sentence(_with(text, f"{found[0]}{more}" if found else ""), "head")


def _alias(event: EventInfo) -> Sentence:
    was = _text(event.data, "was")
    name = f"the alias {_text(event.data, 'alias')} of {event.workflow}"
    if event.kind == EventKind.ALIAS_REMOVED:
        return Sentence(
            _with(f"removed {name}" + (f", which was {was}" if was else ""), _text(event.data, "note"))
        )
    change = f"set {name} to {_text(event.data, 'to')}" + (f", was {was}" if was else "")
    return Sentence(_with(change, _text(event.data, "note")))


def _stopped(event: EventInfo) -> Sentence:
    signal = _text(event.data, "signal")
    return Sentence("the engine stopped" + (f" after {signal}" if signal else ""), "warn")


def _clock(event: EventInfo) -> Sentence:
    if event.kind == EventKind.ENGINE_CLOCK_JUMPED:
        return Sentence(_with("the clock went forward", _text(event.data, "message")), "warn")
    return Sentence("the clock was ahead and was set back", "warn")


def _redriven(event: EventInfo) -> Sentence:
    version = _text(event.data, "version")
    text = f"redrove {event.workflow} from {_text(event.data, 'from')}" + (
        f" on {version}" if version else ""
    )
    text += ", after it had succeeded" if event.data.get("after") == "succeeded" else ""
    return Sentence(_with(text, _text(event.data, "note")))


_SENTENCES: Mapping[str, Callable[[EventInfo], Sentence]] = {
    EventKind.ENGINE_STARTED: _noted("the engine started ({mode})", "dim"),
    EventKind.ENGINE_STOPPED: _stopped,
    EventKind.ENGINE_PROBLEM: _noted("the engine reports a problem", "bad"),
    EventKind.ENGINE_STORAGE_LOST: _noted("the storage failed", "bad"),
    EventKind.ENGINE_STORAGE_BACK: _noted("the storage works again", "ok"),
    EventKind.ENGINE_CLOCK_JUMPED: _clock,
    EventKind.ENGINE_CLOCK_CORRECTED: _clock,
    EventKind.ENGINE_DRAINING: _noted("started draining the engine", "warn"),
    EventKind.ENGINE_UNDRAINED: _noted("ended draining the engine"),
    EventKind.WORKSPACE_LOADED: _noted("loaded {workflows} workflows with {problems} problems", "dim"),
    EventKind.WORKSPACE_TRUSTED: _did("trusted", "the workspace {workspace}"),
    EventKind.DEPLOYMENT_APPLIED: _deployed,
    EventKind.SCHEDULE_ADDED: _did("added", "a schedule of {workflow}"),
    EventKind.SCHEDULE_CHANGED: _changed,
    EventKind.SCHEDULE_REMOVED: _did("removed", "the schedule of {workflow}", "warn"),
    EventKind.SCHEDULE_PAUSED: _paused,
    EventKind.SCHEDULE_RESUMED: _did("resumed", "the schedule of {workflow}"),
    EventKind.SCHEDULE_REOPENED: _noted("opened fires of {workflow} again", "warn"),
    EventKind.FIRE_DECIDED: _fire,
    EventKind.SLA_BREACHED: _noted("{workflow} breached its SLA", "bad"),
    EventKind.BACKFILL_STARTED: _did("started", "a backfill of {workflow}"),
    EventKind.BACKFILL_PAUSED: _did("paused", "a backfill of {workflow}", "warn"),
    EventKind.BACKFILL_RESUMED: _did("resumed", "a backfill of {workflow}"),
    EventKind.BACKFILL_CANCELLED: _did("cancelled", "a backfill of {workflow}", "warn"),
    EventKind.BACKFILL_FINISHED: _noted(
        "a backfill of {workflow} finished: {succeeded} succeeded, {failed} failed, of {fires}"
    ),
    EventKind.RUN_CREATED: _created,
    EventKind.RUN_STARTED: _noted("{workflow} began", "dim"),
    EventKind.RUN_RESUMED: _did("resumed", "{workflow}"),
    EventKind.RUN_PAUSING: _did("asked", "{workflow}", "warn", rest=" to pause"),
    EventKind.RUN_PAUSED: _did("paused", "{workflow}", "warn"),
    EventKind.RUN_CANCELLING: _did("asked", "{workflow}", "warn", rest=" to cancel"),
    EventKind.RUN_FINISHED: _finished,
    EventKind.RUN_ENDING: _noted("{handler} of {workflow} began", "dim"),
    EventKind.RUN_HANDLER_FINISHED: _handled,
    EventKind.RUN_HANDLERS_SKIPPED: _handlers_skipped,
    EventKind.RUN_REDRIVEN: _redriven,
    EventKind.RUN_DISCARDED: _did("discarded", "the dead letter of {workflow}", "warn"),
    EventKind.RUN_WARNING: _noted("warning of {about}", "warn"),
    EventKind.RUN_MIGRATED: _did("moved", "{workflow}", rest=" from {was} to {version}"),
    EventKind.RUN_UNMIGRATED: _did("moved", "{workflow}", rest=" back from {was} to {version}"),
    EventKind.NODE_STARTED: _noted("{about} started", "dim"),
    EventKind.NODE_COMPLETED: _noted("{about} completed", "dim"),
    EventKind.NODE_FAILED: _failed,
    EventKind.NODE_RETRYING: _failed,
    EventKind.NODE_INTERRUPTED: _noted("{about} was interrupted", "warn"),
    EventKind.NODE_OVERRIDDEN: _noted("overrode {about}", "warn"),
    EventKind.NODE_CANCELLED: _noted("{about} was cancelled", "dim"),
    EventKind.BRANCH_ENDED: _noted("a branch ended after {about}", "dim"),
    EventKind.CIRCUIT_OPENED: _noted("the circuit breaker of {about} opened", "bad"),
    EventKind.CIRCUIT_PROBED: _noted("the circuit breaker of {about} is probed", "dim"),
    EventKind.CIRCUIT_CLOSED: _noted("the circuit breaker of {about} closed", "ok"),
    EventKind.REQUEST_OPENED: _opened,
    EventKind.REQUEST_CLAIMED: _noted("claimed {about}"),
    EventKind.REQUEST_RELEASED: _noted("released {about}"),
    EventKind.REQUEST_VOTED: _answered,
    EventKind.REQUEST_ANSWERED: _answered,
    EventKind.REQUEST_ESCALATED: _escalated,
    EventKind.REQUEST_PASSED_ON: _noted("{about} went on to {to}"),
    EventKind.REQUEST_REASSIGNED: _did("reassigned", "{about}", rest=" to {to}"),
    EventKind.REQUEST_DELEGATED: _did("delegated", "{about}", rest=" to {to}"),
    EventKind.REQUEST_REMINDED: _noted("{about} was reminded", "dim"),
    EventKind.REQUEST_UNDONE: _noted("took back the answer to {about}", "warn"),
    EventKind.REQUEST_SETTLED: _noted("the answer to {about} is final: {outcome}", "dim"),
    EventKind.REQUEST_QUESTIONED: _noted("asked back about {about}: {text}"),
    EventKind.REQUEST_REPLIED: _noted("replied about {about}: {text}"),
    EventKind.REQUEST_EXPIRED: _expired,
    EventKind.REQUEST_WITHDRAWN: _noted("{about} was withdrawn: {reason}", "dim"),
    EventKind.NOTIFY_SENT: _noted("notified {to}: {title}", "dim"),
    EventKind.NOTIFY_FAILED: _noted("a notification failed", "bad"),
    EventKind.VERSION_REGISTERED: _did("registered", "{workflow} {version}", "dim"),
    EventKind.VERSION_DEPRECATED: _did("deprecated", "{workflow} {version}", "warn"),
    EventKind.VERSION_REMOVED: _did("removed", "{workflow} {version}", "warn"),
    EventKind.VERSION_RESTORED: _did("restored", "{workflow} {version}"),
    EventKind.VERSION_PRUNED: _did("deleted", "the unused {workflow} {version}", "dim"),
    EventKind.VERSION_IN_FORCE: _noted("{workflow} {version} is in force, was {before}", "head"),
    EventKind.VERSION_NOTICE: _noted("{workflow} started on a deprecated version", "warn"),
    EventKind.VERSION_MIGRATION: _noted(
        "registered a migration of {workflow} from {from_version} to {to_version}", "dim"
    ),
    EventKind.ALIAS_CHANGED: _alias,
    EventKind.ALIAS_REMOVED: _alias,
    EventKind.HISTORY_PRUNED: _noted("deleted old history: {runs} runs", "warn"),
    EventKind.RETENTION_CONFIRMED: _noted("confirmed the rules of retention: {rules}", "warn"),
    EventKind.AUDIT_PRUNED: _noted("pruned {deleted} records of the audit", "warn"),
    EventKind.AUDIT_HEAD: _noted("sent the head of the audit chain", "dim"),
}
