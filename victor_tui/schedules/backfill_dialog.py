"""The dialog that starts a backfill, with a preview."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Input, Label, Select, Static

from victor_engine.api import BackfillPreview, BackfillSpec, ScheduleInfo
from victor_engine.errors import VictorError
from victor_tui.dialogs.base import DialogBody, SendingDialog
from victor_tui.schedules.backfill_preview import preview_of_one, preview_of_several
from victor_tui.schedules.time_fields import RangeError, parse_range
from victor_tui.text import one_line, plain, plural, schedule_name

HINT = "last week, yesterday, -7d, mon, 2026-03-01 or 2026-03-01 02:00"
ORDER_OPTIONS = (("oldest first", "oldest"), ("newest first", "newest"))
REDO_OPTIONS = (
    ("missing fires", "missing"),
    ("missing and failed fires", "failed"),
    ("all fires, also successful ones", "all"),
)

Shown = tuple[tuple[BackfillSpec, str], ...]
"""The backfills of a preview, one for each schedule, with their plans."""

BackfillChoice = tuple[Shown, str]
"""The backfills to start, and the note."""


class BackfillDialog(SendingDialog[BackfillChoice | None]):
    """A form that dismisses with the backfills and a note, or None. Several schedules share the range."""

    SENDS = "start"
    METHOD = "start_backfill"
    ENTER_SENDS = False

    def __init__(self, schedules: Sequence[ScheduleInfo]) -> None:
        super().__init__(classes="form")
        self._schedules = schedules
        self._touched = False
        self._shown: tuple[tuple[object, ...], Shown] | None = None
        """The input of the visible preview, and its backfills."""

    @property
    def _zone(self) -> tzinfo | None:
        """The time zone of the schedule; for several schedules, the zone of the console."""
        if len(self._schedules) > 1:
            return self.console.zone
        from victor_tui.schedules.spec_form import zone_or_utc

        return zone_or_utc(self._schedules[0].spec.timezone)

    def compose(self) -> ComposeResult:
        one = len(self._schedules) == 1
        first = self._schedules[0]
        title = schedule_name(first.id, first.spec.workflow) if one else f"{len(self._schedules)} schedules"
        with Vertical(id="box"):
            yield Static(Content.styled(f"Backfill {one_line(title, 60)}", "bold"), id="head")
            with DialogBody(id="body", can_focus=False):
                yield from self._row("from", "From", Input(placeholder=HINT, id="from", compact=True))
                yield from self._row(
                    "to",
                    "To",
                    Input(placeholder="empty: the end of the period, or now", id="to", compact=True),
                )
                yield from self._row("redo", "Which fires", self._select("redo", REDO_OPTIONS))
                yield from self._row("order", "Order", self._select("order", ORDER_OPTIONS))
                yield from self._row("concurrency", "Concurrency", Input("1", id="concurrency", compact=True))
                yield Static(id="preview", classes="text")
                yield from self._row("note", "Note", Input(id="note", compact=True))
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Start", id="start", variant="primary", compact=True)
                yield Button("Cancel", id="leave", compact=True)
                yield Label("ctrl+s start · tab next · esc cancel", classes="hint")

    @staticmethod
    def _row(name: str, title: str, field: Widget) -> ComposeResult:
        yield Horizontal(Label(title, classes="name"), field, classes="row")
        yield Static(classes="field-error", id=f"{name}-error")

    @staticmethod
    def _select(name: str, options: Sequence[tuple[str, str]]) -> Select[str]:
        shown = [(Content(one_line(words, 120)), value) for words, value in options]
        return Select(shown, value=options[0][1], allow_blank=False, id=name, compact=True)

    def on_mount(self) -> None:
        self.query_one("#from").focus()
        self._preview()

    # --- reading --------------------------------------------------------------------------------

    def _read(self) -> tuple[tuple[BackfillSpec, ...], dict[str, str]]:
        """Return a spec for each schedule and no errors, or no specs and the errors by field."""
        errors: dict[str, str] = {}
        now = self.now()
        start = end = now
        try:
            first, last = self.query_one("#from", Input).value, self.query_one("#to", Input).value
            start, end = parse_range(first, last, now, self._zone)
        except RangeError as error:
            errors[error.field] = str(error)
        text = self.query_one("#concurrency", Input).value.strip()
        if not text.isdecimal() or not int(text):
            errors["concurrency"] = "Enter a whole number of 1 or more."
        if errors:
            return (), errors
        order, redo = self.query_one("#order", Select).value, self.query_one("#redo", Select).value
        return tuple(
            BackfillSpec(
                schedule.id,
                start,
                end,
                order="newest" if order == "newest" else "oldest",
                concurrency=int(text),
                redo="all" if redo == "all" else "failed" if redo == "failed" else "missing",
            )
            for schedule in self._schedules
        ), {}

    # --- preview --------------------------------------------------------------------------------

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.id != "note":
            self._preview_later()

    def on_select_changed(self) -> None:
        self._preview_later()

    def _preview_later(self) -> None:
        self.debounce.call(self._preview)

    def _input(self) -> tuple[object, ...]:
        fields = [self.query_one(f"#{name}", Input).value for name in ("from", "to", "concurrency")]
        return (*fields, *(self.query_one(f"#{name}", Select).value for name in ("order", "redo")))

    @work(group="preview", exclusive=True)
    async def _preview(self) -> None:
        await self._check()

    async def _check(self) -> Shown:
        """Show the errors and the preview. Return the backfills that start at least one run."""
        self._shown = None
        self.show_error("")
        current = self._input()
        specs, errors = self._read()
        self._show_errors(errors)
        if errors:
            words = "The preview is shown here." if not self.query_one("#from", Input).value else ""
            self.query_one("#preview", Static).update(Content.styled(words, "$text-muted"))
            self._offer(0)
            return ()
        found: list[tuple[BackfillSpec, BackfillPreview]] = []
        for spec in specs:
            try:
                found.append((spec, await self.port.preview_backfill(spec)))
            except VictorError as error:
                found.append((spec, BackfillPreview(0, problem=error.message)))
        if len(found) == 1:
            lines = preview_of_one(*found[0], self._zone)
        else:
            workflows = {schedule.id: schedule.spec.workflow for schedule in self._schedules}
            lines = preview_of_several(found, workflows, self._zone)
        self.query_one("#preview", Static).update(Content("\n").join(lines))
        good = tuple((spec, preview.plan) for spec, preview in found if preview.count and not preview.problem)
        self._shown = current, good
        self._offer(sum(preview.count for _, preview in found if not preview.problem))
        return good

    def _offer(self, count: int) -> None:
        button = self.query_one("#start", Button)
        button.label = f"Start {plural(count, 'run')}" if count else "Start"
        button.refresh(layout=True)

    def _show_errors(self, errors: dict[str, str]) -> None:
        for line in self.query(".field-error").results(Static):
            name = str(line.id).removesuffix("-error")
            text = errors.get(name, "")
            if name == "from" and not self._touched and not self.query_one("#from", Input).value:
                text = ""
            line.display = bool(text)
            line.update(Content(plain(text)))

    # --- submitting -----------------------------------------------------------------------------

    def action_submit(self) -> None:
        self._start()

    @work(group="preview", exclusive=True)
    async def _start(self) -> None:
        """Start the backfills of the visible preview. If the input has changed, show a new preview first."""
        self._touched = True
        seen = self._shown is not None and self._shown[0] == self._input()
        if not seen and await self._check():
            self.show_error("Check the preview: ctrl+s again starts it.", "$warning")
            return
        if self._shown is not None and self._shown[1]:
            self.dismiss((self._shown[1], self.query_one("#note", Input).value))
            return
        shown = [line for line in self.query(".field-error").results(Static) if line.display]
        name = str(shown[0].id).removesuffix("-error") if shown else "from"
        self.query_one(f"#{name}").focus()
