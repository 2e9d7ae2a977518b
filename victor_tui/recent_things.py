"""The things that the user opened from the palette, the newest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from victor_engine.api import Found

MAX_RECENT = 20
"""Maximum number of kept things."""

_Key = tuple[str, str, str]


def _key(found: Found) -> _Key:
    return found.kind, found.workflow, found.id


class RecentThings:
    """The things that were opened, the newest first."""

    def __init__(self, found: Iterable[Found] = ()) -> None:
        self._found = {_key(each): each for each in found}

    def __iter__(self) -> Iterator[Found]:
        return iter(self._found.values())

    def add(self, found: Found) -> None:
        """Put a thing in front."""
        others = [each for key, each in self._found.items() if key != _key(found)]
        self._found = {_key(each): each for each in [found, *others][:MAX_RECENT]}

    def first(self, found: Iterable[Found]) -> list[Found]:
        """Return things with those in front that were opened, the newest of them first."""
        places = {key: place for place, key in enumerate(self._found)}
        return sorted(found, key=lambda each: places.get(_key(each), MAX_RECENT))
