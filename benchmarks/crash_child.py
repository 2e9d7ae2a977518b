"""The engine that `benchmarks.crash` kills: `crash_child.py ROOT FD PHASE OCCURRENCE RUNS SEED BUG`.

It continues the stored runs, starts RUNS more runs, answers requests, acts on runs, and writes lines to FD: `ack` with
the events of each transition whose `await write` has returned, and `at` when it stops at the
chosen moment, where it waits to be killed. With PHASE `end`, it finishes all runs and exits.
The hooks are installed from here, so the product contains no code for them.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from victor_engine.api import Answer, MigrationSpec, RequestQuery, RunInfo, RunQuery
from victor_engine.engine import Engine, run_mover
from victor_engine.errors import ConflictError, StorageError, VictorError
from victor_engine.identity import acting_as, local_actor
from victor_engine.people import commands as people_commands
from victor_engine.runs import attempt_context, recovery, request_deadlines, stored_effects, transitions
from victor_engine.runs.command_handler import Handler
from victor_engine.runs.commands import Pause
from victor_engine.service.connect import find, open_engine
from victor_engine.store import db
from victor_engine.work import process

WORKFLOWS = ("chain", "loop", "both", "again", "ask", "late", "work", "outer", "moves")
SUITED = {
    "process": ("work", "again"),
    "timer": ("late", "again"),
    "answer": ("ask", "ask"),
    "command": ("work", "moves", "outer"),
}
"""The workflows that are needed for the moments of a phase."""
LIVE = ("queued", "running", "waiting", "pausing", "paused", "cancelling")


FAILING = 3
"""Consecutive COMMITs that fail with a full disk: a group, and the retries after it."""


class Moment:
    """Stops at one chosen moment and reports it; each moment calls `at`."""

    def __init__(self, fd: int, phase: str, occurrence: int) -> None:
        self.fd = fd
        self.phase = phase
        self.left = occurrence
        self.dies_full = occurrence % 2 == 1
        self.up = False  # an engine does not start on a full disk
        self.lock = threading.Lock()

    def say(self, line: str) -> None:
        os.write(self.fd, line.encode() + b"\n")

    def full(self) -> bool:
        """Return whether this COMMIT finds the disk full. A few do, from the chosen one; then space is free again.

        The kill comes while the disk is full, or while the waiting transitions are recorded, for odd and even occurrences.
        """
        if self.phase != "full" or not self.up:
            return False
        with self.lock:
            self.left -= 1
            if self.left == (0 if self.dies_full else -FAILING - 2):
                self.say("at")
            return -FAILING < self.left <= 0

    def at(self, phase: str) -> None:
        if phase != self.phase:
            return
        with self.lock:
            self.left -= 1
            here = self.left == 0
        if here:
            self.say("at")
            time.sleep(60)


class HeldConnection:
    """The connection of the writer, with moments after BEGIN, before and after COMMIT."""

    def __init__(self, connection: sqlite3.Connection, moment: Moment) -> None:
        self._connection = connection
        self._moment = moment

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == "COMMIT":
            self._moment.at("writer")
            if self._moment.full():
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise error
        cursor = self._connection.execute(sql, *parameters)
        if sql == "COMMIT":
            self._moment.at("committed")
        elif sql in ("BEGIN IMMEDIATE", "RELEASE transition", "SAVEPOINT held", "RELEASE held"):
            self._moment.at("writer")
        return cursor


def before(owner: Any, name: str, phase: str, moment: Moment, after: bool = False) -> None:
    """Call a moment before (and after) each call of `owner.name`."""
    plain = getattr(owner, name)
    if asyncio.iscoroutinefunction(plain):

        async def held(*given: Any, **named: Any) -> Any:
            moment.at(phase)
            result = await plain(*given, **named)
            if after:
                moment.at(phase)
            return result

        setattr(owner, name, held)
        return

    def held_plain(*given: Any, **named: Any) -> Any:
        moment.at(phase)
        result = plain(*given, **named)
        if after:
            moment.at(phase)
        return result

    setattr(owner, name, held_plain)


def acknowledge(moment: Moment, early: bool) -> None:
    """Report the acknowledged events to the parent process; `early` reports them before the commit."""
    submit = db.Store._submit

    def submit_noted(self: db.Store, transition: Callable[[db.Tx], Any], **how: bool) -> asyncio.Future[Any]:
        facts: list[tuple[int, str, str | None]] = []

        def noted(tx: db.Tx) -> Any:
            mark = tx.mark()
            result = transition(tx)
            # A transition may be called again; its last call counts.
            facts[:] = [(event.seq, event.kind, event.node_id) for event in tx.events[mark[0] :]]
            if early:
                tell()
            return result

        def tell() -> None:
            for first in range(0, len(facts), 20):
                moment.say("ack " + json.dumps(facts[first : first + 20]))

        def done(future: asyncio.Future[Any]) -> None:
            if not early and not future.cancelled() and future.exception() is None:
                tell()

        future = submit(self, noted, **how)
        future.add_done_callback(done)
        return future

    db.Store._submit = submit_noted  # type: ignore[method-assign,assignment]


def double_apply() -> None:
    """Seed a bug: commit the result of a step without its position, so that it is repeated after a crash."""
    whole, whole_pure = transitions.complete_attempt, transitions.pure_step

    def torn(tx: Any, run: Any, step: Any, attempt: Any, done: Any, onward: Any, *rest: Any) -> int:
        return whole(tx, run, step, attempt, done, None, *rest)

    def torn_pure(run: Any, step: Any, done: Any, onward: Any, *rest: Any) -> None:
        whole_pure(run, step, done, None, *rest)

    transitions.complete_attempt, transitions.pure_step = torn, torn_pure


def leave_orphans() -> None:
    """Seed a bug: recovery does not end processes."""

    async def nothing(*given: Any, **named: Any) -> None:
        return None

    recovery.end_process_group = nothing  # type: ignore[assignment]


def forget_pauses() -> None:
    """Seed a bug: the pause of an active run is only an event, and its status is lost with the engine."""
    commit = Handler.commit

    def forgotten(handler: Handler, tx: Any, command: Any, *rest: Any, **named: Any) -> Any:
        outcome = commit(handler, tx, command, *rest, **named)
        if isinstance(command, Pause):
            tx.execute(
                "UPDATE runs SET status = 'running' WHERE key = ? AND status = 'pausing'", (outcome.ref.key,)
            )
        return outcome

    Handler.commit = forgotten  # type: ignore[method-assign]


def install(moment: Moment, bug: str) -> None:
    connect = db.connect

    def held_connect(path: Any, *, readonly: bool = False) -> Any:
        connection = connect(path, readonly=readonly)
        return connection if readonly else HeldConnection(connection, moment)

    db.connect = held_connect  # type: ignore[assignment]
    acknowledge(moment, bug == "early-ack")
    if bug == "double-apply":
        double_apply()
    if bug == "orphans":
        leave_orphans()
    if bug == "forget-pause":
        forget_pauses()
    before(attempt_context.AttemptContext, "process_started", "process", moment, after=True)
    before(process.Child, "release", "process", moment, after=True)
    before(stored_effects.EmbeddedEffects, "wait_for_retry", "timer", moment, after=True)
    before(request_deadlines, "run_timers", "timer", moment, after=True)
    before(people_commands, "answer_request", "answer", moment, after=True)
    before(Handler, "commit", "command", moment, after=True)
    before(transitions, "rest", "command", moment, after=True)
    before(run_mover, "apply", "command", moment, after=True)


async def answer_everything(engine: Engine) -> None:
    while True:
        for asked in await engine.requests(RequestQuery()):
            if asked.node_id != "gate":
                continue
            try:
                await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
            except VictorError as error:
                print(f"answering {asked.id}: {error}", file=sys.stderr)
        await asyncio.sleep(0.1)


COMMANDS = {
    "queued": ("pause", "cancel"),
    "running": ("pause", "pause", "cancel", "migrate", "", "", ""),
    "waiting": ("pause", "cancel", "migrate", "migrate", "", "", ""),
    "pausing": ("resume", "cancel", "migrate", "", "", "", "", ""),
    "paused": ("resume", "resume", "redrive", "cancel", "migrate", ""),
    "cancelled": ("redrive", "", ""),
}
"""The possible commands on a run by status; an empty name means no command."""


async def act(engine: Engine, run: RunInfo, command: str) -> None:
    """Execute one command on a run. The run may have changed, and the disk may be full."""
    try:
        if command == "pause":
            await engine.pause_run(run.id)
        elif command == "resume":
            await engine.resume_run(run.id)
        elif command == "cancel":
            await engine.cancel_run(run.id)
        elif command == "redrive":
            await engine.redrive_run(run.id)
        elif command == "migrate" and run.version == "1.0.0":
            await engine.migrate_runs(MigrationSpec("moves", "1.1.0", (run.id,)))
    except (ConflictError, StorageError):
        pass
    except VictorError as error:
        print(f"{command} of {run.id}: {error}", file=sys.stderr)


async def operate(engine: Engine, drawn: random.Random, *, at_end: bool) -> None:
    """Act on runs at random; at the end, only resume paused runs."""
    statuses = ("paused",) if at_end else tuple(COMMANDS)
    while True:
        runs = await engine.runs(RunQuery(statuses=statuses, limit=100))
        acts = []
        for run in runs:
            command = "resume" if at_end else drawn.choice(COMMANDS[run.status])
            if run.version == "1.0.0" and not at_end and drawn.random() < 0.5:
                command = "migrate"
            if command and run.trigger == "manual" and (at_end or drawn.random() < 0.3):
                acts.append(act(engine, run, command))
        await asyncio.gather(*acts)
        await asyncio.sleep(0.05 if at_end else drawn.uniform(0.02, 0.2))


async def started(engine: Engine, workflow: str) -> None:
    """Start a run, with retries while the disk is full."""
    while True:
        try:
            await engine.start_run(workflow, "1.0.0" if workflow == "moves" else None)
            return
        except StorageError as error:
            print(f"starting {workflow}: {error}", file=sys.stderr)
            await asyncio.sleep(0.1)


async def main() -> None:
    root, fd, phase, occurrence, runs, seed, bug = sys.argv[1:]
    moment = Moment(int(fd), phase, int(occurrence))
    install(moment, bug)
    drawn = random.Random(int(seed))
    with acting_as(local_actor("cli")):
        engine = await open_engine(find(root, Path(root) / ".state"), fire=phase != "end", serve=False)
        moment.say("ready")
        moment.up = True
        answering = asyncio.create_task(answer_everything(engine))
        operating = asyncio.create_task(operate(engine, random.Random(int(seed)), at_end=phase == "end"))
        always = () if phase == "end" else ("moves", *SUITED.get(phase, ()))
        for workflow in (*always, *drawn.choices(WORKFLOWS, k=int(runs))):
            await started(engine, workflow)
        while phase != "end" or await engine.runs(RunQuery(statuses=LIVE, limit=1)):
            await asyncio.sleep(0.05)
        answering.cancel()
        operating.cancel()
        await engine.close()


if __name__ == "__main__":
    asyncio.run(main())
