"""The check of versions that several files declare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Declaration(NamedTuple):
    """A version in a file: its normal form (None without one), the digest of its content, and its schedule."""

    workflow: str
    version: str | None
    checksum: str
    schedule: object
    path: str


def declared_twice(declarations: Iterable[Declaration]) -> Iterator[tuple[Declaration, str]]:
    """Yield an error for each declaration that another file contradicts, since either could come into force.

    Two files may contain the same version, with the same content and at most one schedule.
    """
    known: dict[tuple[str, str | None], list[Declaration]] = {}
    for found in declarations:
        others = known.setdefault((found.workflow, found.version), [])
        for other in others:
            differs = "content" if other.checksum != found.checksum else "schedule"
            both = other.schedule is not None and found.schedule is not None
            if differs == "content" or (both and other.schedule != found.schedule):
                name = f"{found.workflow} {found.version}" if found.version else found.workflow
                remedy = (
                    "Give each its own version" if differs == "content" else "Remove one of the schedules"
                )
                yield found, f"{name} is also declared by {other.path}, with a different {differs}. {remedy}"
                break
        others.append(found)
