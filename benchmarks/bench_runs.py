"""Runs of a chain of ten trivial nodes, each on disk before the next begins (`synchronous=FULL`).

    python -m benchmarks.bench_runs [--runs 1000] [--concurrency 1 10 100] [--profile]

Compared with SQLite that commits the same number of bytes (each step alone, and grouped by the number of
concurrent runs), and with a minimal prototype: an asyncio loop and one writer thread, a row for each run
and each step, grouped commits, and nothing else. LangGraph with its SQLite checkpointer and DBOS on
SQLite are measured if they are installed, with fewer runs (`--others`), because they are slow. Each
measurement has a separate process and directory, and the subjects alternate (`--rounds`).
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import queue
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

NODES = 10


async def at_concurrency(one: Callable[[], Awaitable[None]], runs: int, concurrency: int) -> dict[str, Any]:
    """Call `one` for each run, `concurrency` at a time. Return nodes per second and latencies in milliseconds."""
    left = runs
    took: list[float] = []

    async def worker() -> None:
        nonlocal left
        while left:
            left -= 1
            began = time.perf_counter()
            await one()
            took.append(time.perf_counter() - began)

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    seconds, used = time.perf_counter() - began, time.process_time() - used
    return measured(runs, seconds, used, took)


def measured(runs: int, seconds: float, used: float, took: list[float]) -> dict[str, Any]:
    """Return the figures: `seconds` of wall-clock time, `used` processor time, `took` by each run."""
    took = sorted(took) or [0.0]
    return {
        "rate": runs * NODES / seconds,
        "cpu": used / runs / NODES * 1e6,
        "p50": took[len(took) // 2] * 1000,
        "p99": took[int(len(took) * 0.99)] * 1000,
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def stored(path: Path) -> int:
    """Return the size of the database in bytes, including its write-ahead log."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.stat().st_size


# --- subjects --------------------------------------------------------------------------------------


async def ours(directory: Path, runs: int, concurrency: int, profile: bool = False) -> dict[str, Any]:
    from benchmarks.running import chain, database, running

    async with running(directory, "workflows:\n" + chain("chain", NODES), concurrency) as bench:

        async def one() -> None:
            await bench.run("chain", {"x": 0})

        # Warm up: typical durations are known, and each part of the engine was used.
        await at_concurrency(one, max(50, concurrency), concurrency)
        before = stored(database(directory))
        if profile:
            return await profiled(one, runs, concurrency, bench.engine)
        result = await at_concurrency(one, runs, concurrency)
    result["bytes"] = (stored(database(directory)) - before) / runs
    return result


async def profiled(
    one: Callable[[], Awaitable[None]], runs: int, concurrency: int, engine: Any
) -> dict[str, Any]:
    """Profile the loop and the writer, each by the clock of its thread."""
    import cProfile
    import pstats

    loop, writer = cProfile.Profile(time.thread_time), cProfile.Profile(time.thread_time)
    plain, used = engine.store._commit_group, [0.0]

    def commit(group: Any) -> Any:
        began = time.thread_time()
        writer.enable()
        try:
            return plain(group)
        finally:
            writer.disable()
            used[0] += time.thread_time() - began

    engine.store._commit_group = commit
    loop.enable()
    result = await at_concurrency(one, runs, concurrency)
    loop.disable()
    for name, profile in (("loop", loop), ("writer", writer)):
        print(f"-- {name}", file=sys.stderr)
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(22)
    return {**result, "bytes": 0}


def raw(directory: Path, runs: int, group: int, size: int) -> dict[str, Any]:
    """Commit `group` rows at a time, each with as many bytes as a step of this engine."""
    connection = sqlite3.connect(directory / "raw.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE steps (id INTEGER PRIMARY KEY, data BLOB)")
    began, used = time.perf_counter(), time.process_time()
    for first in range(0, runs * NODES, group):
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(first, min(first + group, runs * NODES)):
            connection.execute("INSERT INTO steps (data) VALUES (?)", (os.urandom(size),))
        connection.execute("COMMIT")
    result = measured(runs, time.perf_counter() - began, time.process_time() - used, [])
    connection.close()
    result["bytes"] = stored(directory / "raw.db") / runs
    return result


