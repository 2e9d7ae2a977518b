"""The invoker of commands: JSON on standard input, JSON or text on standard output."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from victor_engine.config.model import Binding
from victor_engine.errors import NodeError
from victor_engine.run_instant import environ_of
from victor_engine.work.calls import CallContext, NodeCall
from victor_engine.work.invokers.output import Output
from victor_engine.work.invokers.results import (
    MAX_OUTPUT,
    LineSplitter,
    TextOutput,
    limited,
    time_limit,
    too_large,
)
from victor_engine.work.isolation import ends_with_engine, no_network
from victor_engine.work.log_tap import LogTap
from victor_engine.work.process import Child, Sink
from victor_engine.work.process_values import directory_of, standard_input_of, variables_of
from victor_engine.work.secrets import SecretStore
from victor_engine.work.trace_context import TRACEPARENT

_LEFTOVER_GRACE = 1.0


class CommandInvoker:
    """Runs the argv of the binding without a shell.

    The identity of the child process is committed (`context.process_started`) before the command
    begins. When the call ends for any reason, no process of its group remains.
    """

    def __init__(
        self, binding: Binding, secrets: SecretStore | None = None, *, max_output: int = MAX_OUTPUT
    ) -> None:
        self._binding = binding
        self._secrets = secrets or SecretStore()
        self._max_output = max_output

    @property
    def description(self) -> str:
        return "command " + " ".join(self._binding.command)

    async def needs_process(self) -> bool:
        return True

    async def __call__(self, call: NodeCall, context: CallContext) -> Any:
        name = self._binding.command[0]
        async with limited(time_limit(call, self._binding.timeout), f"the command {name}"):
            output, status, last_line, printed = await self._run(call, context)
        found = await Output.read(output, self._binding, f"the command {name}")
        await printed.finish(None if found.is_json else output, context)
        return await self._result(found, status, last_line, context.warn)

    async def _run(self, call: NodeCall, context: CallContext) -> tuple[bytes, int, str, TextOutput]:
        output = bytearray()
        printed = TextOutput(
            lambda text: context.log("stdout", text), self._binding.result, self._binding.encoding
        )
        last_line = ""
        overflow = False

        def on_stdout(data: bytes) -> asyncio.Future[None] | None:
            nonlocal overflow
            if len(output) + len(data) > self._max_output and not overflow:
                overflow = True
                child.kill()
            if not overflow:
                output.extend(data)
                printed.feed(data)
            return context.room()

        def on_lines(text: str) -> None:
            nonlocal last_line
            last_line = text.rstrip().rpartition("\n")[2] or last_line
            context.log("stderr", text)

        tap = LogTap(LineSplitter(on_lines), context)
        child = self._start(call, on_stdout, tap.feed)
        try:
            await context.process_started(child.pid, child.pgid, child.start_ticks)
            child.release(standard_input_of(call))
            status = await child.wait()
        except BaseException:
            await child.end(self._binding.grace)
            tap.close()
            printed.close(bytes(output))
            raise
        left = await child.finish(_LEFTOVER_GRACE)
        tap.close()
        if overflow:
            printed.close(bytes(output))
            raise too_large(f"the command {self._binding.command[0]}", self._max_output)
        if left:
            context.log("log", f"ended {len(left)} process(es) that the command left behind")
        return bytes(output), status, last_line, printed

    def _start(self, call: NodeCall, on_stdout: Sink, on_stderr: Sink) -> Child:
        environ = call_environ(
            call, self._secrets.environ(self._binding.env, inherit=self._binding.inherit_env is not False)
        )
        cwd = directory_of(call, self._binding.cwd)
        program = find_program(self._binding.command[0], self._binding.cwd, environ)
        if not cwd.is_dir():
            raise no_directory(cwd, self._binding.command[0])
        words = [program, *self._binding.command[1:]]
        if call.constraints.network_allowed is False:
            # A new user namespace clears the parent-death signal, so set it again inside.
            words = [*(no_network() or ()), *ends_with_engine(), *words]
        try:
            return Child(words, env=environ, cwd=cwd, on_stdout=on_stdout, on_stderr=on_stderr)
        except OSError as error:
            raise NodeError(
                f"the command {self._binding.command[0]} cannot be started: {error.strerror or error}",
                error_type="CommandNotStarted",
                bases=("OSError",),
            ) from error

    async def _result(self, found: Output, status: int, last_line: str, warn: Callable[[str], None]) -> Any:
        name = self._binding.command[0]
        try:
            if status == 0:
                return await found.read_result(warn)
            reported = found.reported()
            if reported is not None:
                raise reported
        except NodeError as error:
            error.process_exit_code = status
            raise
        if status < 0:
            message = f"the command {name} was ended by {_signal_name(-status)}"
        else:
            message = f"the command {name} ended with exit code {status}"
        raise NodeError(
            f"{message}: {last_line}" if last_line else message,
            error_type="CommandFailed",
            bases=("CalledProcessError", "SubprocessError", "Exception"),
            exit_code=status,
        )


def call_environ(call: NodeCall, base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a command: that of `SecretStore.environ`, of the node, and the identity of the call."""
    return {
        **base,
        **variables_of(call),
        "VICTOR_RUN_ID": call.run_id,
        "VICTOR_NODE_ID": call.node_id,
        "VICTOR_ITERATION": str(call.iteration),
        "VICTOR_ATTEMPT": str(call.attempt),
        "VICTOR_IDEMPOTENCY_KEY": call.idempotency_key,
        **environ_of(call.instant),
        **({TRACEPARENT.upper(): call.traceparent} if call.traceparent else {}),
    }


def no_directory(cwd: Path, name: str) -> NodeError:
    """Return the error of a command whose working directory does not exist."""
    return NodeError(
        f"the working directory {cwd} of {name} does not exist",
        error_type="CommandNotFound",
        bases=("FileNotFoundError", "OSError"),
        retryable=False,
    )


def find_program(name: str, cwd: Path, environ: Mapping[str, str]) -> str:
    """Return the path of a program; a name with a slash is relative to `cwd`. Raise NodeError with the remedy."""
    if not cwd.is_dir():
        raise no_directory(cwd, name)
    if "/" in name:
        path = cwd / Path(name).expanduser()
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
        if path.exists():
            raise NodeError(
                f"{path} is not an executable file. Make it one: chmod +x {path}",
                error_type="CommandNotExecutable",
                bases=("PermissionError", "OSError"),
                retryable=False,
            )
        where = str(path)
    else:
        found = shutil.which(name, path=environ.get("PATH", os.defpath))
        if found is not None:
            return found
        where = f"{name} on the PATH"
    raise NodeError(
        f"the command {name} was not found: there is no {where}",
        error_type="CommandNotFound",
        bases=("FileNotFoundError", "OSError"),
        retryable=False,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
