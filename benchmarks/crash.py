"""Kills an engine repeatedly at chosen moments, and checks its store with an independent reader.

    python -m benchmarks.crash [--kills 300] [--seed 1]
                               [--seed-bug double-apply|early-ack|orphans|forget-pause]

Each life of the engine recovers the runs of the life before and starts a few more (chains, loops,
parallels, retries, waits, deadlines, requests, commands with child processes, child runs, runs that
change their version, and a schedule every second). During that it pauses, resumes, cancels, redrives and
migrates runs at random. It is killed with SIGKILL while it stops at a random moment:

    writer     between BEGIN and COMMIT       committed  after COMMIT, before the notification
    process    around the start of a command  timer      around the expiry of a retry or a deadline
    answer     around the transition of an answer
    full       while the disk is full, or just after it was
    command    around a pause, a resume, a cancellation, a redrive or a migration
    anywhere   at a random time, without a stop

The checker uses SQLite and /proc, and no code of the engine. The exit status is 1 if it finds a problem.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

PHASES = ("writer", "committed", "process", "timer", "answer", "full", "command", "anywhere")
BUGS = ("", "double-apply", "early-ack", "orphans", "forget-pause")
REPOSITORY = Path(__file__).resolve().parent.parent
SECOND = 1_000_000
LONGEST_LIFE = 20.0
"""Seconds after which an engine is killed although its moment has not come."""
ENDS = {"chain": 4, "loop": 5, "again": 2, "both": 2, "outer": 2, "moves": 2}
"""The final value of `n` of each workflow, which is the number of its counted steps."""

FILES = {
    "victor.yaml": f"""
        handlers:
          quick: {{command: [{sys.executable}, work.py, quick]}}
          once: {{command: [{sys.executable}, work.py, once]}}
          long: {{command: [{sys.executable}, work.py, long]}}
        """,
    # A command whose engine has died stays, with its child process, until both are ended.
    "work.py": """
        import json, os, subprocess, sys, time
        call = json.load(sys.stdin)
        parent = os.getppid()
        if sys.argv[1] == "once" and call["attempt"] == 1:
            sys.exit(3)
        if sys.argv[1] == "long":
            child = subprocess.Popen(["sleep", "1000"])
            time.sleep(0.3)
            if os.getppid() != parent:
                child.wait()
            child.kill()
            child.wait()
        json.dump({"did": call["node_id"]}, sys.stdout)
        """,
    "workflows/load.yaml": """
        workflows:
          chain:
            nodes:
              - {id: a, type: transform, transform: "n = 1", next: [w]}
              - {id: w, type: wait, for: 0.2s, next: [b]}
              - {id: b, type: transform, transform: "n = n + 1", next: [c]}
              - {id: c, type: transform, transform: "n = n + 1", next: [d]}
              - {id: d, type: transform, transform: "n = n + 1"}
          loop:
            nodes:
              - {id: a, type: transform, transform: "n = default(get(state, 'n'), 0) + 1", next: [w]}
              - {id: w, type: wait, for: 0.1s, next: [more]}
              - {id: more, type: transform, transform: "turns = default(get(state, 'turns'), 0) + 1", next: [enough]}
              - {id: enough, type: condition, condition: turns < 5, branches: {true: a, false: null}}
          both:
            nodes:
              - {id: a, type: transform, transform: "n = 1", next: [p]}
              - {id: p, type: parallel, parallel_nodes: [x, y, z], next: [b]}
              - {id: x, type: compute, handler: quick}
              - {id: y, type: wait, for: 0.2s}
              - {id: z, type: transform, transform: "z = 1"}
              - {id: b, type: transform, transform: "n = n + 1"}
          again:
            nodes:
              - {id: a, type: transform, transform: "n = 1", next: [try]}
              - id: try
                type: compute
                handler: once
                retry_policy: {max_attempts: 60, backoff: fixed, initial_delay: 0.2}
                next: [b]
              - {id: b, type: transform, transform: "n = n + 1"}
          ask:
            nodes:
              - {id: gate, type: hitl, hitl_type: approval, timeout: 1h, next: {approved: said, rejected: said}}
              - {id: said, type: transform, transform: "said = gate"}
          late:
            nodes:
              - id: silent
                type: hitl
                hitl_type: approval
                timeout: 0.4s
                fallback: continue
                next: {approved: said, rejected: said, timed_out: said}
              - {id: said, type: transform, transform: "said = 1"}
          work:
            nodes:
              - {id: long, type: compute, handler: long, next: [quick]}
              - {id: quick, type: compute, handler: quick}
          outer:
            nodes:
              - {id: a, type: transform, transform: "n = 1", next: [inner]}
              - {id: inner, type: workflow, workflow: chain, next: [b]}
              - {id: b, type: transform, transform: "n = n + 1"}
          tick:
            schedule: {every: 1s, overlap: allow, catchup: all}
            nodes:
              - {id: t, type: transform, transform: "n = 1"}
        """,
    "workflows/moves1.yaml": """
        workflows:
          moves:
            version: 1.0.0
            nodes:
              - {id: a, type: transform, transform: "n = 1", next: [w]}
              - {id: w, type: wait, for: 1.5s, next: [b]}
              - {id: b, type: transform, transform: "n = n + 1"}
        """,
    "workflows/moves2.yaml": """
        workflows:
          moves:
            version: 1.1.0
            migrations:
              - {from: 1.0.0, to: 1.1.0, steps: [{type: add_field, field: moved, default: 1}]}
            nodes:
              - {id: a, type: transform, transform: "n = 1", next: [w]}
              - {id: w, type: wait, for: 1.5s, next: [b]}
              - {id: b, type: transform, transform: "n = n + 1"}
        """,
}


@dataclass
class Acknowledgements:
    """The acknowledged facts of all lives of the engine, and the end of each life."""

    acknowledged: dict[int, tuple[str, str | None]] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    commands: Counter[str] = field(default_factory=Counter)


# --- the checker -----------------------------------------------------------------------------------


def replayed(connection: sqlite3.Connection, run: int, given: str) -> dict[str, object]:
    """Return the state of a run, computed from its input and the patches of its attempts."""
    state: dict[str, object] = json.loads(given)
    rows = connection.execute(
        "SELECT patch FROM attempts WHERE run_key = ? AND patch IS NOT NULL AND parent IS NULL ORDER BY id",
        (run,),
    )
    for (text,) in rows:
        state.update(json.loads(text).get("s", {}))
    return state


def check(path: Path, facts: Acknowledgements, *, final: bool) -> list[str]:
    """Return all problems of the store, from one snapshot of it."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("BEGIN")
    try:
        return [
            *_lost(connection, facts),
            *_twice(connection),
            *_counted(connection),
            *_fires(connection),
            *_commanded(connection),
            *_moved(connection),
            *(_stuck(connection) if final else ()),
        ]
    finally:
        connection.close()


