"""The worker process that evaluates long expressions: `python -m victor_engine.definition.expressions.worker`.

Frames are lines of JSON. A request is `{kind, text, state, functions, answers}`: `functions` names the functions
that the workspace has registered, and `answers` has the results of earlier calls. The response is
`{value, memory}` or `{error}`. Before the response, the worker sends `{call, args, named}` to have the engine call
a function; the engine replies with `{result}` or `{error}`. The process ends when its engine closes the pipe, or
at its limits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from victor_engine import jsonio
from victor_engine.definition.expressions.expression import BUILTINS, FunctionRegistry, evaluate_as
from victor_engine.errors import ExpressionError, ExpressionLimitError
from victor_engine.workers.serving import Channel, memory, serve

CPU_SECONDS = 5
"""The maximum processor time of one evaluation, in seconds."""


def _failed(error: ExpressionError) -> dict[str, Any]:
    message = error.message.encode("utf-8", "backslashreplace").decode()
    limit = isinstance(error, ExpressionLimitError)
    return {"error": {"message": message, "type": error.error_type, "limit": limit}}


class _Worker:
    """The handler of the requests of one worker process."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._answers: list[list[Any]] = []

    def answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = jsonio.loads(line)
            self._answers = list(reversed(request["answers"]))
            functions = FunctionRegistry(
                {**BUILTINS, **{name: self._function(name) for name in request["functions"]}}
            )
            value = evaluate_as(request["kind"], request["text"], request["state"], functions)
            return {"value": value, "memory": memory()}
        except ExpressionError as error:
            return _failed(error)
        except (MemoryError, RecursionError):
            return _failed(ExpressionLimitError("the expression takes too much memory"))

    def _function(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            if self._answers and self._answers[-1][0] == name:
                return self._answers.pop()[1]
            self._answers = []
            self._channel.send({"call": name, "args": args, "named": named})
            reply = jsonio.loads(self._channel.receive())
            error = reply.get("error")
            if error is None:
                return reply["result"]
            if error["type"] == "ExpressionError":
                raise ExpressionError(error["message"])
            raise type(str(error["type"]), (Exception,), {})(error["message"])

        return call


def main() -> None:
    """Answer requests until the engine closes the pipe."""
    channel = Channel()
    serve(channel, _Worker(channel).answer, cpu_seconds=CPU_SECONDS, nice=5)  # the engine has priority


if __name__ == "__main__":
    main()
