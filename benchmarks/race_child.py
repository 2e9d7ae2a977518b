"""One contestant of `benchmarks.race`: gives the answers that it reads from standard input until the end.

    python -m benchmarks.race_child console|cli WORKSPACE STATE

An input line is `{request, word, comment, hesitate}`; the output line has `{won, result, began, ended}` too.
A console keeps one connection and has many answers on their way; the command line opens one for each.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import time
from typing import Any

from victor_engine.api import Answer
from victor_engine.cli.main import main as victor
from victor_engine.errors import AlreadyAnsweredError, VictorError
from victor_engine.service.connect import attach, find


def report(task: dict[str, Any], began: float, won: bool, result: dict[str, Any]) -> None:
    line = {**task, "won": won, "result": result, "began": began, "ended": time.monotonic()}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def console(workspace: str, state: str) -> None:
    port = await attach(find(workspace, state), "console")
    assert port is not None, "no engine runs"
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin.buffer
    )

    async def answer(task: dict[str, Any]) -> None:
        await asyncio.sleep(task["hesitate"])
        began = time.monotonic()
        given = Answer(
            outcome=task["word"] + ("d" if task["word"] == "approve" else "ed"), comment=task["comment"]
        )
        try:
            done = await port.answer(task["request"], 1, given)
        except AlreadyAnsweredError as error:
            report(task, began, False, {"code": error.code, **error.details})
        except VictorError as error:
            report(task, began, False, {"code": error.code, "message": error.message})
        else:
            report(task, began, True, {"outcome": done.outcome})

    print("ready", flush=True)
    async with asyncio.TaskGroup() as group:
        while line := await lines.readline():
            group.create_task(answer(json.loads(line)))
    await port.close()


def command_line(workspace: str, state: str) -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        task, began = json.loads(line), time.monotonic()
        words = ["inbox", "answer", task["request"], task["word"], "--comment", task["comment"], "--json"]
        with (
            contextlib.redirect_stdout(io.StringIO()) as out,
            contextlib.redirect_stderr(io.StringIO()) as err,
        ):
            code = victor(["--workspace", workspace, "--state-dir", state, *words])
        if code == 0:
            report(task, began, True, {"outcome": json.loads(out.getvalue())["outcome"]})
        else:
            report(task, began, False, {"exit": code, "message": err.getvalue().strip()})


if __name__ == "__main__":
    if sys.argv[1] == "console":
        asyncio.run(console(*sys.argv[2:4]))
    else:
        command_line(*sys.argv[2:4])
