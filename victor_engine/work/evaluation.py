"""Evaluation of expressions: in the event loop if they are short, else in a worker process with limits.

A thread starts the process and communicates with it, so that the event loop is not blocked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from victor_engine import jsonio
from victor_engine.definition.expressions.budget import LOCAL, NeedsWorkerError
from victor_engine.definition.expressions.expression import FunctionRegistry, evaluate_as, state_read
from victor_engine.errors import ExpressionError, ExpressionLimitError
from victor_engine.workers.jobs import Job, JobThreads
from victor_engine.workers.process import WorkerProcess

WORKERS = 2
"""Number of concurrent evaluation processes. Further expressions wait."""

WALL_SECONDS = 60.0
"""Seconds after which a process is ended even if it has used little processor time."""

_KEPT_MEMORY = 200_000_000
"""Bytes of memory after which a process is not reused."""

_MODULE = "victor_engine.definition.expressions.worker"

Call = Callable[[str, list[Any], dict[str, Any]], dict[str, Any]]


class Evaluator:
    """Evaluates the conditions and assignments of runs, and owns the worker processes."""

    def __init__(self) -> None:
        self._threads = JobThreads(WORKERS, "victor-expressions")
        self._idle: list[WorkerProcess] = []

    async def evaluate(
        self, kind: str, text: str, state: Mapping[str, Any], functions: FunctionRegistry
    ) -> Any:
        """Return the value of a condition or of assignments. Raise ExpressionError."""
        try:
            return evaluate_as(kind, text, state, functions, LOCAL)
        except NeedsWorkerError as more:
            return await self.in_worker(kind, text, state, functions, more)

    async def in_worker(
        self,
        kind: str,
        text: str,
        state: Mapping[str, Any],
        functions: FunctionRegistry,
        more: NeedsWorkerError,
    ) -> Any:
        """Evaluate in a worker process an expression that exceeded the limits of the event loop."""
        request = {
            "kind": kind,
            "text": text,
            "state": state_read(kind, text, state, functions),
            "functions": sorted(functions.own),
            "answers": more.answers,
        }
        job = _Job(request, _in_loop(asyncio.get_running_loop(), functions))
        return await self._threads.run(job, job.run, self._idle)

    async def close(self) -> None:
        """End all worker processes."""
        await self._threads.close()
        while self._idle:
            self._idle.pop().end()


def _in_loop(loop: asyncio.AbstractEventLoop, functions: FunctionRegistry) -> Call:
    """Return a function that calls functions of the workspace in the event loop from another thread."""

    def call(name: str, args: list[Any], named: dict[str, Any]) -> dict[str, Any]:
        done: Future[dict[str, Any]] = Future()

        def do() -> None:
            function = functions.get(name)
            try:
                assert function is not None
                result = function(*args, **named)
                jsonio.dumps(result)
                done.set_result({"result": result})
            except Exception as error:
                kind = "ExpressionError" if isinstance(error, ExpressionError) else type(error).__name__
                message = str(error).encode("utf-8", "backslashreplace").decode()
                done.set_result({"error": {"type": kind, "message": message}})

        loop.call_soon_threadsafe(do)
        return done.result(WALL_SECONDS)

    return call


class _Job(Job):
    """One evaluation in a worker process. `run` is called in a thread."""

    def __init__(self, request: Mapping[str, Any], call: Call) -> None:
        super().__init__()
        self._request = request
        self._call = call

    def run(self, idle: list[WorkerProcess]) -> Any:
        process = self.hold(lambda: _kept_or_new(idle))
        if process is None:
            raise ExpressionError("the evaluation was cancelled")
        reusable = False
        try:
            answer = _ask(process, self._request, self._call)
            reusable = answer is not None and answer.get("memory", _KEPT_MEMORY) < _KEPT_MEMORY
        finally:
            _, ended = self.release()
            if reusable and not ended:
                idle.append(process)
            else:
                process.end()
        if answer is None:
            raise ExpressionLimitError(
                f"{str(self._request['text']).strip()[:200]}: the expression takes too much processor time or "
                "memory; simplify it, split it over several nodes, or use a compute node"
            )
        error = answer.get("error")
        if error is None:
            return answer["value"]
        if error["limit"]:
            raise ExpressionLimitError(error["message"])
        raise ExpressionError(error["message"], error_type=error["type"])


def _kept_or_new(idle: list[WorkerProcess]) -> WorkerProcess:
    """Return a process of an earlier evaluation, or start one."""
    while idle:
        process = idle.pop()
        if process.alive:
            return process
        process.end()
    try:
        return WorkerProcess(_MODULE)
    except OSError as error:
        raise ExpressionError(
            f"cannot start a process for a long expression: {error.strerror or error}",
            error_type="WorkerNotStarted",
        ) from error


def _ask(process: WorkerProcess, request: Mapping[str, Any], call: Call) -> dict[str, Any] | None:
    """Return the response, or None if the process ended before it."""
    deadline = time.monotonic() + WALL_SECONDS
    try:
        process.send(jsonio.dumps(request), deadline)
        while True:
            line = process.receive(deadline)
            if line is None:
                return None
            answer: dict[str, Any] = jsonio.loads(line)
            if "call" not in answer:
                return answer
            process.send(jsonio.dumps(call(answer["call"], answer["args"], answer["named"])), deadline)
    except (OSError, TimeoutError):
        return None
    except (TypeError, ValueError) as error:
        raise ExpressionError(
            f"the state cannot be encoded as JSON: {error}", error_type="ResultNotJSON"
        ) from error


__all__ = ["WORKERS", "Evaluator"]