def commands_of(path: Path) -> Counter[str]:
    """Return the number of commands on runs, by kind of event."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return Counter(
            dict(
                connection.execute(
                    "SELECT kind, count(*) FROM events WHERE actor IS NOT NULL AND kind IN ('run.pausing',"
                    " 'run.paused', 'run.resumed', 'run.cancelling', 'run.redriven', 'run.migrated') GROUP BY kind"
                )
            )
        )
    finally:
        connection.close()


def _lost(connection: sqlite3.Connection, facts: Acknowledgements) -> list[str]:
    there = {
        seq: (kind, node) for seq, kind, node in connection.execute("SELECT seq, kind, node_id FROM events")
    }
    return [
        f"lost: event {seq} was acknowledged as {fact}, and the store has {there.get(seq)}"
        for seq, fact in facts.acknowledged.items()
        if there.get(seq) != fact
    ]


def _twice(connection: sqlite3.Connection) -> list[str]:
    twice = connection.execute(
        "SELECT run_key, node_id, iteration, count(*) FROM attempts WHERE status = 'succeeded'"
        " GROUP BY run_key, node_id, iteration HAVING count(*) > 1"
    )
    answered = connection.execute(
        "SELECT request_id, count(*) FROM events WHERE kind = 'request.answered'"
        " GROUP BY request_id HAVING count(*) > 1"
    )
    return [
        *(f"twice: run {run} has applied {node} (visit {visit}) {n} times" for run, node, visit, n in twice),
        *(f"twice: request {request} was answered {n} times" for request, n in answered),
    ]


def _counted(connection: sqlite3.Connection) -> list[str]:
    found = []
    rows = connection.execute(
        "SELECT key, workflow, status, state FROM runs JOIN run_states ON run_key = key AND after_attempt = 0"
        " WHERE status = 'succeeded'"
    ).fetchall()
    for key, workflow, _, given in rows:
        if workflow not in ENDS:
            continue
        steps = connection.execute(
            "SELECT count(*) FROM attempts WHERE run_key = ? AND status = 'succeeded' AND node_type = 'transform'"
            " AND parent IS NULL AND node_id IN ('a', 'b', 'c', 'd')",
            (key,),
        ).fetchone()[0]
        n = replayed(connection, key, given).get("n")
        if not n == steps == ENDS[workflow]:
            found.append(
                f"counted: run {key} of {workflow} has n = {n} after {steps} steps of {ENDS[workflow]}"
            )
    return found


def _commanded(connection: sqlite3.Connection) -> list[str]:
    """Return the problems of runs that were active although they were paused, cancelled or over."""
    rows = connection.execute(
        "SELECT seq, run_key, kind, node_id, actor, data FROM events WHERE kind = 'engine.started'"
        " OR (run_key IS NOT NULL AND kind GLOB 'run.*') OR kind IN ('node.started', 'node.completed') ORDER BY seq"
    )
    found = []
    command_of: dict[int, str] = {}  # the last command on a run, or its end
    settled: set[int] = set()  # runs that must not be active before another command
    for seq, run, kind, node, actor, data in rows:
        if kind == "engine.started":
            settled |= {
                key for key, command in command_of.items() if command in ("run.pausing", "run.cancelling")
            }
            continue
        # A child that has ended goes on by itself when its parent is tried again.
        on_request = actor is not None or "by_parent" in json.loads(data or "{}")
        goes_on = kind == "run.redriven" or (kind == "run.resumed" and on_request)
        if kind in ("node.started", "node.completed", "run.started", "run.resumed") and not goes_on:
            if run in settled:
                found.append(f"held: run {run} has {kind} ({node}, event {seq}) after {command_of[run]}")
        elif kind == "run.finished" and command_of.get(run) == "run.finished":
            found.append(f"twice: run {run} has ended twice (event {seq})")
        elif kind == "run.finished" and command_of.get(run) == "run.paused":
            found.append(f"held: run {run} has ended although it was paused (event {seq})")
        if goes_on:
            command_of.pop(run, None)
            settled.discard(run)
        elif kind in ("run.pausing", "run.paused", "run.cancelling", "run.finished"):
            command_of[run] = kind
            if kind in ("run.paused", "run.finished"):
                settled.add(run)
            else:
                settled.discard(run)
    statuses = dict(connection.execute("SELECT key, status FROM runs"))
    expected = {
        "run.pausing": ("pausing",),
        "run.paused": ("paused",),
        "run.cancelling": ("cancelling",),
        "run.finished": ("succeeded", "failed", "rejected", "cancelled"),
    }
    found += [
        f"held: run {run} is {statuses[run]} after {command}"
        for run, command in command_of.items()
        if statuses[run] not in expected[command]
    ]
    return found


def _moved(connection: sqlite3.Connection) -> list[str]:
    """Return the problems of runs whose version, migrations and state do not agree."""
    found = []
    rows = connection.execute(
        "SELECT r.key, d.version, s.state FROM runs r JOIN definitions d ON d.id = r.definition_id"
        " JOIN run_states s ON s.run_key = r.key AND s.after_attempt = 0 WHERE r.workflow = 'moves'"
    ).fetchall()
    for key, version, given in rows:
        (moves,) = connection.execute(
            "SELECT count(*) FROM run_migrations WHERE run_key = ?", (key,)
        ).fetchone()
        (events,) = connection.execute(
            "SELECT count(*) FROM events WHERE run_key = ? AND kind = 'run.migrated'", (key,)
        ).fetchone()
        moved = replayed(connection, key, given).get("moved")
        if not (moves == events == int(version == "1.1.0") == (moved or 0)):
            found.append(
                f"moved: run {key} is on {version} with moved = {moved} after {moves} migrations, {events} events"
            )
    return found


def _fires(connection: sqlite3.Connection) -> list[str]:
    found = []
    for schedule, cursor in connection.execute("SELECT id, cursor FROM schedules").fetchall():
        fires = connection.execute(
            "SELECT nominal, outcome, run_key FROM fires WHERE schedule_id = ? ORDER BY nominal", (schedule,)
        ).fetchall()
        instants = [nominal for nominal, _, _ in fires]
        if len(set(instants)) != len(instants):
            found.append(f"fires: {schedule} has fired an instant twice")
        for one, next_one in itertools.pairwise(instants):
            if next_one - one != SECOND:
                found.append(f"fires: {schedule} does not account for what lies between {one} and {next_one}")
        if instants and cursor - instants[-1] >= SECOND:
            found.append(f"fires: {schedule} says {cursor}, and its last fire is {instants[-1]}")
        runs = Counter(run for _, outcome, run in fires if outcome == "started")
        real = Counter(
            key for (key,) in connection.execute("SELECT key FROM runs WHERE schedule_id = ?", (schedule,))
        )
        if not set(runs) <= set(real) or any(count > 1 for count in runs.values()):
            found.append(f"fires: {schedule} has started fires without a run of their own")
        strays = set(real) - {run for _, _, run in fires}
        if strays:
            found.append(f"fires: {schedule} has runs that no fire accounts for: {sorted(strays)[:5]}")
    return found


def _stuck(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute(
        "SELECT key, workflow, status, error FROM runs r WHERE status <> 'succeeded' AND NOT"
        " (status = 'cancelled' AND EXISTS"
        " (SELECT 1 FROM events e WHERE e.run_key = r.key AND e.kind = 'run.cancelling'))"
    ).fetchall()
    live = connection.execute(
        "SELECT run_key, node_id, status FROM attempts WHERE status IN ('running', 'waiting', 'retrying')"
    ).fetchall()
    return [
        *(f"stuck: run {key} of {workflow} is {status} ({error})" for key, workflow, status, error in rows),
        *(f"stuck: {node} of run {key} is still {status}" for key, node, status in live),
    ]


def processes(root: Path, before: float | None = None) -> list[int]:
    """Return the live commands of the workspace; with `before`, those that began before that time of the boot clock."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            inside = os.readlink(entry / "cwd") == str(root)
            stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        began = int(stat[19]) / os.sysconf("SC_CLK_TCK")
        if inside and stat[0] not in "ZX" and (before is None or began < before):
            found.append(int(entry.name))
    return found


