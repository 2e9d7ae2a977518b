"""The invoker of Python functions: async functions in the loop, others in worker processes."""

from __future__ import annotations

import ast
import asyncio
import functools
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from victor_engine import jsonio
from victor_engine.config.model import Binding
from victor_engine.errors import NodeError
from victor_engine.work.calls import CallContext, NodeCall
from victor_engine.work.invokers.capture import capture_logging, receiving
from victor_engine.work.invokers.command import call_environ
from victor_engine.work.invokers.results import (
    MAX_OUTPUT,
    LineSplitter,
    checked_json,
    error_of,
    limited,
    reported_error,
    time_limit,
    too_large,
    too_many,
)
from victor_engine.work.isolation import ends_with_engine, no_network
from victor_engine.work.log_tap import LogTap
from victor_engine.work.process import Child
from victor_engine.work.python_worker import call_function, load_function
from victor_engine.work.secrets import SecretStore

MAX_IDLE = 2
"""Number of idle workers that are kept; each holds the imports of its functions."""


class PythonInvoker:
    """Calls `package.module:function`; for its arguments see `python_worker.call_function`.

    A synchronous function runs in a process, which a timeout or a cancellation ends with its whole
    group. An async function runs in the loop of the engine and is cancelled like any task. The output of
    both, and the log records of its module, go to the log of the attempt.
    """

    def __init__(
        self, binding: Binding, pool: WorkerPool, secrets: SecretStore, *, max_output: int = MAX_OUTPUT
    ) -> None:
        self._binding = binding
        self._pool = pool
        self._secrets = secrets
        self._max_output = max_output

    @property
    def description(self) -> str:
        return f"python {self._binding.function}"

    async def needs_process(self) -> bool:
        """Return whether the function runs in a worker; False if it cannot be found, which the call reports."""
        try:
            return not await asyncio.to_thread(is_async, self._binding.function, self._pool.workspace)
        except NodeError:
            return False

    async def __call__(self, call: NodeCall, context: CallContext) -> Any:
        async with limited(time_limit(call, self._binding.timeout), f"the function {self._binding.function}"):
            if await asyncio.to_thread(is_async, self._binding.function, self._pool.workspace):
                return await self._in_loop(call, context)
            return await self._in_worker(call, context)

    async def _in_loop(self, call: NodeCall, context: CallContext) -> Any:
        reference = self._binding.function
        try:
            function = await asyncio.to_thread(load_function, reference, str(self._pool.workspace))
        except Exception as error:
            raise error_of(error) from error
        capture_logging(function.__module__)
        try:
            with receiving(context):
                result = await call_function(function, call.payload())
        except Exception as error:
            context.log("stderr", "".join(traceback.format_exception(error)).rstrip("\n"))
            raise error_of(error) from error
        return checked_json(result, f"the function {reference}")

    async def _in_worker(self, call: NodeCall, context: CallContext) -> Any:
        isolated = call.constraints.network_allowed is False
        inherit = self._binding.inherit_env is not False
        worker = self._pool.take(isolated, inherit)
        reusable = False
        try:
            await context.process_started(worker.child.pid, worker.child.pgid, worker.child.start_ticks)
            request = {
                "function": self._binding.function,
                "payload": call.payload(),
                "env": call_environ(call, self._secrets.environ(self._binding.env, inherit=inherit)),
                "cwd": str(self._binding.cwd),
                "workspace": str(self._pool.workspace),
            }
            answer = await worker.ask(request, context, self._max_output)
            reusable = not isolated
        except BaseException:
            await worker.child.end(self._binding.grace)
            worker.flush()
            raise
        await self._pool.release(worker, reusable)
        if answer is None:
            status = worker.child.returncode
            raise NodeError(
                f"the process of {self._binding.function} ended with status {status} before it returned a result",
                error_type="WorkerDied",
                bases=("RuntimeError", "Exception"),
                exit_code=status,
            )
        error = reported_error(answer)
        if error is not None:
            raise error
        return answer.get("result")


