"""The trend of runs: durations as columns over time, with the outcomes below.

A column is solid up to the median and light from there to the 95th percentile, so that it is readable
without colours.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import timedelta, tzinfo

from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from victor_engine.api import RunStats, StatsBucket, cause_text, rate_text
from victor_tui.text import clean, duration, short_duration

_BLOCKS = " ▁▂▃▄▅▆▇█"
_AXIS = 7
"""Width of the axis of durations in cells."""
_LEAST = 8
"""Lines of the plot that the causes of failures leave."""
BUCKETS = 60
"""Number of requested spans: the number that fits into 80 cells."""


def numbers(stats: RunStats) -> Content:
    """Return success rate and durations on one line."""
    if not stats.looked_at:
        return Content.styled(" no runs", "$foreground-muted")
    judged = stats.succeeded + stats.failed
    newest = "newest " if stats.more else ""
    return Content.assemble(
        (f" {rate_text(stats.success_rate)}", "bold $text-error" if stats.failed else "bold $text-success"),
        (f" of {newest}{judged:,} succeeded", "$foreground"),
        (f" · {stats.failed:,} ✗" if stats.failed else "", "$text-error"),
        (
            f" · p50 {duration(stats.p50)} · p95 {duration(stats.p95)} · p99 {duration(stats.p99)}",
            "$foreground",
        ),
        (f" · longest {duration(stats.longest)}", "$foreground-muted"),
        (f" · {stats.rejected:,} rejected" if stats.rejected else "", "$foreground-muted"),
        (f" · {stats.cancelled:,} cancelled" if stats.cancelled else "", "$foreground-muted"),
        (f" · {stats.active:,} active" if stats.active else "", "$foreground-muted"),
    )


def cause_lines(stats: RunStats, width: int) -> list[Content]:
    """Return the causes of failures, in as many lines of `width` cells as they need."""
    parts = [f"{cause.count:,} × {clean(cause_text(cause))}" for cause in stats.causes]
    lines = textwrap.wrap(" · ".join(parts), max(20, width - _AXIS - 1))
    return [
        Content.assemble(
            (f"{'' if at else 'failed':>{_AXIS - 1}} ", "$foreground-muted"), (line, "$text-error")
        )
        for at, line in enumerate(lines)
    ]


def trend_lines(stats: RunStats, width: int, height: int, zone: tzinfo | None) -> list[Content]:
    """Return the plot in `width` by `height` cells: columns, outcomes and the axis of time."""
    rows = max(2, height - 2)
    spans = stats.buckets[-max(1, width - _AXIS - 1) :]
    if not spans:
        return [Content.styled(" no run has ended yet", "$foreground-muted")]
    wide = max(1, min(4, (width - _AXIS - 1) // len(spans)))
    top = max((span.p95 or 0.0 for span in spans), default=0.0) or 1.0
    lines = []
    for row in range(rows):
        label = duration(top) if row == 0 else duration(top / 2) if row == rows // 2 else ""
        low = rows - 1 - row
        solid = "".join(_cell(span.p50, span.p95, top, rows, low) * wide for span in spans)
        lines.append(
            Content.assemble((f"{label:>{_AXIS - 1}} ", "$foreground-muted"), (solid, "$text-primary"))
        )
    return [*lines, _outcomes(spans, wide), _axis(stats, spans, wide, zone)]


def _cell(p50: float | None, p95: float | None, top: float, rows: int, low: int) -> str:
    """Return one cell of a column, `low` cells above the base."""
    if p50 is None or p95 is None:
        return " "
    eighths = round(p50 / top * rows * 8) - low * 8
    if eighths >= 8:
        return _BLOCKS[8]
    if eighths > 0:
        return _BLOCKS[eighths]
    if round(p95 / top * rows * 8) > low * 8:
        return "░"
    return "▁" if low == 0 else " "


def _outcomes(spans: Sequence[StatsBucket], wide: int) -> Content:
    """Return the line of outcomes: `✗` if half or more failed, `!` if some failed, `✓` if none failed.

    It is empty where no run ended.
    """
    parts: list[tuple[str, str]] = [(f"{'ended':>{_AXIS - 1}} ", "$foreground-muted")]
    for span in spans:
        sign, style = (" ", "$foreground")
        if span.failed:
            half = span.failed >= span.succeeded
            sign, style = ("✗", "$text-error") if half else ("!", "$text-warning")
        elif span.succeeded:
            sign, style = "✓", "$text-success"
        elif span.other:
            sign, style = "–", "$foreground-muted"
        parts.append((sign.ljust(wide), style))
    return Content.assemble(*parts)


def _axis(stats: RunStats, spans: Sequence[StatsBucket], wide: int, zone: tzinfo | None) -> Content:
    """Return the axis of time: start of the first column, end of the last, and length of one."""
    first = f"{spans[0].start.astimezone(zone):%d %b %H:%M}"
    end = spans[-1].start + timedelta(seconds=stats.bucket_seconds)
    last = f"{end.astimezone(zone):%d %b %H:%M}"
    each = f"{short_duration(stats.bucket_seconds)} each"
    width = max(len(first) + len(last) + len(each) + 4, wide * len(spans))
    middle = each.center(width - len(first) - len(last))
    return Content.styled(f"{' ' * _AXIS}{first}{middle}{last}", "$foreground-muted")


class Trend(Static):
    """The plot, in the size of its region."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__("", id=id, classes=classes, markup=False)
        self.zone: tzinfo | None = None
        self._stats: RunStats | None = None

    def show(self, stats: RunStats) -> None:
        self._stats = stats
        self._draw()

    def on_resize(self, _event: Resize) -> None:
        self._draw()

    def _draw(self) -> None:
        if self._stats is not None and self.size.height:
            causes = cause_lines(self._stats, self.size.width)[: max(0, self.size.height - _LEAST)]
            height = min(self.size.height - len(causes), 14)
            lines = [*trend_lines(self._stats, self.size.width, height, self.zone), *causes]
            self.update(Content("\n").join(lines))