class Prototype:
    """The minimum that is durable after each node: the cost of a step without any visibility."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
            "CREATE TABLE runs (id INTEGER PRIMARY KEY, status TEXT, node INTEGER, state TEXT);"
            "CREATE TABLE steps (run INTEGER, node INTEGER, at REAL, patch TEXT, PRIMARY KEY (run, node))"
            " WITHOUT ROWID;"
        )
        self.jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.loop = asyncio.get_running_loop()
        self.last = 0
        threading.Thread(target=self.write, daemon=True).start()

    def write(self) -> None:
        while True:
            group = [self.jobs.get()]
            while not self.jobs.empty():
                group.append(self.jobs.get())
            self.connection.execute("BEGIN IMMEDIATE")
            for statements, _ in group:
                for sql, parameters in statements:
                    self.connection.execute(sql, parameters)
            self.connection.execute("COMMIT")
            self.loop.call_soon_threadsafe(self.wake, group)

    def wake(self, group: list[Any]) -> None:
        for _, future in group:
            future.set_result(None)

    async def commit(self, *statements: tuple[str, tuple[Any, ...]]) -> None:
        future = self.loop.create_future()
        self.jobs.put((statements, future))
        await future

    async def one(self) -> None:
        self.last += 1
        run, state = self.last, {"x": 0}
        await self.commit(("INSERT INTO runs VALUES (?, 'running', 0, ?)", (run, json.dumps(state))))
        for node in range(NODES):
            state["x"] += 1
            text = json.dumps(state)
            status = "succeeded" if node == NODES - 1 else "running"
            await self.commit(
                ("INSERT INTO steps VALUES (?, ?, ?, ?)", (run, node, time.time(), text)),
                ("UPDATE runs SET status = ?, node = ?, state = ? WHERE id = ?", (status, node, text, run)),
            )


async def prototype(directory: Path, runs: int, concurrency: int) -> dict[str, Any]:
    bare = Prototype(directory / "bare.db")
    result = await at_concurrency(bare.one, runs, concurrency)
    result["bytes"] = stored(directory / "bare.db") / runs
    return result


async def langgraph(directory: Path, runs: int, concurrency: int) -> dict[str, Any]:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import StateGraph

    graph: Any = StateGraph(dict)
    for node in range(NODES):
        graph.add_node(f"n{node}", lambda state: {"x": state["x"] + 1})
        if node:
            graph.add_edge(f"n{node - 1}", f"n{node}")
    graph.set_entry_point("n0")
    graph.set_finish_point(f"n{NODES - 1}")
    path = directory / "langgraph.db"
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        await saver.conn.execute("PRAGMA synchronous = FULL")
        compiled = graph.compile(checkpointer=saver)
        threads = iter(range(runs))

        async def one() -> None:
            config = {"configurable": {"thread_id": str(next(threads))}}
            await compiled.ainvoke({"x": 0}, config, durability="sync")

        result = await at_concurrency(one, runs, concurrency)
    result["bytes"] = stored(path) / runs
    return result


async def dbos(directory: Path, runs: int, concurrency: int) -> dict[str, Any]:
    from dbos import DBOS

    path = directory / "dbos.db"
    config = {"name": "bench", "system_database_url": f"sqlite:///{path}", "run_admin_server": False}
    DBOS(config={**config, "log_level": "ERROR"})

    @DBOS.step()
    async def step(x: int) -> int:
        return x + 1

    @DBOS.workflow()
    async def chain() -> None:
        x = 0
        for _ in range(NODES):
            x = await step(x)

    DBOS.launch()
    result = await at_concurrency(chain, runs, concurrency)
    DBOS.destroy()
    result["bytes"] = stored(path) / runs
    return result


# --- the table -------------------------------------------------------------------------------------

OTHERS = {"langgraph": "langgraph.checkpoint.sqlite", "dbos": "dbos"}


def measure(name: str, runs: int, concurrency: int, size: int, profile: bool) -> dict[str, Any]:
    """Make one measurement in this process."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as text:
        directory = Path(text)
        os.environ["HOME"] = text
        if name == "ours":
            return asyncio.run(ours(directory, runs, concurrency, profile))
        if name in ("raw alone", "raw grouped"):
            return raw(directory, runs, concurrency if name == "raw grouped" else 1, size)
        chosen = {"prototype": prototype, "langgraph": langgraph, "dbos": dbos}[name]
        return asyncio.run(chosen(directory, runs, concurrency))


def apart(name: str, runs: int, concurrency: int, size: int, profile: bool) -> dict[str, Any]:
    """Make one measurement in a separate process."""
    words = [name, "--runs", str(runs), "--concurrency", str(concurrency), "--size", str(size)]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.bench_runs",
            "--only",
            *words,
            *(["--profile"] if profile else []),
        ],
        stdout=subprocess.PIPE,
        check=True,
        cwd=Path(__file__).resolve().parent.parent,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(OTHERS[name]) is not None
    except ModuleNotFoundError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument(
        "--rounds", type=int, default=4, help="number of rounds into which the runs are divided"
    )
    parser.add_argument("--others", type=int, default=200, help="runs of LangGraph and DBOS")
    parser.add_argument("--profile", action="store_true", help="only this engine, under a profiler")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, default=200, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(measure(given.only, given.runs, given.concurrency[0], given.size, given.profile)))
        return
    if given.profile:
        print(apart("ours", given.runs, given.concurrency[-1], given.size, True))
        return
    names = ["ours", "prototype", "raw alone", "raw grouped"]
    for name in OTHERS:
        if installed(name):
            names.append(name)
        else:
            print(f"{name} is not installed, so it is skipped")
    for concurrency in given.concurrency:
        compare(names, concurrency, given)


def compare(names: list[str], concurrency: int, given: argparse.Namespace) -> None:
    """Measure all subjects in turn, so that the load of the machine affects each, and print medians."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    size = given.size
    for _ in range(given.rounds):
        for name in names:
            runs = given.others if name in OTHERS else given.runs
            found[name].append(apart(name, max(concurrency, runs // given.rounds), concurrency, size, False))
        size = max(1, int(found["ours"][0]["bytes"] / NODES))
    middle = {
        name: {what: median(each[what] for each in measured) for what in measured[0]}
        for name, measured in found.items()
    }
    ours = middle["ours"]
    for name, figures in middle.items():
        print(
            f"{concurrency:>4} at once  {name:<12}{figures['rate']:>9,.0f} nodes/s"
            f"  p50 {figures['p50']:8.1f} ms  p99 {figures['p99']:8.1f} ms"
            f"  {figures['cpu']:6.1f} µs CPU per node {figures['bytes']:>7,.0f} bytes per run  {figures['rss']:4.0f} MB"
            f"  ours is {ours['rate'] / figures['rate']:.2f} of it ({figures['cpu'] / ours['cpu']:.2f} by CPU)",
            flush=True,
        )


if __name__ == "__main__":
    main()
