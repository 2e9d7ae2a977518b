"""A batch of schedules due in one second: the lateness of each, compared with APScheduler in the same run.

    python benchmarks/bench_batch.py [--batch 1000] [--ours 10000 100000] [--theirs 10000] [--rounds 3]

Each schedule is an hourly interval; `batch` of them share their second. A fire of this engine counts as begun when
it is claimed, its run is created, both are on disk (`synchronous=FULL`), and the run is handed to
the runtime.
A job of APScheduler counts as begun when its function is called in the default pool of threads: once with
the jobs in memory, where nothing is written, and once with fewer jobs in its SQLAlchemy job store on
SQLite, which writes the next fire time of each and keeps no record of a run.
Rounds alternate, so that the load of the machine affects all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from victor_engine.api import ENGINE_ACTOR, ScheduleSpec
from victor_engine.clock import SystemClock
from victor_engine.scheduling import schedule_commands
from victor_engine.scheduling.loop import SchedulerLoop
from victor_engine.store.db import Tx, open_store
from victor_engine.store.runs import Start

CHUNK = 5000
Lateness = tuple[float, float]
"""p50 and p99 in milliseconds."""
Work = tuple[float, float]
"""Microseconds of processor time for each fire: from two seconds before the due instant, and from that instant."""


def summary(late: list[float]) -> Lateness:
    late.sort()
    return late[len(late) // 2] * 1000, late[int(len(late) * 0.99)] * 1000


async def ours(directory: Path, count: int, batch: int, idle: float) -> tuple[Lateness, Work, float]:
    """Return the lateness of a batch, its processor time, and the share of a processor during `idle` seconds without
    due schedules."""
    store = open_store(directory / "victor.db", clock=SystemClock())
    store.begin_epoch()
    store.start()
    begun: list[float] = []
    done = asyncio.Event()

    def hand_over(runs: list[tuple[int, int]]) -> None:
        begun.extend([time.time()] * len(runs))
        if len(begun) >= batch:
            done.set()

    loop = SchedulerLoop(
        store, SystemClock(), resolve=lambda tx, workflow, version: Start(1, "a"), on_runs=hand_over
    )
    await store.write(
        lambda tx: tx.execute(
            "INSERT INTO definitions (id, workflow, version, checksum, content, text, registered_at)"
            " VALUES (1, 'w', '1.0.0', '', '{}', '', 0)"
        )
    )
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=count // 1500 + 15)

    def add(tx: Tx, first: int) -> None:
        for n in range(first, min(first + CHUNK, count)):
            anchor = due if n % (count // batch) == 0 else due + timedelta(minutes=10, milliseconds=30 * n)
            spec = ScheduleSpec(workflow="w", every_seconds=3600.0, anchor=anchor, initial_state={"n": n})
            schedule_commands.add(tx, spec, actor=ENGINE_ACTOR, origin="python")

    for first in range(0, count, CHUNK):
        await store.write(lambda tx, first=first: add(tx, first))
    await store.write(lambda tx: tx.event("engine.started"))
    if datetime.now(UTC) > due - timedelta(seconds=7):
        raise SystemExit(f"adding {count:,} schedules took too long on this machine")
    spent: list[float] = []

    async def used_by(moment: datetime) -> None:
        await asyncio.sleep((moment - datetime.now(UTC)).total_seconds())
        spent.append(time.process_time())

    await loop.start()
    clocks = [asyncio.create_task(used_by(moment)) for moment in (due - timedelta(seconds=2), due)]
    await done.wait()
    await asyncio.gather(*clocks)
    spent.append(time.process_time())
    work = (spent[2] - spent[0]) / batch * 1_000_000, (spent[2] - spent[1]) / batch * 1_000_000
    await asyncio.sleep(1)
    before = time.process_time()
    await asyncio.sleep(idle)
    used = (time.process_time() - before) / idle if idle else 0.0
    await loop.stop()
    await store.close()
    return summary([moment - due.timestamp() for moment in begun[:batch]]), work, used


_begun: list[float] = []


def begin() -> None:
    """The job of APScheduler; a job store on disk finds it by its name."""
    _begun.append(time.time())


def theirs(count: int, batch: int, directory: Path | None = None) -> Lateness:
    """Return the lateness of a batch of jobs. They are on disk if `directory` is given."""
    from apscheduler.schedulers.background import BackgroundScheduler
    from apscheduler.triggers.interval import IntervalTrigger

    _begun.clear()
    scheduler: Any = BackgroundScheduler(timezone=UTC)
    if directory is not None:
        scheduler.add_jobstore("sqlalchemy", url=f"sqlite:///{directory / 'jobs.db'}")
    scheduler.start(paused=True)
    a_second = 4000 if directory is None else 40
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=count // a_second + 10)
    for n in range(count):
        anchor = due if n % (count // batch) == 0 else due + timedelta(minutes=10, milliseconds=30 * n)
        trigger = IntervalTrigger(hours=1, start_date=anchor, timezone=UTC)
        scheduler.add_job(begin, trigger, misfire_grace_time=None)
    if datetime.now(UTC) > due:
        raise SystemExit(f"adding {count:,} jobs took too long on this machine")
    scheduler.resume()
    while len(_begun) < batch:
        time.sleep(0.1)
    scheduler.shutdown(wait=False)
    return summary([moment - due.timestamp() for moment in _begun])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--ours", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--theirs", type=int, default=10_000)
    parser.add_argument(
        "--theirs-on-disk", type=int, default=1000, help="jobs in the SQLAlchemy store; 0 skips this case"
    )
    parser.add_argument("--idle", type=float, default=60.0, help="idle seconds after the last round")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    results: dict[str, list[Lateness]] = {}
    idle: dict[int, float] = {}
    works: dict[int, list[Work]] = {}
    for number in range(given.rounds):
        print(f"round {number + 1} of {given.rounds}", flush=True)
        try:
            found = theirs(given.theirs, given.batch)
        except ImportError:
            print("APScheduler is not installed (the bench extra installs it): only this engine is measured")
        else:
            results.setdefault(f"APScheduler, {given.theirs:,} in memory", []).append(found)
            if given.theirs_on_disk and importlib.util.find_spec("sqlalchemy") is not None:
                with tempfile.TemporaryDirectory() as directory:
                    found = theirs(given.theirs_on_disk, given.batch, Path(directory))
                results.setdefault(f"APScheduler, {given.theirs_on_disk:,} on disk", []).append(found)
        for count in given.ours:
            with tempfile.TemporaryDirectory() as directory:
                rest = given.idle if number == given.rounds - 1 else 0.0
                late, work, idle[count] = asyncio.run(ours(Path(directory), count, given.batch, rest))
            results.setdefault(f"ours, {count:,} on disk", []).append(late)
            works.setdefault(count, []).append(work)
    base: Lateness | None = None
    for name, rounds in results.items():
        p50, p99 = (statistics.median(part) for part in zip(*rounds, strict=True))
        base = base or (p50, p99)
        ratio = f"  {p50 / base[0]:5.2f} and {p99 / base[1]:5.2f} of the first line"
        print(
            f"{given.batch:,} in one second  {name:<32} p50 {p50:7.1f} ms  p99 {p99:7.1f} ms{ratio}",
            flush=True,
        )
    for count, each in works.items():
        whole, after = (statistics.median(part) for part in zip(*each, strict=True))
        print(
            f"{count:,} schedules: {whole:.0f} µs of processor time per fire, {after:.0f} of them after the due instant"
        )
    for count, used in idle.items():
        print(f"{count:,} idle schedules for {given.idle:g} s: {used:.2%} of one processor", flush=True)


if __name__ == "__main__":
    main()
