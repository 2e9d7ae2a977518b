"""The wait of a wait node, computed when a run reaches the node: instants instead of durations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from victor_engine import jsonio
from victor_engine.clock import LONGEST, from_us, to_us
from victor_engine.definition.expressions.expression import CONDITION, FunctionRegistry, check_expression
from victor_engine.definition.model import WaitNode
from victor_engine.definition.nodes.wait import is_wall_time
from victor_engine.definition.templates import resolve_text
from victor_engine.durations import duration_text, parse_duration
from victor_engine.errors import ExpressionError, ExpressionLimitError, NodeError
from victor_engine.scheduling.timezones import zone_table
from victor_engine.secretrefs import SecretText
from victor_engine.work.evaluation import Evaluator

_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """A request that is sent repeatedly. `statuses` are numbers or classes such as `2xx`."""

    url: str | SecretText
    method: str = "GET"
    headers: Mapping[str, str | SecretText] = field(default_factory=dict)
    statuses: tuple[str, ...] = ("2xx",)
    json: str | None = None  # an expression that must be true for the response

    def accepts(self, status: int) -> bool:
        return str(status) in self.statuses or f"{status // 100}xx" in self.statuses


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait with its instants: `due` is its regular end, `deadline` the end by its timeout.

    `text` describes the condition for which it waits.
    """

    text: str
    since: datetime
    due: datetime | None = None
    deadline: datetime | None = None
    file: str | None = None
    stable_for: float = 0.0
    http: HttpProbe | None = None
    poll: float = 5.0

    @property
    def until(self) -> datetime | None:
        """The latest possible end, if there is one."""
        return min((instant for instant in (self.due, self.deadline) if instant is not None), default=None)

    def to_data(self) -> dict[str, Any]:
        """Return the stored form: the text and the instants. The rest follows from the node and the state."""
        data: dict[str, Any] = {"text": self.text, "since": to_us(self.since)}
        if self.due is not None:
            data["due"] = to_us(self.due)
        if self.deadline is not None:
            data["deadline"] = to_us(self.deadline)
        return data

    def with_data(self, data: Mapping[str, Any]) -> Wait:
        """Return this wait with the instants that were stored when it began."""
        return replace(
            self,
            text=data["text"],
            since=from_us(data["since"]),
            due=from_us(data["due"]) if "due" in data else None,
            deadline=from_us(data["deadline"]) if "deadline" in data else None,
        )


@dataclass(frozen=True, slots=True)
class WaitEnd:
    """The end of a wait: `done` or `timed_out`, and the values that it found."""

    outcome: str
    found: Mapping[str, Any] = field(default_factory=dict)


def plan_wait(node: WaitNode, state: Mapping[str, Any], now: datetime, timezone: str) -> Wait:
    """Return the wait of a node that is reached at `now`. Raise NodeError (WaitError) if its values are not valid.

    Wall times are in the zone of the node, else in `timezone`. A wall time in a gap means the
    first instant after the gap; one in an overlap means its first occurrence.
    """
    deadline = now + timedelta(seconds=node.timeout_seconds) if node.timeout_seconds is not None else None
    if node.seconds is not None:
        seconds = _duration(node, state)
        return Wait(f"{duration_text(seconds)} to pass", now, now + timedelta(seconds=seconds), deadline)
    if node.until is not None:
        due, text = _instant(node, state, now, node.timezone or timezone)
        return Wait(text, now, due, deadline)
    if node.file is not None:
        path = str(_resolved(node, "file", node.file, state))
        text = f"file {path}" + (
            f", unchanged for {duration_text(node.stable_for)}" if node.stable_for else ""
        )
        return Wait(
            text, now, deadline=deadline, file=path, stable_for=node.stable_for or 0.0, poll=node.poll
        )
    probe = _probe(node, state)
    return Wait(f"{probe.method} {probe.url}", now, deadline=deadline, http=probe, poll=node.poll)


def _resolved(node: WaitNode, key: str, value: Any, state: Mapping[str, Any]) -> Any:
    """Return a text with its references filled in. Raise NodeError if one is missing, or if nothing is left."""
    filled = _filled(node, key, value, state)
    if filled is None:
        raise _wait_error(node, f"{key} is {value}, which is not in the state, and a wait needs it")
    return filled


