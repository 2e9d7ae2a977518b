"""The worker process for synchronous Python functions: `python -m victor_engine.work.python_worker`.

Frames are lines of JSON. A request on standard input is `{function, payload, env, cwd, workspace}`.
The responses are `{log, text}` for each printed or logged line, and at the end `{result}` or
`{error: {type, message, bases, retryable}}`. The function gets an empty standard input, and its
output never mixes with the frames. The worker ends when its engine closes the pipe.
"""

from __future__ import annotations

import importlib
import inspect
import io
import json
import logging
import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TextIO


def call_function(function: Callable[..., Any], payload: Mapping[str, Any]) -> Any:
    """Call a bound function as its signature requires.

    A single positional parameter without a default, whose name is not the name of an input, gets the whole
    payload (`NodeCall.payload`). Otherwise parameters are filled from the payload's `inputs` by name.
    Raise TypeError that names the missing parameters.
    """
    inputs: Mapping[str, Any] = payload.get("inputs") or {}
    parameters = list(inspect.signature(function).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in positional if p.default is p.empty]
    takes_rest = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if len(needed) == 1 and len(positional) == 1 and needed[0].name not in inputs and not takes_rest:
        return function(payload)
    if any(p.kind is p.POSITIONAL_ONLY for p in needed):
        raise TypeError(f"{function.__qualname__} has positional-only parameters, which inputs cannot fill")
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    chosen = {name: value for name, value in inputs.items() if name in named or takes_rest}
    missing = [
        p.name
        for p in parameters
        if p.default is p.empty
        and p.name not in chosen
        and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    if missing:
        raise TypeError(
            f"{function.__qualname__} needs {', '.join(missing)}, and the inputs of the node are "
            f"{', '.join(inputs) or 'empty'}"
        )
    return function(**chosen)


def load_function(reference: str, workspace: str) -> Callable[..., Any]:
    """Return the function `package.module:function`. Modules of the workspace can be imported too."""
    if workspace not in sys.path:
        sys.path.insert(0, workspace)
    module_name, _, path = reference.partition(":")
    importlib.invalidate_caches()
    found: Any = importlib.import_module(module_name)
    for step in path.split("."):
        found = getattr(found, step)
    if not callable(found):
        raise TypeError(f"{reference} is not a function, but {type(found).__name__}")
    function: Callable[..., Any] = found
    return function


_MAX_LINE = 16 * 1024
"""Maximum characters of one printed or logged line. A longer line is cut and marked."""


def _clean(text: str) -> str:
    """Return the text with lone surrogates escaped: file names may contain them, and frames may not."""
    return text.encode("utf-8", "backslashreplace").decode()


def _line(stream: str, text: str) -> dict[str, Any]:
    text = _clean(text)
    cut = len(text) - _MAX_LINE
    return {"log": stream, "text": text if cut <= 0 else f"{text[:_MAX_LINE]} … [{cut} characters cut]"}


class _LogWriter(io.TextIOBase):
    """The standard output of the function: one frame for each line."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._send(_line("stdout", line))
        return len(text)

    def finish(self) -> None:
        if self._rest:
            self._send(_line("stdout", self._rest))
            self._rest = ""


class _LogHandler(logging.Handler):
    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._send = send
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        for line in self.format(record).splitlines():
            self._send(_line("log", line))


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    try:
        function = load_function(request["function"], request["workspace"])
        result = call_function(function, request["payload"])
    except BaseException as error:  # SystemExit and KeyboardInterrupt count as failures of the function
        traceback.print_exc()
        cls = type(error)
        bases = [base.__name__ for base in cls.__mro__[1:] if base not in (BaseException, object)]
        return {
            "error": {"type": cls.__name__, "message": _clean(str(error)) or cls.__name__, "bases": bases}
        }
    try:
        json.dumps(result, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        message = f"{request['function']} returned {type(result).__name__}, which cannot be encoded as JSON: {error}"
        return {"error": {"type": "ResultNotJSON", "message": message, "retryable": False}}
    return {"result": result}


_UNLIMITED = 1_500_000
"""Characters of the log of one call that are sent as they come. The engine keeps fewer at the beginning of a log."""

_PERIOD = 0.2
_PART = 65_536
"""Later, at most so many characters in so many seconds are sent: the last ones. The others are counted."""


class _LimitedLog:
    """Sends the frames of the log of one call, so that printing without end does not wait for the engine."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send_frame = send
        self.begin()

    def begin(self) -> None:
        """Begin the log of another call."""
        self._sent = self._size = self._dropped = self._dropped_size = 0
        self._last: deque[dict[str, Any]] = deque()
        self._written = 0.0

    def send(self, frame: dict[str, Any]) -> None:
        size = len(frame["text"]) + 1
        if self._sent < _UNLIMITED:
            self._sent += size
            self._send_frame(frame)
            return
        now = time.monotonic()
        if now - self._written >= _PERIOD:
            self._written = now
            self.flush()
        self._last.append(frame)
        self._size += size
        while self._size > _PART:
            gone = len(self._last.popleft()["text"]) + 1
            self._size -= gone
            self._dropped_size += gone
            self._dropped += 1

    def flush(self) -> None:
        if self._dropped:
            self._send_frame({"dropped": self._dropped, "size": self._dropped_size})
            self._dropped = self._dropped_size = 0
        while self._last:
            self._send_frame(self._last.popleft())
        self._size = 0


def main() -> None:
    requests: TextIO = os.fdopen(os.dup(0), "r", encoding="utf-8")
    frames: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(2, 1)  # the output of libraries and child processes goes to the log as well

    def send(frame: dict[str, Any]) -> None:
        frames.write(json.dumps(frame) + "\n")
        frames.flush()

    limited = _LimitedLog(send)
    writer = _LogWriter(limited.send)
    sys.stdout = writer
    logging.basicConfig(level=logging.INFO, handlers=[_LogHandler(limited.send)])
    for line in requests:
        if not line.strip():
            continue
        limited.begin()
        answer = _answer(json.loads(line))
        writer.finish()
        limited.flush()
        sys.stderr.flush()
        send(answer)


if __name__ == "__main__":
    main()
