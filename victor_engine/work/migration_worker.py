"""The worker process for functions of migrations: `python -m victor_engine.work.migration_worker`.

Frames are lines of JSON. A request is `{function, workspace, state}`. The response is `{state}`, or `{failure}` with
the reason. Each process is new, so it reads the current files of the workspace. It ends when its engine closes the
pipe, or at its limits.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from victor_engine import jsonio
from victor_engine.work.python_worker import load_function
from victor_engine.workers.serving import Channel, serve

SECONDS = 10
"""The maximum time of one call of a function, in seconds."""


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace").decode()


def _answer(line: bytes) -> Mapping[str, Any] | bytes:
    # The kernel ends the process at this time if its engine has died.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(2 * SECONDS)
    request = jsonio.loads(line)
    try:
        os.chdir(request["workspace"])
        function = load_function(request["function"], request["workspace"])
    except BaseException as error:  # an import may raise any error
        return {"failure": f"{request['function']} cannot be loaded: {_text(error)}"}
    try:
        result = function(request["state"])
    except BaseException as error:
        return {"failure": _text(error)}
    if not isinstance(result, dict):
        kind = type(result).__name__
        return {"failure": f"it returned a value of type {kind}; it must return the state (a dict)"}
    try:
        return jsonio.dumps({"state": result})
    except Exception as error:
        return {"failure": f"it returned a value that JSON cannot represent: {_text(error)}"}
    finally:
        signal.alarm(0)


def main() -> None:
    """Answer requests until the engine closes the pipe."""
    sys.dont_write_bytecode = True
    serve(Channel(), _answer, cpu_seconds=SECONDS, nice=5)  # the engine has priority


if __name__ == "__main__":
    main()
