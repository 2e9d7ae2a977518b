"""The tap of a log that comes faster than it is read: whole lines, and an exact count of the dropped ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from victor_engine.work import log_tap
from victor_engine.work.invokers.results import LineSplitter
from victor_engine.work.log_tap import LogTap

LINES = [f"line {number}" for number in range(2_000)]
HEAD = 50
"""Lines after which the log is capped."""


@dataclass
class Log:
    lines: list[str] = field(default_factory=list)
    cut: int = 0
    size: int = 0

    def add(self, text: str) -> None:
        self.lines += text.splitlines()

    def capped(self) -> bool:
        return len(self.lines) >= HEAD

    def room(self) -> None:
        return None

    def dropped(self, lines: int, size: int) -> None:
        self.cut += lines
        self.size += size


@example([(4_000, 0.0)])
@example([(999, 0.1), (1, 0.0)])
@given(st.lists(st.tuples(st.integers(1, 4_000), st.sampled_from([0.0, 0.1])), min_size=1, max_size=20))
def test_parts_that_end_within_a_line_are_counted_and_joined(parts: list[tuple[int, float]]) -> None:
    log, now, data = Log(), 0.0, "\n".join(LINES).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_tap, "time", SimpleNamespace(monotonic=lambda: now))
        patch.setattr(log_tap, "PART", 2_000)
        tap = LogTap(LineSplitter(log.add), cast(Any, log))
        while data:
            for size, seconds in parts:
                tap.feed(data[:size])
                data, now = data[size:], now + seconds
        tap.close()
    assert len(log.lines) + log.cut == len(LINES)
    assert sum(len(line) + 1 for line in log.lines) + log.size == len("\n".join(LINES)) + 1
    assert [line for line in log.lines if line not in LINES] == []
    assert log.lines[-1] == LINES[-1]
