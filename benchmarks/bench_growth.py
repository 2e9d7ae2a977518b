"""The cost of a node as work grows: a long run, a large state, a full store.

    python -m benchmarks.bench_growth [--nodes 10000] [--state 1000000] [--stored 1000000] [--rounds 7]

Each case alternates with its small counterpart in the same process. The output is processor time
and wall-clock time for one node of a chain of transforms, each on disk before the next begins
(`synchronous=FULL`), as medians, and their ratio to the small case.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.running import chain, database, running

LENGTH = 200
"""Nodes of a chain in cases that do not measure its length."""

Work = Callable[[], Awaitable[None]]


class Costs:
    """The times of the rounds of one case, in microseconds per node."""

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes
        self.cpu: list[float] = []
        self.clock: list[float] = []

    async def measure(self, work: Work) -> None:
        began, used = time.perf_counter(), time.process_time()
        await work()
        self.clock.append((time.perf_counter() - began) / self.nodes * 1e6)
        self.cpu.append((time.process_time() - used) / self.nodes * 1e6)

    def told(self) -> tuple[float, float]:
        return median(self.cpu), median(self.clock)


async def in_turns(name: str, rounds: int, small: tuple[int, Work], large: tuple[int, Work]) -> None:
    """Measure both cases in turn and print their ratio; each is (nodes, work)."""
    few, many = Costs(small[0]), Costs(large[0])
    for _ in range(rounds):
        await few.measure(small[1])
        await many.measure(large[1])
    (cpu, clock), (large_cpu, large_clock) = few.told(), many.told()
    print(
        f"{name:<28} small {cpu:7.1f} µs CPU {clock:9.1f} µs   grown {large_cpu:7.1f} µs CPU"
        f" {large_clock:9.1f} µs   {large_cpu / cpu:5.2f} times the CPU, {large_clock / clock:5.2f} the clock",
        flush=True,
    )


async def long_runs(directory: Path, nodes: int, rounds: int) -> None:
    workflows = "workflows:\n" + chain("short", LENGTH) + chain("long", nodes)
    async with running(directory, workflows, 1) as bench:

        async def several() -> None:
            for _ in range(nodes // LENGTH):
                await bench.run("short", {"x": 0})

        async def one() -> None:
            await bench.run("long", {"x": 0})

        await several()
        name = f"a run of {nodes:,} nodes"
        await in_turns(name, max(1, rounds // 2), (nodes // LENGTH * LENGTH, several), (nodes, one))


async def large_states(directory: Path, size: int, rounds: int) -> None:
    """Measure nodes with a large state. A run stores its initial state when it begins; a run of one node measures
    that part, which is subtracted from the others."""
    blob = ["x" * 10_000] * (size // 10_000)
    workflows = chain("flow", LENGTH) + chain("one", 1) + chain("rewrite", 1, "blob = blob + []")
    async with running(directory, "workflows:\n" + workflows, 1) as bench:

        def work(workflow: str, state: dict[str, Any]) -> Work:
            return lambda: bench.run(workflow, state)

        little, much = {"x": 0, "blob": []}, {"x": 0, "blob": blob}
        cases = {
            "flow": (Costs(1), work("flow", little)),
            "flow of much": (Costs(1), work("flow", much)),
            "one": (Costs(1), work("one", little)),
            "one of much": (Costs(1), work("one", much)),
            "rewrite": (Costs(1), work("rewrite", much)),
        }
        await bench.run("flow", little)
        for _ in range(rounds):
            for costs, each in cases.values():
                await costs.measure(each)
    cpu = {name: costs.told()[0] for name, (costs, _) in cases.items()}
    clock = {name: costs.told()[1] for name, (costs, _) in cases.items()}

    def step(took: dict[str, float], of: str) -> float:
        return (took[f"flow{of}"] - took[f"one{of}"]) / (LENGTH - 1)

    few, many = step(cpu, ""), step(cpu, " of much")
    few_clock, many_clock = step(clock, ""), step(clock, " of much")
    print(
        f"{f'a state of {size / 1e6:g} MB':<28} small {few:7.1f} µs CPU {few_clock:9.1f} µs   grown {many:7.1f} µs CPU"
        f" {many_clock:9.1f} µs   {many / few:5.2f} times the CPU, {many_clock / few_clock:5.2f} the clock"
    )
    print(
        f"{'':<28} once per run: {(cpu['one of much'] - cpu['one']) / 1e3:.1f} ms CPU to begin with that state;"
        f" a node that rewrites it {(cpu['rewrite'] - cpu['one of much']) / 1e3:.1f} ms CPU",
        flush=True,
    )


FILL = (
    "INSERT INTO runs (key, id, workflow, definition_id, status, trigger, created_at, started_at, finished_at,"
    " position, nodes_done) SELECT value, printf('old%010d', value), 'flow', 1, 'succeeded', 'manual',"
    ' value * 1000, value * 1000, value * 1000 + 500, \'{"frontier":["n0"]}\', 1 FROM numbers',
    "INSERT INTO run_states SELECT value, 0, '{\"x\":0}' FROM numbers",
    "INSERT INTO attempts (run_key, definition_id, node_id, node_type, iteration, number, status, started_at,"
    " finished_at, patch, ordinal, onward) SELECT value, 1, 'n0', 'transform', 1, 1, 'succeeded', value * 1000,"
    " value * 1000, '{\"s\":{\"x\":1}}', 1, '[]' FROM numbers",
    "INSERT INTO events (seq, at, code, run_key, node_id, data) SELECT value * 2 + 1000, value * 1000, 1, value,"
    " 'n0', '{\"iteration\":1}' FROM numbers",
    "INSERT INTO events (seq, at, code, run_key, data) SELECT value * 2 + 1001, value * 1000, 5, value,"
    ' \'{"status":"succeeded"}\' FROM numbers',
)


def fill(path: Path, first: int, runs: int) -> None:
    """Insert finished runs into a store, directly through its schema."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    numbers = (
        f"WITH RECURSIVE numbers (value) AS (SELECT {first} UNION ALL SELECT value + 1 FROM numbers"
        f" WHERE value < {first + runs - 1}) "
    )
    connection.execute("BEGIN IMMEDIATE")
    for statement in FILL:
        connection.execute(numbers + statement)
    connection.execute("UPDATE run_totals SET runs = runs + ?", (runs,))
    connection.execute("COMMIT")
    connection.execute("ANALYZE")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def full_stores(directory: Path, stored: int, rounds: int) -> None:
    workflows = "workflows:\n" + chain("flow", LENGTH)
    for name in ("empty", "full"):
        async with running(directory / name, workflows, 1) as bench:
            await bench.run("flow", {"x": 0})
    began = time.perf_counter()
    fill(database(directory / "full"), 1000, stored)
    size = database(directory / "full").stat().st_size / 1e6
    print(f"(a store of {stored:,} runs, {size:,.0f} MB, filled in {time.perf_counter() - began:.0f} s)")
    async with (
        running(directory / "empty", workflows, 1) as empty,
        running(directory / "full", workflows, 1) as full,
    ):

        async def small() -> None:
            await empty.run("flow", {"x": 0})

        async def large() -> None:
            await full.run("flow", {"x": 0})

        await small()
        await large()
        await in_turns(f"{stored:,} runs in the store", rounds, (LENGTH, small), (LENGTH, large))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--state", type=int, default=1_000_000, help="bytes")
    parser.add_argument("--stored", type=int, default=1_000_000, help="runs")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as text:
        directory = Path(text)
        os.environ["HOME"] = text
        asyncio.run(long_runs(directory / "long", given.nodes, given.rounds))
        asyncio.run(large_states(directory / "large", given.state, given.rounds))
        asyncio.run(full_stores(directory / "stored", given.stored, given.rounds))


if __name__ == "__main__":
    main()