def _filled(node: WaitNode, key: str, value: Any, state: Mapping[str, Any]) -> Any:
    """Return a text with its `$ctx.name`, `$secret.name` and `{name}` filled in. Raise NodeError if one is missing.

    The result is None if the text is only an optional reference to a missing name.
    """
    if not isinstance(value, str):
        return value
    filled, missing = resolve_text(value, state, node.id, key)
    if missing:
        raise _wait_error(node, f"{key} names {{{missing[0]}}}, which is not in the state")
    return filled


def _text(value: Any) -> str | SecretText:
    return value if isinstance(value, SecretText) else str(value)


def _wait_error(node: WaitNode, message: str) -> NodeError:
    return NodeError(f"{node.id}: {message}", error_type="WaitError", retryable=False)


def _duration(node: WaitNode, state: Mapping[str, Any]) -> float:
    value = _resolved(node, "for", node.seconds, state)
    seconds = parse_duration(value)
    if seconds is None or seconds < 0:
        raise _wait_error(node, f"for is {value!r}, which is not a duration such as 90, 30s or 1h30m")
    return seconds


def _instant(node: WaitNode, state: Mapping[str, Any], now: datetime, timezone: str) -> tuple[datetime, str]:
    value = _resolved(node, "until", node.until, state)
    text = str(value).strip()
    zone = zone_table(timezone)
    where = "" if timezone == "UTC" else f" {timezone}"
    try:
        if is_wall_time(text):
            return _next_wall_time(text, zone, now), f"{text}{where or ' UTC'}"
        given = datetime.fromisoformat(text)
        due = _at(zone, given) if given.tzinfo is None else given.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _wait_error(
            node,
            f"until is {value!r}, which is neither an instant such as 2026-03-31T09:00 nor a time such as 09:00",
        ) from None
    if (due - now).total_seconds() > LONGEST:
        raise _wait_error(node, f"until is {value!r}, which is more than 100 years away")
    # An instant before the epoch is over anyway, and may not exist in every zone.
    return max(due, from_us(0)), f"{text}{'' if given.tzinfo is not None else where or ' UTC'}"


def _at(zone: Any, wall: datetime) -> datetime:
    seconds, _ = zone.instant_of(int((wall - _EPOCH).total_seconds()))
    return datetime.fromtimestamp(seconds, UTC)


def _next_wall_time(text: str, zone: Any, now: datetime) -> datetime:
    """Return the first instant after `now` with this wall time in the zone."""
    hour, minute, *rest = (int(part) for part in text.split(":"))
    day = now.astimezone(zone.info).replace(tzinfo=None)
    wall = day.replace(hour=hour, minute=minute, second=rest[0] if rest else 0, microsecond=0)
    for days in range(-1, 4):
        day = wall + timedelta(days=days)
        found = _at(zone, day)
        if found > now and not zone.skips(int((day - _EPOCH).total_seconds())):
            return found
    raise ValueError(text)


def _probe(node: WaitNode, state: Mapping[str, Any]) -> HttpProbe:
    given = node.http or {}
    statuses = given.get("status", "2xx")
    listed = statuses if isinstance(statuses, list) else [statuses]
    filled = {
        name: _filled(node, f"http.headers.{name}", value, state)
        for name, value in (given.get("headers") or {}).items()
    }
    headers = {name: _text(value) for name, value in filled.items() if value is not None}
    return HttpProbe(
        url=_text(_resolved(node, "http.url", given["url"], state)),
        method=given.get("method", "GET"),
        headers=headers,
        statuses=tuple(str(status).lower() for status in listed),
        json=given.get("json"),
    )


async def unsatisfied(
    probe: HttpProbe, status: int, body: Any, functions: FunctionRegistry, evaluator: Evaluator
) -> str | None:
    """Return why a response does not match, or None. Raise ExpressionError if the expression is not valid.

    The expression reads the JSON of the response as `json`, its keys by their names, and `status`.
    """
    if not probe.accepts(status):
        return f"status {status}, not {' or '.join(probe.statuses)}"
    if probe.json is None:
        return None
    problems = check_expression(probe.json, functions)
    if problems:
        raise ExpressionError(f"http.json: {problems[0].message}")
    if body is None:
        return "the response is not JSON"
    names = {**(body if isinstance(body, dict) else {}), "json": body, "status": status}
    try:
        value = await evaluator.evaluate(CONDITION, probe.json, names, functions)
    except ExpressionLimitError as error:
        error.message = f"http.json: {error.message}"
        raise
    except ExpressionError as error:
        return error.message
    return None if value else f"{probe.json} is {jsonio.dumps_text(value)[:80]}"
