"""The due times of schedules in memory, in their order."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence


class DueTimes:
    """The instant in microseconds at which each schedule is due next."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._due: dict[str, int] = {}

    def replace(self, rows: Sequence[tuple[str, int]]) -> None:
        """Put other schedules in the place of all."""
        self._due = dict(rows)
        self._heap = [(due, schedule) for schedule, due in rows]
        heapq.heapify(self._heap)

    def set(self, schedule: str, due: int | None) -> None:
        """Set when a schedule is due next; None if it is not."""
        if due is None:
            self._due.pop(schedule, None)
        else:
            self._due[schedule] = due
            heapq.heappush(self._heap, (due, schedule))

    def first(self) -> int | None:
        """Return the earliest due time."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self, now: int, limit: int) -> list[str]:
        """Remove the schedules that are due by `now`, at most `limit`, and return them."""
        found: list[str] = []
        while self._heap and self._heap[0][0] <= now and len(found) < limit:
            due, schedule = heapq.heappop(self._heap)
            if self._due.get(schedule) == due:
                found.append(schedule)
                self._due.pop(schedule)
        return found

    def until(self, horizon: int, limit: int) -> Iterator[str]:
        """Yield the schedules that are due by `horizon`, unordered. At most `limit` entries are read."""
        indexes = [0]
        for _ in range(limit):
            if not indexes:
                return
            index = indexes.pop()
            if index < len(self._heap) and self._heap[index][0] <= horizon:
                yield self._heap[index][1]
                indexes += (2 * index + 1, 2 * index + 2)
