"""`make bench`: run all benchmarks in turn; each prints ratios from its own run."""

from __future__ import annotations

import time

from benchmarks import bench_batch, bench_cron, bench_growth, bench_paint, bench_runs, bench_scheduler

BENCHMARKS = (
    (bench_runs, "runs beside LangGraph, DBOS and a bare loop", 6),
    (bench_growth, "the cost of a node as runs, states and stores grow", 4),
    (bench_cron, "the next fire beside croniter, cronsim and APScheduler", 1),
    (bench_scheduler, "loading and firing 2,000 to 100,000 schedules", 3),
    (bench_batch, "1,000 fires in one second beside APScheduler", 10),
    (bench_paint, "from a key to the screen beside an empty Textual screen", 6),
)
"""Each benchmark with its subject and its approximate minutes on two cores."""

if __name__ == "__main__":
    print(
        f"{len(BENCHMARKS)} benchmarks, about {sum(minutes for *_, minutes in BENCHMARKS)} minutes on two cores"
    )
    for number, (benchmark, subject, minutes) in enumerate(BENCHMARKS, 1):
        print(f"\n== {number} of {len(BENCHMARKS)}: {subject} (about {minutes} min)", flush=True)
        began = time.monotonic()
        benchmark.main()
        print(f"   took {(time.monotonic() - began) / 60:.1f} min", flush=True)
