"""The decided end of a run, which is stored while handlers of its end are executed; see `runs.endings`."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from victor_engine.api import ErrorInfo, HandlerFailure


class Ending(Struct, frozen=True, omit_defaults=True):
    """The stored form of `runs.ending`.

    `status` is empty until the end is decided, and again after the end. `handlers` are those that are not done, the
    current one first. `spent` are the active microseconds of the run when it began. `resume` is the position at which
    the run stopped, as data. `skip`: an operator has cancelled the handlers.
    """

    status: str = ""
    handlers: tuple[str, ...] = ()
    error: ErrorInfo | None = None
    spent: int = 0
    resume: dict[str, Any] = {}
    skip: bool = False
    failures: tuple[HandlerFailure, ...] = ()

    @property
    def continues(self) -> bool:
        """Whether handlers are to be executed."""
        return bool(self.status) and not self.skip

    @property
    def current(self) -> str:
        """The handler that is executed, or an empty text."""
        return self.handlers[0] if self.continues else ""


UNDECIDED = Ending()


def ending_from(text: str | None) -> Ending:
    """Return an ending from its stored form."""
    return UNDECIDED if text is None else msgspec.json.decode(text, type=Ending)


__all__ = ["UNDECIDED", "Ending", "ending_from"]
