"""Many requests, each answered by two to eight processes at once: each has one winner, and all are notified of it.

    python -m benchmarks.race [--requests 10000] [--consoles 5] [--command-lines 3] [--seed 1]
                              [--seed-bug second-counts]

The contestants are long-lived processes: consoles that keep a connection, and command lines that open
one for each answer. Some approve and some reject. The checker uses SQLite and the export of
`victor inbox audit`, and no code of the engine. The exit status is 1 if it finds a problem.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
BUGS = ("", "second-counts")
IN_FLIGHT = 8
"""Number of requests that are contested at the same time."""
HESITATION = 0.05
"""Maximum delay of a console in seconds, so that each kind of contestant wins some requests."""

WORKFLOW = """
workflows:
  gate:
    nodes:
      - {id: gate, type: hitl, hitl_type: approval, prompt: "Ship {n}?", context_keys: [n], next: [said]}
      - {id: said, type: transform, transform: "said = gate"}
"""

SERVE = """
import asyncio, sys
from victor_engine.service.daemon import serve
if sys.argv[3] == "second-counts":
    from victor_engine.people import requests, stored_request
    requests.read_for = lambda tx, request, command, revision=None: stored_request.read_row(tx, request)
sys.exit(asyncio.run(serve(*sys.argv[1:3])))
"""


@dataclass
class Contestant:
    number: int
    kind: str
    process: asyncio.subprocess.Process
    waiting: dict[str, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)

    @property
    def remote(self) -> str:
        """Return its remote address, in the form of SSH_CONNECTION."""
        return remote(self.number)

    async def listen(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            said = json.loads(line)
            self.waiting.pop(said["request"]).set_result({**said, "kind": self.kind, "remote": self.remote})

    def answer(self, request: str, word: str, hesitate: float) -> asyncio.Future[dict[str, Any]]:
        assert self.process.stdin is not None
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.waiting[request] = future
        comment = f"{self.number} comments"
        task = {"request": request, "word": word, "comment": comment, "hesitate": hesitate}
        self.process.stdin.write(json.dumps(task).encode() + b"\n")
        return future


def remote(number: int) -> str:
    return f"192.0.2.{number}"


def environment(root: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("VICTOR_", "XDG_", "SSH_"))}
    return {**kept, "HOME": str(root.parent), "PYTHONPATH": str(REPOSITORY)}


async def contestant(root: Path, number: int, kind: str) -> Contestant:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.race_child", kind, str(root), str(root / ".state"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY,
        env={**environment(root), "SSH_CONNECTION": f"{remote(number)} 50000 198.51.100.1 22"},
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n", f"{kind} {number} did not start"
    return Contestant(number, kind, process)


async def started(root: Path, bug: str) -> asyncio.subprocess.Process:
    """Start the engine, and return when it is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, str(root), str(root / ".state"), bug, cwd=root, env=environment(root)
    )
    async with asyncio.timeout(60):
        while not (root / ".state" / "engine.sock").exists():
            assert process.returncode is None, "the engine did not start"
            await asyncio.sleep(0.02)
    return process


