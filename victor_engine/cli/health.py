"""The health check of `victor scheduler status --check`: the findings of an engine, with an exit code for each kind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import click
from msgspec import Struct

from victor_engine.api import EngineInfo, Port, ScheduleInfo
from victor_engine.cli.output import local, port_of, print_error, print_json, print_line, span
from victor_engine.definition.problem_messages import describe
from victor_engine.errors import EngineUnavailableError
from victor_engine.text import plural

OVERDUE = timedelta(minutes=5)
"""The lateness of the next fire from which the schedules count as failing."""

SHOWN = 5
"""The maximum number of schedules that are listed by name."""

GONE, NOT_RECORDING, NOT_TRUSTED, FILES_WITH_ERRORS = 7, 8, 6, 3
BLOCKED, PROBLEMS, TOO_OLD = 13, 14, 15


class Finding(Struct, frozen=True):
    """A finding of an engine: its kind, the exit code of this kind, and a message."""

    kind: str
    exit_code: int
    message: str


class Health(Struct, frozen=True):
    """The result of a check. `exit_code` is that of the first finding, which is the most urgent one."""

    healthy: bool
    exit_code: int
    findings: tuple[Finding, ...] = ()


def health(findings: Sequence[Finding]) -> Health:
    return Health(not findings, findings[0].exit_code if findings else 0, tuple(findings))


def findings_of(
    info: EngineInfo, failing: Sequence[ScheduleInfo], max_age: timedelta | None = None
) -> list[Finding]:
    """Return the findings of an engine that answers, the most urgent first.

    `failing` are the schedules with a problem. `max_age` is the greatest age of an open request; None for any age.
    """
    found: list[Finding] = []
    if info.storage is not None:
        since = local(info.storage.since)
        found.append(
            Finding("not recording", NOT_RECORDING, f"storage outage since {since}: {info.storage.message}")
        )
    if not info.trusted:
        found.append(Finding("not trusted", NOT_TRUSTED, f"nothing is executed: {info.untrusted}"))
    if info.limited:
        message = (
            "the check of schedules and requests needs the role viewer; ask the user of the engine for it"
        )
        found.append(Finding("not permitted", NOT_TRUSTED, message))
    if failing:
        shown = "; ".join(f"{each.id}: {each.problem}" for each in failing[:SHOWN])
        more = f"; and {len(failing) - SHOWN} more" if len(failing) > SHOWN else ""
        found.append(
            Finding(
                "schedules with problems",
                PROBLEMS,
                f"{plural(len(failing), 'schedule')} cannot fire: {shown}{more}",
            )
        )
    if info.next_fire is not None and info.draining is None and info.now - info.next_fire > OVERDUE:
        late = span((info.now - info.next_fire).total_seconds())
        message = (
            f"{info.next_fire_schedule} was due at {local(info.next_fire)}, {late} ago, and did not fire"
        )
        found.append(Finding("schedules with problems", PROBLEMS, message))
    broken = [each for each in info.problems if each.severity == "error" and each.path]
    if broken:
        found.append(
            Finding(
                "files with errors",
                FILES_WITH_ERRORS,
                f"{plural(len(broken), 'error')}: {describe(broken[0])}",
            )
        )
    if max_age is not None and info.oldest_request is not None and info.now - info.oldest_request > max_age:
        age, most = span((info.now - info.oldest_request).total_seconds()), span(max_age.total_seconds())
        message = (
            f"the oldest of {plural(info.open_requests, 'open request')} is {age} old; the limit is {most}"
        )
        found.append(Finding("oldest request too old", TOO_OLD, message))
    return found


async def _schedules_with_problems(port: Port, info: EngineInfo) -> list[ScheduleInfo]:
    """Return the schedules that should fire and cannot."""
    if info.limited:
        return []
    found = await port.schedules()
    return [each for each in found if each.problem is not None and each.paused is None and each.spec.enabled]


async def _examine(ctx: click.Context, timeout: float, max_age: timedelta | None) -> list[Finding]:
    try:
        async with asyncio.timeout(timeout), port_of(ctx, "attach") as port:
            info = await port.engine()
            return findings_of(info, await _schedules_with_problems(port, info), max_age)
    except TimeoutError:
        return [
            Finding("blocked", BLOCKED, f"the engine runs, and did not answer within {timeout:g} seconds")
        ]
    except EngineUnavailableError as error:
        if error.details.get("blocked"):
            return [Finding("blocked", BLOCKED, error.message)]
        return [Finding("gone", GONE, error.message)]


def check(ctx: click.Context, *, timeout: float, max_age: timedelta | None, as_json: bool) -> int:
    """Print the findings of the engine, and return the exit code of the most urgent one; 0 without a finding."""
    result = health(asyncio.run(_examine(ctx, timeout, max_age)))
    if as_json:
        print_json(result)
    elif result.healthy:
        print_line("healthy")
    for finding in () if as_json else result.findings:
        print_error(f"{finding.kind}: {finding.message}")
    return result.exit_code