# --- lives -----------------------------------------------------------------------------------------


def environment(root: Path) -> dict[str, str]:
    """Return an environment with a separate home, so that no files of the user are changed."""
    return {**os.environ, "HOME": str(root.parent / "home"), "XDG_CONFIG_HOME": "", "VICTOR_STATE": ""}


class Life:
    """One life of the engine, and its output."""

    def __init__(
        self, root: Path, facts: Acknowledgements, phase: str, occurrence: int, runs: int, seed: int, bug: str
    ) -> None:
        self.facts = facts
        self.ready = threading.Event()
        self.standing = threading.Event()
        self.began = time.clock_gettime(time.CLOCK_BOOTTIME)
        ours, theirs = os.pipe()
        words = [str(root), str(theirs), phase, str(occurrence), str(runs), str(seed), bug]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.crash_child", *words],
            cwd=REPOSITORY,
            env=environment(root),
            pass_fds=(theirs,),
        )
        os.close(theirs)
        self.listener = threading.Thread(target=self._listen, args=(ours,))
        self.listener.start()

    def _listen(self, fd: int) -> None:
        with open(fd, encoding="utf-8") as lines:
            for line in lines:
                word, _, rest = line.partition(" ")
                if word == "ack":
                    for seq, kind, node in json.loads(rest):
                        self.facts.acknowledged[seq] = (kind, node)
                elif word.strip() == "ready":
                    self.ready.set()
                elif word.strip() == "at":
                    self.standing.set()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.listener.join(30)


