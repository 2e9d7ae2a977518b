"""The dialog that explains why a schedule fired or did not fire: now, at an instant, or on a day."""

from __future__ import annotations

from datetime import tzinfo

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Label, Static

from victor_engine.api import Explanation, ScheduleInfo
from victor_engine.errors import VictorError
from victor_tui.dialogs.base import Dialog, DialogBody
from victor_tui.schedules.facts import explained
from victor_tui.schedules.time_fields import Span, parse_span
from victor_tui.text import full, one_line, plain, schedule_name
from victor_tui.widgets.preview import Facts

HINT = "empty: now · 02:30 · yesterday 02:00 · last night · 2026-03-08 · 2026-03-08 02:30"


def span_text(span: Span, zone: tzinfo | None) -> str:
    """Return a parsed span in full."""
    if span.kind == "instant":
        local = span.start.astimezone(zone)
        return f"{local:%A} {full(span.start, zone)}"
    first, last = span.start.astimezone(zone), span.end.astimezone(zone)
    if span.kind == "day":
        return f"all of {first:%A %Y-%m-%d %Z}"
    return f"{first:%a %Y-%m-%d %H:%M} to {last:%a %Y-%m-%d %H:%M %Z}"


class WhyDialog(Dialog[str | None]):
    """A dialog that explains `schedule`. Dismisses with the id of a run to open, or None.

    `at` is the initial text of the field. `span` is explained while the field is empty.
    """

    def __init__(self, schedule: ScheduleInfo, at: str = "", span: Span | None = None) -> None:
        super().__init__(id="why-dialog")
        self._schedule, self._at, self._span = schedule, at, span
        self._run: str | None = None

    @property
    def _zone(self) -> tzinfo:
        from victor_tui.schedules.spec_form import zone_or_utc

        return zone_or_utc(self._schedule.spec.timezone)

    def compose(self) -> ComposeResult:
        name = one_line(schedule_name(self._schedule.id, self._schedule.spec.workflow), 60)
        with Vertical(id="box"):
            yield Static(Content.styled(f"Why did {name} fire, or not?", "bold"), id="head")
            with DialogBody(id="body", can_focus=False):
                zone = one_line(self._schedule.spec.timezone, 40)
                yield Label(f"At ({zone})", classes="label first", markup=False)
                yield Input(self._at, placeholder=HINT, id="at", compact=True)
                yield Static(id="at-preview", classes="remark")
                yield Static(id="answer", classes="text")
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Close", id="leave", variant="primary", compact=True)
                yield Button("Open run", id="open", compact=True)
                yield Label("pgup pgdn scroll · esc close", classes="hint")

    def on_mount(self) -> None:
        self.query_one("#open", Button).display = False
        self.query_one("#at").focus()
        self._explain()

    def on_input_changed(self) -> None:
        self.debounce.call(self._explain)

    def on_input_submitted(self) -> None:
        self._explain()

    @work(group="preview", exclusive=True)
    async def _explain(self) -> None:
        text = self.query_one("#at", Input).value.strip()
        span = self._span
        if text:
            try:
                span = parse_span(text, self.now(), self._zone, ahead=False)
            except ValueError as error:
                self._show_span(str(error), "$error")
                return
        self._show_span("current state" if span is None else span_text(span, self._zone), "$text-muted")
        if span is not None and span.note:
            self._show_span(f"{span_text(span, self._zone)}. {span.note}", "$warning")
        at = None if span is None else span.start
        until = None if span is None or span.kind == "instant" else span.end
        try:
            answer = await self.port.explain_schedule(self._schedule.id, at, until)
        except VictorError as error:
            self.show_error(error.message)
            return
        self.show_error("")
        self._show(answer)

    def _show_span(self, text: str, style: str) -> None:
        self.query_one("#at-preview", Static).update(Content.styled(plain(text), style))

    def _show(self, answer: Explanation) -> None:
        zone = self.console.zone
        facts = explained(Facts(self.app.theme), answer, self.now(), zone)
        self.query_one("#answer", Static).update(facts.renderable())
        self._run = next((fire.run_id for fire in answer.fires if fire.run_id), None)
        button = self.query_one("#open", Button)
        button.display = self._run is not None
        if self._run is not None:
            button.label = f"Open run {self._run}"
        self.query_one("#body", DialogBody).scroll_home(animate=False)
        self._fit_body()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(self._run if event.button.id == "open" else None)

    def action_submit(self) -> None:
        self._explain()
