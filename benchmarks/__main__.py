"""`make bench`: every benchmark, one after the other; each prints ratios from its own run."""

from __future__ import annotations

from benchmarks import bench_cron, bench_crowd, bench_growth, bench_paint, bench_runs, bench_scheduler

for benchmark in (bench_runs, bench_growth, bench_cron, bench_scheduler, bench_crowd, bench_paint):
    print(f"== {benchmark.__name__}", flush=True)
    benchmark.main()