class Worker:
    """One worker process and its frames."""

    def __init__(
        self, workspace: Path, isolated: bool, environ: Mapping[str, str], inherit: bool = True
    ) -> None:
        prefix = (*(no_network() or ()), *ends_with_engine()) if isolated else ()
        self.isolated = isolated
        self.inherit = inherit  # whether it has seen the whole environment of the engine
        self.stamp = source_stamp(workspace)
        self._buffer = bytearray()
        self._limit = MAX_OUTPUT
        self._context: CallContext | None = None
        self._answer: asyncio.Future[dict[str, Any] | NodeError] | None = None
        self._lines = LineSplitter(self._on_lines)
        self._tap: LogTap | None = None
        self.child = Child(
            [*prefix, sys.executable, "-P", "-m", "victor_engine.work.python_worker"],
            env=environ,
            cwd=workspace,
            on_stdout=self._on_frames,
            on_stderr=self._on_stderr,
        )
        self.child.write(b"\n")  # opens the gate: the worker does nothing before its first request

    async def ask(
        self, request: Mapping[str, Any], context: CallContext, limit: int
    ) -> dict[str, Any] | None:
        """Return the response, or None if the worker died before it. Raise NodeError (OutputTooLarge)."""
        self._context, self._limit = context, limit
        self._tap = LogTap(self._lines, context)
        self._answer = asyncio.get_running_loop().create_future()
        self.child.write(msgspec.json.encode(request) + b"\n")
        died = asyncio.ensure_future(self.child.wait())
        try:
            either: set[asyncio.Future[Any]] = {self._answer, died}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not self._answer.done():
                await self.child.finish(0)  # reads the rest of the pipes
            if not self._answer.done():
                return None
        finally:
            died.cancel()
            self._tap.flush()
        answer = self._answer.result()
        if isinstance(answer, NodeError):
            raise answer
        return answer

    def flush(self) -> None:
        if self._tap is not None:
            self._tap.close()
        self._lines.close()

    def _on_stderr(self, data: bytes) -> asyncio.Future[None] | None:
        if self._tap is not None:
            return self._tap.feed(data)
        self._lines.feed(data)
        return self._room()

    def _on_lines(self, text: str) -> None:
        if self._context is not None:
            self._context.log("stderr", text)

    def _room(self) -> asyncio.Future[None] | None:
        return self._context.room() if self._context is not None else None

    def _on_frames(self, data: bytes) -> asyncio.Future[None] | None:
        self._buffer += data
        if len(self._buffer) > self._limit and b"\n" not in data:
            self._settle(too_large("the function", self._limit))
            self._buffer.clear()
            self.child.kill()
            return None
        if b"\n" not in data:
            return self._room()
        *frames, rest = bytes(self._buffer).split(b"\n")
        self._buffer = bytearray(rest)
        for frame in frames:
            self._take(frame)
        return self._room()

    def _take(self, frame: bytes) -> None:
        if len(frame) > self._limit:
            self._settle(too_large("the function", self._limit))
            return
        if jsonio.has_more_values(frame, jsonio.MAX_VALUES):
            self._settle(too_many("the function"))
            return
        try:
            message = msgspec.json.decode(frame)
        except (msgspec.DecodeError, RecursionError):
            self._settle(NodeError("the worker sent an invalid frame", error_type="WorkerDied"))
            return
        if "log" in message:
            if self._context is not None:
                self._context.log(message["log"], message["text"])
        elif "dropped" in message:
            if self._context is not None:
                self._context.dropped(message["dropped"], message["size"])
        else:
            self._settle(message)

    def _settle(self, answer: dict[str, Any] | NodeError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)


class WorkerPool:
    """The worker processes of one workspace. A few are kept between calls."""

    def __init__(self, workspace: Path, secrets: SecretStore | None = None) -> None:
        self.workspace = workspace
        self._secrets = secrets or SecretStore()
        self._idle: list[Worker] = []

    def take(self, isolated: bool, inherit: bool = True) -> Worker:
        """Return a worker for exclusive use until it is released. Raise NodeError if it cannot start.

        `inherit` is whether its process has the whole environment of the engine.
        """
        stamp = source_stamp(self.workspace)
        fitting = [worker for worker in self._idle if worker.inherit == inherit]
        while fitting and not isolated:
            worker = fitting.pop()
            self._idle.remove(worker)
            if worker.stamp == stamp and worker.child.returncode is None:
                return worker
            self._retire(worker)
        try:
            return Worker(self.workspace, isolated, self._secrets.environ(inherit=inherit), inherit)
        except OSError as error:
            raise NodeError(
                f"cannot start a worker process: {error}",
                error_type="WorkerNotStarted",
                bases=("OSError",),
            ) from error

    async def release(self, worker: Worker, reusable: bool) -> None:
        """Keep the worker, or end it if it left processes or threads behind, or used too much memory."""
        keep = (
            reusable
            and len(self._idle) < MAX_IDLE
            and worker.child.returncode is None
            and not worker.child.has_other_processes()
        )
        if keep:
            self._idle.append(worker)
        else:
            await worker.child.end(0)
            worker.flush()

    def _retire(self, worker: Worker) -> None:
        worker.child.kill()
        worker.child.close()

    async def close(self) -> None:
        """End the idle workers."""
        while self._idle:
            await self._idle.pop().child.end(0)


def source_stamp(workspace: Path) -> int:
    """Return a number that changes when a Python file at the first two levels of the workspace changes."""
    latest = 0
    for pattern in ("*.py", "*/*.py"):
        for path in workspace.glob(pattern):
            try:
                latest = max(latest, path.stat().st_mtime_ns)
            except OSError:
                continue
    return latest


def _parsed(file: Path) -> ast.Module:
    """Return the tree of a source file. Parsing in several threads at once may fail in CPython 3.11."""
    source = file.read_bytes()
    try:
        return ast.parse(source, str(file))
    except SystemError:
        return ast.parse(source, str(file))


@functools.lru_cache(maxsize=64)
def _functions(file: Path, mtime_ns: int, size: int) -> dict[str, bool]:
    """Return the functions at the top level of a source file, and whether each is async."""
    kinds: dict[str, bool] = {}
    for node in _parsed(file).body:
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
            kinds.setdefault(node.name, isinstance(node, ast.AsyncFunctionDef))
    return kinds


def is_async(reference: str, workspace: Path) -> bool:
    """Return whether the function is a coroutine function.

    A module of the workspace is parsed, not imported, so that the imports of a synchronous function are
    not loaded into the engine. Raise NodeError if the function does not exist.
    """
    module, _, path = reference.partition(":")
    base = workspace.joinpath(*module.split("."))
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if not file.is_file():
            continue
        about = file.stat()
        try:
            kinds = _functions(file, about.st_mtime_ns, about.st_size)
        except SyntaxError as error:
            raise error_of(error) from error
        if path in kinds:
            return kinds[path]
    try:
        function: Callable[..., Any] = load_function(reference, str(workspace))
    except Exception as error:
        found = error_of(error)
        found.message = f"{reference} cannot be loaded: {found.message}"
        found.args = (found.message,)
        raise found from error
    return inspect.iscoroutinefunction(function)
