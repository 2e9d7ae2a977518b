"""The next fires of 1,000 expressions, compared with croniter, cronsim and APScheduler in one run.

    python benchmarks/bench_cron.py [--expressions 1000] [--zone Europe/Berlin]

Each library parses each expression once, outside the measured time if its interface allows
that, and then computes five fires in a row; the best of three rounds counts. The output includes the number of
expressions with other fires than those of this engine: croniter joins `*/2` in the days of the month and a weekday
by OR, while cronie and cronsim join them by AND. APScheduler is measured if it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter
from cronsim import CronSim

from victor_engine.scheduler import CronSchedule

FIRES = 5
ROUNDS = 3
FIELDS = (
    ["0", "*/5", "*/15", "30", "0,30", "7", "*/7", "15-20", "59", "*"],
    ["*", "0", "9", "*/2", "9-17", "3,15", "*/6", "23"],
    ["*", "*", "*", "1", "15", "*/2", "1-7", "28"],
    ["*", "*", "*", "1", "*/3", "6-8", "2,12"],
    ["*", "*", "*", "1-5", "0", "1,3,5", "6"],
)
START = datetime(2026, 5, 4, 8, 0, 30, tzinfo=UTC)

Following = Callable[[], datetime]


def expressions(count: int) -> list[str]:
    spread = [" ".join(fields) for fields in itertools.product(*FIELDS)]
    return random.Random(1).sample(sorted(set(spread)), count)


def ours(expression: str, zone: str) -> Callable[[], list[datetime]]:
    schedule = CronSchedule.from_cron(expression, zone)
    return lambda: schedule.upcoming(FIRES, START)


def with_croniter(expression: str, zone: str) -> Callable[[], list[datetime]]:
    walker, start = croniter(expression), START.astimezone(ZoneInfo(zone))

    def run() -> list[datetime]:
        walker.set_current(start, force=True)
        return [walker.get_next(datetime) for _ in range(FIRES)]

    return run


def with_cronsim(expression: str, zone: str) -> Callable[[], list[datetime]]:
    start = START.astimezone(ZoneInfo(zone))
    return lambda: list(itertools.islice(CronSim(expression, start), FIRES))


def with_apscheduler(expression: str, zone: str) -> Callable[[], list[datetime]]:
    from apscheduler.triggers.cron import CronTrigger

    trigger: Any = CronTrigger.from_crontab(expression, timezone=ZoneInfo(zone))

    def run() -> list[datetime]:
        found: list[datetime] = []
        previous, now = None, START
        for _ in range(FIRES):
            previous = trigger.get_next_fire_time(previous, now)
            if previous is None:
                break
            found.append(previous)
            now = previous
        return found

    return run


def measure(jobs: list[Callable[[], list[datetime]]]) -> float:
    """Return the microseconds for one fire."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for job in jobs:
            job()
        best = min(best, time.perf_counter() - start)
    return best / (len(jobs) * FIRES) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--expressions", type=int, default=1000)
    parser.add_argument("--zone", default="Europe/Berlin")
    given = parser.parse_args()
    makers = {"ours": ours, "croniter": with_croniter, "cronsim": with_cronsim}
    if importlib.util.find_spec("apscheduler") is not None:
        makers["APScheduler"] = with_apscheduler
    texts = expressions(given.expressions)
    for zone in dict.fromkeys(["UTC", given.zone]):
        found = {name: measure([make(text, zone) for text in texts]) for name, make in makers.items()}
        print(f"{len(texts)} expressions in {zone}, {FIRES} fires each")
        for name, cost in found.items():
            differ = sum(makers[name](text, zone)() != ours(text, zone)() for text in texts)
            print(f"  {name:12} {cost:8.1f} us a fire {cost / found['ours']:6.1f} x ours, {differ} differ")


if __name__ == "__main__":
    main()