def one_life(root: Path, facts: Acknowledgements, drawn: random.Random, bug: str, turn: int) -> list[str]:
    phase = PHASES[turn % len(PHASES)]
    occurrence = drawn.randint(
        1, {"writer": 120, "committed": 40, "process": 8, "full": 40, "command": 30}.get(phase, 4)
    )
    life = Life(root, facts, phase, occurrence, drawn.randint(3, 8), drawn.randrange(2**31), bug)
    problems = []
    if phase == "anywhere":
        life.standing.wait(drawn.uniform(0.3, 2.5))
        stood = True
    else:
        stood = life.standing.wait(LONGEST_LIFE)
        time.sleep(drawn.uniform(0, 0.02))
    if life.ready.is_set():
        old = processes(root, life.began)
        if old:
            problems.append(f"orphans: {old} remain from an earlier life after recovery")
    code = life.process.poll()
    if code is not None:
        problems.append(f"the engine ended by itself with {code}")
    life.kill()
    facts.kills[phase] += stood
    facts.missed += not stood
    return problems


def crash(
    root: Path, kills: int, seed: int, bug: str = "", say: bool = True
) -> tuple[Acknowledgements, list[str]]:
    """Kill the engine on `root` `kills` times, then let it finish. Return the acknowledged facts and the problems."""
    for name, text in FILES.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(dedent(text))
    subprocess.run(
        [sys.executable, "-c", "import sys, pathlib; from victor_engine.config import trust; "
         "trust(pathlib.Path(sys.argv[1]))", str(root)],
        cwd=REPOSITORY, env=environment(root), check=True,
    )  # fmt: skip
    facts, drawn = Acknowledgements(), random.Random(seed)
    store = root / ".state" / "victor.db"
    began = time.monotonic()
    for turn in range(kills):
        problems = one_life(root, facts, drawn, bug, turn)
        if store.exists():
            problems += check(store, facts, final=False)
        if problems:
            return facts, problems
        if say and (turn + 1) % 10 == 0:
            spent = time.monotonic() - began
            left = spent / (turn + 1) * (kills - turn - 1)
            print(
                f"{turn + 1} of {kills} kills after {spent:.0f} s, {len(facts.acknowledged):,} acknowledged events are"
                f" stored; about {left:.0f} s remain",
                flush=True,
            )
    last = Life(root, facts, "end", 0, 0, 0, bug)
    try:
        code = last.process.wait(120)
    except subprocess.TimeoutExpired:
        code = None
    last.kill()
    problems = check(store, facts, final=True)
    facts.commands = commands_of(store)
    if code != 0:
        problems.append(f"the last engine did not finish all runs (exit status {code})")
    left = processes(root)
    if left:
        problems.append(f"orphans: {left} remain at the end")
    return facts, problems


def end_leftovers(root: Path) -> None:
    for pid in processes(root):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seed-bug", choices=BUGS, default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory).resolve() / "ws"
        try:
            facts, problems = crash(root, given.kills, given.seed, given.seed_bug)
        finally:
            end_leftovers(root)
    counts = ", ".join(f"{phase} {facts.kills[phase]}" for phase in PHASES)
    print(f"seed {given.seed}: killed in {counts}; the chosen moment did not come in {facts.missed} lives")
    print(f"{len(facts.acknowledged):,} acknowledged events checked")
    print("commands: " + ", ".join(f"{kind} {count}" for kind, count in sorted(facts.commands.items())))
    for problem in problems[:20]:
        print(problem)
    print("no problems" if not problems else f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