async def victor(root: Path, *words: str) -> bytes:
    """Return the output of the command line, which must succeed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "victor_engine.cli.main", "--workspace", str(root), "--state-dir", str(root / ".state"),
        *words, stdout=subprocess.PIPE, env=environment(root),
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0, f"victor {' '.join(words)} ended with {process.returncode}"
    return out


def questions(root: Path) -> list[str]:
    with sqlite3.connect(f"file:{root / '.state' / 'victor.db'}?mode=ro", uri=True) as reader:
        return [
            id_ for (id_,) in reader.execute("SELECT id FROM requests WHERE status = 'open' ORDER BY key")
        ]


async def ask(root: Path, count: int) -> list[str]:
    """Start `count` runs that each open one request. Return the ids of the requests."""
    from victor_engine.service.connect import attach, find

    port = await attach(find(root, root / ".state"), "api")
    assert port is not None
    for first in range(0, count, 100):
        await asyncio.gather(
            *(port.start_run("gate", state={"n": n}) for n in range(first, min(first + 100, count)))
        )
    await port.close()
    async with asyncio.timeout(600):
        while len(found := questions(root)) < count:
            await asyncio.sleep(0.1)
    return found


async def fight(
    contestants: list[Contestant], requests: list[str], seed: int, say: bool
) -> list[list[dict[str, Any]]]:
    """Let some of the contestants answer each request at once. Return their results."""
    drawn, slots, done = random.Random(seed), asyncio.Semaphore(IN_FLIGHT), 0

    async def one(
        request: str, chosen: list[Contestant], words: list[str], pauses: list[float]
    ) -> list[dict[str, Any]]:
        nonlocal done
        async with slots:
            answers = [
                c.answer(request, word, pause) for c, word, pause in zip(chosen, words, pauses, strict=True)
            ]
            results = list(await asyncio.gather(*answers))
        done += 1
        if say and done % 1000 == 0:
            print(f"{done:,} requests contested", flush=True)
        return results

    rounds = []
    for request in requests:
        chosen = drawn.sample(contestants, drawn.randint(2, min(8, len(contestants))))
        words = ["approve", "reject", *(drawn.choice(("approve", "reject")) for _ in chosen[2:])]
        drawn.shuffle(words)
        # A console is faster than a command that has to connect first, so in half of the cases it waits a moment.
        most = drawn.choice((0.0, HESITATION))
        pauses = [drawn.uniform(0, most) if c.kind == "console" else 0.0 for c in chosen]
        rounds.append(one(request, chosen, words, pauses))
    return list(await asyncio.gather(*rounds))


async def ended(root: Path, count: int) -> None:
    """Wait until all runs have ended."""
    with sqlite3.connect(f"file:{root / '.state' / 'victor.db'}?mode=ro", uri=True) as reader:
        async with asyncio.timeout(600):
            while (
                reader.execute("SELECT COUNT(*) FROM runs WHERE finished_at IS NOT NULL").fetchone()[0]
                < count
            ):
                await asyncio.sleep(0.1)


async def race(
    root: Path, requests: int, consoles: int, command_lines: int, seed: int, bug: str = "", say: bool = True
) -> tuple[list[list[dict[str, Any]]], list[str]]:
    """Run the contest on `root`. Return the results of the contestants, and the problems."""
    (root / "workflows").mkdir(parents=True)
    (root / "victor.yaml").write_text("{}\n")
    (root / "workflows" / "gate.yaml").write_text(WORKFLOW)
    await victor(root, "trust")
    engine = await started(root, bug)
    contestants: list[Contestant] = []
    try:
        kinds = ["console"] * consoles + ["cli"] * command_lines
        contestants += await asyncio.gather(*(contestant(root, n, kind) for n, kind in enumerate(kinds, 1)))
        listeners = [asyncio.create_task(c.listen()) for c in contestants]
        results = await fight(contestants, await ask(root, requests), seed, say)
        await ended(root, requests)
        for one in contestants:
            assert one.process.stdin is not None
            one.process.stdin.close()
        await asyncio.gather(*listeners, *(one.process.wait() for one in contestants))
    finally:
        for one in contestants:
            if one.process.returncode is None:
                one.process.kill()
        if engine.returncode is None:
            engine.send_signal(signal.SIGTERM)
        await engine.wait()
    exported = await victor(root, "inbox", "audit")
    return results, [*check(root, results), *check_audit(exported, results)]


# --- the independent reader --------------------------------------------------------------------


def check(root: Path, results: list[list[dict[str, Any]]]) -> list[str]:
    """Compare the store with the results of the contestants."""
    problems: list[str] = []
    reader = sqlite3.connect(f"file:{root / '.state' / 'victor.db'}?mode=ro", uri=True)
    votes: dict[str, list[Any]] = {}
    for row in reader.execute(
        "SELECT q.id, v.outcome, v.comment, v.actor, v.at FROM votes v JOIN requests q ON q.key = v.request_key"
    ):
        votes.setdefault(row[0], []).append(row[1:])
    rows = {
        row[0]: row[1:]
        for row in reader.execute(
            "SELECT q.id, q.status, q.outcome, q.revision, q.answered_at, r.status FROM requests q"
            " JOIN runs r ON r.key = q.run_key"
        )
    }
    reader.close()
    if len(rows) != len(results):
        problems.append(f"{len(results)} requests were contested, and the store has {len(rows)}")
    for answers in results:
        request = answers[0]["request"]
        problems += [
            f"{request}: {fault}" for fault in _faults(answers, rows.get(request), votes.get(request, []))
        ]
    return problems


def _faults(answers: list[dict[str, Any]], row: Any, votes: list[Any]) -> list[str]:
    winners = [answer for answer in answers if answer["won"]]
    if len(winners) != 1:
        return [f"{len(winners)} of {len(answers)} contestants won"]
    if row is None or len(votes) != 1:
        return [f"{len(votes)} answers are stored"]
    (winner,) = winners
    status, outcome, revision, answered_at, run = row
    ((said, comment, actor, at),) = votes
    who = json.loads(actor)
    faults = []
    if (status, revision) != ("answered", 2) or (outcome, answered_at) != (said, at):
        faults.append(f"the request is {status} as {outcome}, revision {revision}, and the answer is {said}")
    if said != winner["result"]["outcome"] or not said.startswith(winner["word"]):
        faults.append(f"the winner answered {winner['word']}, and {said} is stored")
    if (comment, who["via"], who["remote"].removeprefix("claimed:")) != (
        winner["comment"], winner["kind"], winner["remote"],
    ):  # fmt: skip
        faults.append(f"the winner was {winner['kind']} at {winner['remote']}, and {actor} is stored")
    if run != ("succeeded" if said == "approved" else "rejected"):
        faults.append(f"the answer was {said} and the run {run}")
    moment = datetime.fromtimestamp(at / 1_000_000, UTC)
    for loser in answers:
        if not loser["won"] and not _names_winner(loser["result"], who["user"], moment, said):
            faults.append(f"a loser got {loser['result']} instead of {who['user']}, {moment}, {said}")
    return faults


def _names_winner(result: dict[str, Any], who: str, moment: datetime, what: str) -> bool:
    """Check the details of a console, or the sentence and exit status 5 of a command line."""
    if "exit" in result:
        sentence = f"error: {who} answered this request at {moment:%Y-%m-%d %H:%M:%S} UTC: {what}"
        return bool(result["exit"] == 5 and result["message"] == sentence)
    if result.get("code") != "already_answered":
        return False
    return (result["by"], datetime.fromisoformat(result["at"]), result["outcome"]) == (who, moment, what)


def check_audit(exported: bytes, results: list[list[dict[str, Any]]]) -> list[str]:
    """Check the export of `victor inbox audit`: each request as shown, opened once, answered once by its winner."""
    problems = []
    records = {record["request"]: record for record in map(json.loads, exported.decode().splitlines())}
    for answers in results:
        request, winner = answers[0]["request"], next((a for a in answers if a["won"]), None)
        record = records.get(request)
        if record is None or winner is None:
            problems.append(f"{request}: not in the audit")
            continue
        kinds = [event["event"] for event in record["events"]]
        last = record["events"][-1]
        if kinds != ["request.opened", "request.answered"] or not record["digest_matches"]:
            problems.append(
                f"{request}: the audit trail has {kinds}, digest matches: {record['digest_matches']}"
            )
        elif (last["comment"], last["by"]["via"]) != (winner["comment"], winner["kind"]):
            problems.append(f"{request}: the audit trail has {last}")
        elif record["shown"]["prompt"] != f"Ship {record['shown']['context']['n']}?":
            problems.append(f"{request}: the audit trail does not contain the shown content")
    return problems


def resumed(root: Path) -> list[float]:
    """Return the milliseconds from the commit of each answer to the next event of its run, sorted."""
    with sqlite3.connect(f"file:{root / '.state' / 'victor.db'}?mode=ro", uri=True) as reader:
        rows = reader.execute(
            "SELECT (SELECT MIN(n.at) FROM events n WHERE n.run_key = e.run_key AND n.seq > e.seq) - e.at"
            " FROM events e WHERE e.kind = 'request.answered'"
        ).fetchall()
    return sorted(us / 1000 for (us,) in rows)


# --- report ----------------------------------------------------------------------------------------


def contested(answers: list[dict[str, Any]]) -> bool:
    """Return whether a loser began before the winner had its result."""
    winner = next((answer for answer in answers if answer["won"]), None)
    return winner is not None and any(a["began"] < winner["ended"] for a in answers if not a["won"])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--consoles", type=int, default=5)
    parser.add_argument("--command-lines", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seed-bug", choices=BUGS, default="")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory).resolve() / "ws"
        results, problems = asyncio.run(
            race(
                root, given.requests, given.consoles, given.command_lines, given.seed,
                given.seed_bug,
            )
        )  # fmt: skip
        waits = resumed(root)
    winners = Counter(a["kind"] for answers in results for a in answers if a["won"])
    words = Counter(a["word"] for answers in results for a in answers if a["won"])
    print(
        f"seed {given.seed}: {len(results):,} requests, {sum(map(len, results)):,} answers by {given.consoles} consoles "
        f"and {given.command_lines} command lines in {time.monotonic() - began:.0f} s"
    )
    print(f"in {sum(map(contested, results)):,} a loser began before the winner had its result")
    print(f"won by: {dict(winners)}; {dict(words)}")
    print(
        f"runs went on after {waits[len(waits) // 2]:.1f} ms (median), {waits[len(waits) * 99 // 100]:.1f} ms (99 %), "
        f"{waits[-1]:.1f} ms (longest)"
    )
    for problem in problems[:20]:
        print(problem)
    print("no problems" if not problems else f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
