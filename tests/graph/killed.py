"""The program of `test_crash`, whose process is killed in a node. Its arguments are the file and the thread."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import TypedDict

from victor_engine.graph import END, START, Checkpointer, CompiledGraph, StateGraph


class State(TypedDict, total=False):
    folder: str
    n: int


def record(state: State, line: str) -> int:
    """Add a line to the record of executions; return how often the line is there."""
    path = Path(state["folder"]) / "done.log"
    with path.open("a") as file:
        file.write(line + "\n")
    return path.read_text().splitlines().count(line)


async def count(state: State) -> State:
    record(state, f"count {state['n']}")
    return {"n": state["n"] + 1}


async def die(state: State) -> State:
    if record(state, "die") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"n": state["n"] * 100}


def hang(state: State) -> State:
    """Block forever in the first execution, in a worker process."""
    if record(state, "hang") == 1:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (Path(state["folder"]) / "worker.pid").write_text(str(os.getpid()))
        time.sleep(600)
    return {"n": state["n"] + 0}


def graph(path: Path) -> CompiledGraph[State]:
    built = StateGraph(State, name="killed")
    built.add_node("count", count).add_node("hang", hang).add_node("die", die)
    built.add_edge(START, "count").add_edge("hang", "die").add_edge("die", END)
    built.add_conditional_edge("count", lambda state: state["n"] >= 3, {True: "hang", False: "count"})
    return built.compile(Checkpointer(path))


if __name__ == "__main__":
    from tests.graph.killed import graph as imported

    folder = Path(sys.argv[1])
    state: State = {"folder": str(folder), "n": 0}
    print(asyncio.run(imported(folder / "runs.db").invoke(state, {"thread_id": "t"}))["n"])
