"""Compares the processor time of a node between two checkouts.

    python -m benchmarks.compare OLD_CHECKOUT [NEW_CHECKOUT] [--pairs 10] [--runs 2000]
                                 [--concurrency 1 10 100] [--limit 5]

Each checkout runs its own `benchmarks.bench_runs`, by this interpreter and with its packages, in a separate process
and directory. A pair is one measurement of each, the old one first in every other pair, so that
drift of the machine affects both. The output is the median of the relative differences of the pairs, and the interval
of their order statistics that contains the true median with at least 95 % confidence (with less if there are
fewer than six pairs). `per node` is the processor time of the process of the engine; `in all` also counts its
start, its end and its child processes. With `--limit` the exit status is 1 if a median per node is above that
percentage.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from math import comb
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent.parent
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Measured:
    """The processor time of one measurement: microseconds per node, and seconds in all."""

    node: float
    whole: float


def measure(checkout: Path, runs: int, concurrency: int) -> Measured:
    """Measure one checkout in a separate process."""
    words = ["--only", "ours", "--runs", str(runs), "--concurrency", str(concurrency)]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bench_runs", *words],
        stdout=subprocess.PIPE,
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{checkout}: the benchmark ended with {process.returncode}")
    return Measured(json.loads(said.splitlines()[-1])["cpu"], used.ru_utime + used.ru_stime)


def packages(checkout: Path) -> None:
    """Check that the engine of the checkout would be measured."""
    code = "import victor_engine; print(victor_engine.__file__)"
    environ = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, cwd=checkout, env=environ
    )
    found = Path(done.stdout.strip()).resolve()
    if not found.is_relative_to(checkout):
        raise SystemExit(f"{checkout}: Python imports {found} instead of this checkout's engine")


def interval(values: list[float]) -> tuple[float, float, float]:
    """Return the closest order statistics around the median with at least 95 % confidence, and their confidence.

    With too few values, return the minimum and the maximum.
    """
    ordered, count = sorted(values), len(values)
    outside = 0.0
    rank = 1
    for candidate in range(1, max(count // 2, 1) + 1):
        beyond = 2 * sum(comb(count, k) for k in range(candidate)) / 2**count
        if candidate > 1 and 1 - beyond < CONFIDENCE:
            break
        rank, outside = candidate, beyond
    return ordered[rank - 1], ordered[count - rank], 1 - outside


def report(label: str, old: list[float], new: list[float], unit: str) -> float:
    """Print one line; return the median relative difference in per cent."""
    differences = [(b / a - 1) * 100 for a, b in zip(old, new, strict=True)]
    low, high, confidence = interval(differences)
    middle = median(differences)
    print(
        f"  {label:<9} old {median(old):8.2f} {unit}  new {median(new):8.2f} {unit}"
        f"  difference {middle:+6.2f} %  [{low:+.2f} %, {high:+.2f} %] at {confidence * 100:.1f} %",
        flush=True,
    )
    return middle


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path, nargs="?", default=HERE)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument(
        "--runs",
        type=int,
        default=2000,
        help="runs of ten nodes in one measurement; a quarter of them at concurrency 1",
    )
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--limit", type=float, help="maximum difference of a median in percent")
    given = parser.parse_args()
    if given.pairs < 1:
        parser.error("--pairs must be at least 1")
    old, new = given.old.resolve(), given.new.resolve()
    for checkout in (old, new):
        packages(checkout)
    worst = float("-inf")
    for concurrency in given.concurrency:
        runs = given.runs if concurrency > 1 else max(given.runs // 4, 1)  # each waits for the disk
        print(f"{concurrency} at once, {runs} runs of ten nodes, {given.pairs} pairs", flush=True)
        found: tuple[list[Measured], list[Measured]] = ([], [])
        for pair in range(given.pairs):
            for which in (0, 1) if pair % 2 == 0 else (1, 0):
                found[which].append(measure((old, new)[which], runs, concurrency))
            a, b = found[0][-1].node, found[1][-1].node
            print(f"  pair {pair + 1:>2}  {a:8.2f} µs  {b:8.2f} µs  {(b / a - 1) * 100:+6.2f} %", flush=True)
        before, after = found
        middle = report("per node", [one.node for one in before], [one.node for one in after], "µs")
        report("in all", [one.whole for one in before], [one.whole for one in after], "s")
        worst = max(worst, middle)
    if given.limit is not None and worst > given.limit:
        raise SystemExit(
            f"the largest median difference is {worst:+.2f} %, and the limit is {given.limit:g} %"
        )


if __name__ == "__main__":
    main()
