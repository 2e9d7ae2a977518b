"""The dialog that executes one command on many objects: it shows the progress, can be stopped, and reports by count."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Label, Static

from victor_engine.errors import PermissionDeniedError, VictorError
from victor_tui.dialogs.base import Dialog, DialogBody
from victor_tui.text import one_line
from victor_tui.widgets.lines import LineView

T = TypeVar("T")

CONCURRENCY = 16
"""Number of concurrent commands. Their writes share commits."""
_DRAWS = 0.1
"""Time in seconds between two drawings of the progress."""
_BAR = 20
"""Width of the progress bar in cells."""
_NAMED = 100
"""Maximum number of objects that the report names below one error, and of those that succeeded."""


@dataclass
class BulkResult(Generic[T]):
    """The objects by result. `failed` has the objects of each error, by its message."""

    total: int
    done: list[str] = field(default_factory=list)
    failed: dict[str, list[tuple[str, T]]] = field(default_factory=dict)

    @property
    def failures(self) -> int:
        return sum(map(len, self.failed.values()))

    @property
    def failed_items(self) -> list[T]:
        return [item for found in self.failed.values() for _, item in found]

    @property
    def left(self) -> int:
        """The number of objects without a result."""
        return self.total - len(self.done) - self.failures


def progress_words(result: BulkResult[T], state: str) -> Content:
    """Return the progress as a bar and numbers. `state` is running, stopping, stopped or ended."""
    tried = result.total - result.left
    share = tried / result.total if result.total else 1.0
    filled = int(share * _BAR)
    words = [state] if state in ("stopping", "stopped") else []
    if result.failures:
        words.append(f"{result.failures:,} failed")
    if result.left:
        words.append(f"{result.left:,} {'to go' if state == 'running' else 'not tried'}")
    return Content.assemble(
        ("━" * filled, "$primary"),
        ("╌" * (_BAR - filled), "$text-muted"),
        (f" {share:.0%}  ", "$text-muted"),
        (", ".join(words), "$text-error" if result.failures else "$foreground"),
    )


def head_words(title: str, result: BulkResult[T]) -> Content:
    """Return the title with the number of objects that succeeded."""
    count = f"  {len(result.done):,} of {result.total:,} done"
    return Content.assemble((one_line(title), "bold"), (count, "$warning" if result.failures else "$success"))


def report_lines(result: BulkResult[T]) -> list[Content]:
    """Return the errors with their counts, the most frequent first, and then the objects that succeeded."""
    lines: list[Content] = []
    for message, found in sorted(result.failed.items(), key=lambda each: -len(each[1])):
        count = f"{len(found):,} × " if len(found) > 1 else ""
        lines.append(Content.styled(f"✗ {count}{one_line(message, 300)}", "$text-error"))
        lines += _names((name for name, _ in found[:_NAMED]), len(found), "bold")
    lines += [Content.styled(f"✓ {name}", "$text-success") for name in result.done[:_NAMED]]
    if len(result.done) > _NAMED:
        lines.append(Content.styled(f"✓ and {len(result.done) - _NAMED:,} more", "$text-success"))
    return lines


def _names(names: Iterable[str], count: int, style: str) -> list[Content]:
    lines = [Content.styled(f"    {name}", style) for name in names]
    return lines if count <= _NAMED else [*lines, Content(f"    and {count - _NAMED:,} more")]


class BulkDialog(Dialog[BulkResult[T]]):
    """Execute `action` on each item. Dismisses with the results.

    `name` returns the text of an item. Escape stops: no further action starts, and those that run end. Escape again
    closes. A lost role stops too. `keeps_marks` is whether the caller marks the items that failed.
    """

    def __init__(
        self,
        title: str,
        items: Sequence[T],
        action: Callable[[T], Awaitable[object]],
        name: Callable[[T], str] = str,
        *,
        keeps_marks: bool = False,
    ) -> None:
        super().__init__()
        self._title, self._items = title, list(items)
        self._action, self._name_of, self._keeps_marks = action, name, keeps_marks
        self._stopping = self._ended = False
        self.result: BulkResult[T] = BulkResult(len(self._items))

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(id="head")
            with DialogBody(id="body", can_focus=False):
                yield Static(id="count", classes="text")
                yield LineView(id="results")
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Stop", id="stop", variant="primary", compact=True)
                yield Label("↑↓ scroll · esc stop", classes="hint")

    def on_mount(self) -> None:
        self.query_one("#stop").focus()
        self._draw()
        self.set_interval(_DRAWS, self._progress)
        self._run()

    def on_button_pressed(self) -> None:
        self.action_leave()

    def action_leave(self) -> None:
        if self._ended:
            self.dismiss(self.result)
        else:
            self._stop("")

    def action_submit(self) -> None:
        if self._ended:
            self.dismiss(self.result)

    def _stop(self, reason: str) -> None:
        """Start no further action."""
        self._stopping = True
        if reason:
            self.show_error(reason, "$warning")
        self._draw()

    @work(group="bulk")
    async def _run(self) -> None:
        pending = iter(self._items)

        async def some() -> None:
            for item in pending:
                if self._stopping:
                    return
                await self._one(item)

        await asyncio.gather(*(some() for _ in range(CONCURRENCY)))
        self._ended = True
        if self.is_mounted:
            button = self.query_one("#stop", Button)
            button.label = "Close"
            marked = "failed ones stay marked · " if self._keeps_marks and self.result.failed else ""
            self.query_one(".hint", Label).update(f"{marked}esc close")
            self._draw()

    async def _one(self, item: T) -> None:
        name = one_line(self._name_of(item), 60)
        try:
            await self._action(item)
        except VictorError as error:
            self.result.failed.setdefault(error.message, []).append((name, item))
            if isinstance(error, PermissionDeniedError):
                self._stop(f"{error.message}. No further action starts.")
        else:
            self.result.done.append(name)

    def _progress(self) -> None:
        if not self._ended:
            self._draw()

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        state = ("stopped" if self.result.left else "ended") if self._ended else "running"
        if self._stopping and not self._ended:
            state = "stopping"
        self.query_one("#head", Static).update(head_words(self._title, self.result))
        self.query_one("#count", Static).update(progress_words(self.result, state))
        self.query_one("#results", LineView).set_lines(report_lines(self.result))
        self._fit_body()
