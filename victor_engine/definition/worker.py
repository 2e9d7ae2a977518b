"""The process that evaluates long expressions: `python -m victor_engine.definition.worker`.

Frames are lines of JSON. A request is `{kind, text, state, functions, answers}`; `functions` names what the
workspace has registered, and `answers` has what they returned already. The answer is `{value, memory}` or
`{error}`. In between, `{call, args, named}` asks the engine to call a function; the engine sends `{result}`
or `{error}`. The process ends when its engine closes the pipe, or at its limits.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from victor_engine import jsonio
from victor_engine.definition.expressions import BUILTINS, FunctionRegistry, evaluate_as
from victor_engine.errors import ExpressionError, ExpressionLimitError

CPU_SECONDS = 5
"""Processor time that one evaluation may take."""

MEMORY = 1 << 30
"""Bytes of address space that the process may have."""


def _failed(error: ExpressionError) -> dict[str, Any]:
    message = error.message.encode("utf-8", "backslashreplace").decode()
    limit = isinstance(error, ExpressionLimitError)
    return {"error": {"message": message, "type": error.error_type, "limit": limit}}


def _memory() -> int:
    """Bytes of memory that the process has now. (The greatest so far would include what the engine had.)"""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


class _Worker:
    def __init__(self, requests: BinaryIO, frames: BinaryIO) -> None:
        self._requests = requests
        self._frames = frames
        self._answers: list[list[Any]] = []

    def send(self, frame: Mapping[str, Any]) -> None:
        self._frames.write(jsonio.dumps(frame) + b"\n")
        self._frames.flush()

    def answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = jsonio.loads(line)
            self._answers = list(reversed(request["answers"]))
            functions = FunctionRegistry(
                {**BUILTINS, **{name: self._function(name) for name in request["functions"]}}
            )
            value = evaluate_as(request["kind"], request["text"], request["state"], functions)
            return {"value": value, "memory": _memory()}
        except ExpressionError as error:
            return _failed(error)
        except (MemoryError, RecursionError):
            return _failed(ExpressionLimitError("the expression takes too much memory"))

    def _function(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            if self._answers and self._answers[-1][0] == name:
                return self._answers.pop()[1]
            self._answers = []
            self.send({"call": name, "args": args, "named": named})
            said = jsonio.loads(self._requests.readline())
            error = said.get("error")
            if error is None:
                return said["result"]
            if error["type"] == "ExpressionError":
                raise ExpressionError(error["message"])
            raise type(str(error["type"]), (Exception,), {})(error["message"])

        return call


def main() -> None:
    requests = os.fdopen(os.dup(0), "rb")
    frames = os.fdopen(os.dup(1), "wb")
    empty = os.open(os.devnull, os.O_RDWR)
    os.dup2(empty, 0)
    os.dup2(empty, 1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(5)  # the engine comes first
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    worker = _Worker(requests, frames)
    for line in requests:
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime) + CPU_SECONDS + 1
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))
        worker.send(worker.answer(line))


if __name__ == "__main__":
    main()
