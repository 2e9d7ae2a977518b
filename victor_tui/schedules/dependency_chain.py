"""The dependencies of a schedule (`after`), drawn as lines of text."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest

from rich.cells import cell_len

from victor_engine.api import After, ScheduleInfo, UpstreamEnd
from victor_tui.text import clean

MAX_LINES = 12
"""Maximum number of lines of a drawing. A longer drawing ends with the number of omitted lines."""
_MAX_DEPTH = 8
_ARROWS: dict[UpstreamEnd, str] = {"success": "─▶ ", "failure": "─✗▶ ", "completion": "─∗▶ "}


def _arrow(after: After) -> str:
    return ("─any" if after.require == "any" and len(after.workflows) > 1 else "") + _ARROWS[after.on]


class Chain:
    """The dependencies of all schedules with `after`."""

    def __init__(self, schedules: Iterable[ScheduleInfo]) -> None:
        self._upstream: dict[str, After] = {}
        self._downstream: dict[str, list[tuple[str, After]]] = {}
        for schedule in schedules:
            after = schedule.spec.after
            if after is None:
                continue
            workflow = schedule.spec.workflow
            self._upstream.setdefault(workflow, after)
            for name in after.workflows:
                entry = (workflow, after)
                if entry not in self._downstream.setdefault(name, []):
                    self._downstream[name].append(entry)

    def draw(self, schedule: ScheduleInfo) -> list[str]:
        """Return the drawing of the chain through `schedule`, which is in brackets; empty without dependencies.

        ingest  ─┬─▶ [report] ─┬─▶ publish
        extract ─┘             └─▶ mail
        """
        workflow = schedule.spec.workflow
        left = self._left(schedule.spec.after, frozenset({workflow}), 0)
        downstream = self._downstream.get(workflow, [])
        if not left and not downstream:
            return []
        right = self._right(f"[{clean(workflow)}]", downstream, frozenset({workflow}), 0)
        width = max((cell_len(line) for line in left), default=0)
        lines = [
            (first + " " * (width - cell_len(first)) + second).rstrip()
            for first, second in zip_longest(left, right, fillvalue="")
        ]
        if len(lines) > MAX_LINES:
            lines = [*lines[: MAX_LINES - 1], f"… {len(lines) - MAX_LINES + 1} more lines"]
        return lines

    def _left(self, after: After | None, seen: frozenset[str], depth: int) -> list[str]:
        """Return the upstream part, ending in the arrow to the workflow.

        The workflow is on the first line.
        """
        if after is None:
            return []
        blocks: list[list[str]] = []
        for name in after.workflows:
            more = None if name in seen or depth >= _MAX_DEPTH else self._upstream.get(name)
            block = self._left(more, seen | {name}, depth + 1)
            width = max((cell_len(line) for line in block), default=0)
            first = (block[0] if block else "") + clean(name)
            blocks.append([first, *(line + " " * (width - cell_len(line)) for line in block[1:])])
        width = max(cell_len(line) for block in blocks for line in block)
        lines: list[str] = []
        for index, block in enumerate(blocks):
            last = index == len(blocks) - 1
            for row, line in enumerate(block):
                if row == 0:
                    joint = "─" if len(blocks) == 1 else "┬" if index == 0 else "┘" if last else "┤"
                    tail = f" ─{joint}" if joint != "─" else " ─"
                    lines.append(f"{line}{' ' * (width - cell_len(line))}{tail}")
                else:
                    lines.append(f"{line}{' ' * (width - cell_len(line))}{'   ' if last else '  │'}")
        lines[0] += _arrow(after)
        return lines

    def _right(
        self, name: str, downstream: list[tuple[str, After]], seen: frozenset[str], depth: int
    ) -> list[str]:
        """Return a workflow and its downstream part. The workflow is on the first line."""
        if not downstream or depth >= _MAX_DEPTH:
            return [name]
        lines: list[str] = []
        for index, (workflow, after) in enumerate(downstream):
            more = [] if workflow in seen else self._downstream.get(workflow, [])
            block = self._right(clean(workflow), more, seen | {workflow}, depth + 1)
            last = index == len(downstream) - 1
            joint = "" if len(downstream) == 1 else "┬" if index == 0 else "└" if last else "├"
            for row, line in enumerate(block):
                lead = f"{name} " if index == 0 and row == 0 else " " * (cell_len(name) + 1)
                if row == 0:
                    dash = "─" if index == 0 else " "
                    lines.append(f"{lead}{dash}{joint}{_arrow(after)}{line}")
                else:
                    bar = " " if last or not joint else "│"
                    lines.append(f"{lead} {bar}{' ' * len(_arrow(after))}{line}")
        return lines
