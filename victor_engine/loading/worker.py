"""The worker process that reads the files of workspaces: `python -m victor_engine.loading.worker`.

Each request and each response is one line of JSON; see `pieces`.
"""

from __future__ import annotations

import os

import msgspec

from victor_engine.errors import VictorError
from victor_engine.loading.pieces import Answer, Open, decode_request, encode
from victor_engine.loading.reading import WorkspaceReader
from victor_engine.workers.serving import Channel, OverBudgetError, budget, memory, serve

CPU_SECONDS = 30
"""Processor time of one request after which the kernel stops the process. Each request has a lower limit."""

IDLE_SECONDS = 30.0
"""Seconds without a request after which the process exits."""

_KEPT_MEMORY = 300_000_000
"""Bytes. A process that uses more memory is replaced."""


class Worker:
    """The sequence of requests and responses."""

    def __init__(self) -> None:
        self._reader = WorkspaceReader()

    def answer(self, line: bytes) -> bytes:
        """Return the response to a request. Errors are responses, too."""
        try:
            request = decode_request(line)
            with budget(request.seconds):
                if isinstance(request, Open):
                    os.environ.update(request.environ)
                text = encode(self._reader.answer(request))
            return encode(Answer(msgspec.Raw(text), spent=memory() > _KEPT_MEMORY))
        except OverBudgetError as error:
            return encode(Answer(limit="processor time", line=error.line, spent=True))
        except (MemoryError, RecursionError):
            return encode(Answer(limit="memory", spent=True))
        except VictorError as error:
            return encode(Answer(error=error.to_wire()))
        except Exception as error:
            return encode(Answer(internal_error=f"{type(error).__name__}: {error}"))


def main() -> None:
    serve(Channel(), Worker().answer, cpu_seconds=CPU_SECONDS, idle=IDLE_SECONDS)


if __name__ == "__main__":
    main()
