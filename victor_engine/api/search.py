"""The structs of the search by name."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

FoundKind = Literal["workflow", "version", "schedule", "run", "request"]
FOUND_KINDS: tuple[FoundKind, ...] = ("workflow", "version", "schedule", "run", "request")


class Found(Struct, frozen=True, omit_defaults=True):
    """One thing that a search found.

    `id` identifies it among its kind: for a workflow its name, for a version its number. `title` is the name that
    people see, `detail` its state, `at` the instant of its last change.
    """

    kind: FoundKind
    id: str
    workflow: str
    title: str
    detail: str = ""
    at: datetime | None = None


class Count(Struct, frozen=True, omit_defaults=True):
    """The number of rows that match a query. `more` is True if the store stopped counting at this number."""

    number: int
    more: bool = False
