"""The dialog that creates or edits a schedule, with a preview of its fires."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Button, Input, Label, RadioSet, Select, Static, TextArea

from victor_engine.api import SchedulePreview, ScheduleSpec
from victor_engine.errors import VictorError
from victor_tui.dialogs.base import DialogBody, SendingDialog
from victor_tui.schedules.extra_settings import EXAMPLE
from victor_tui.schedules.spec_form import CATCHUPS, HINTS, OVERLAPS, WAYS, SpecFields, fields_from, spec_from
from victor_tui.schedules.version_input import VersionInput
from victor_tui.text import duration, one_line, plain, relative
from victor_tui.widgets.choices import Pick, Tick

_FIRES = 10


def offset_text(offset: timedelta) -> str:
    """Return an offset from UTC as text: `+02:00`."""
    minutes = round(offset.total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def clock_change(before: timedelta, after: timedelta) -> str:
    """Return the text of a change of the clocks: `clocks go forward by 1h 00m: +01:00 → +02:00`."""
    way = "forward" if after > before else "back"
    size = duration(abs((after - before).total_seconds()))
    return f"clocks go {way} by {size}: {offset_text(before)} → {offset_text(after)}"


def fire_lines(
    fires: tuple[datetime, ...],
    zone: ZoneInfo,
    now: datetime,
    excluded: Mapping[datetime, str],
    begin: datetime | None = None,
    moved: Mapping[datetime, str] | None = None,
) -> list[Content]:
    """Return a line for each fire in `zone` and in UTC, with a line for each change of the clocks.

    `excluded` maps the fires that a calendar excludes to the reason, `moved` the fires that moved to the words about
    it. Changes of the clocks count from `begin`, by default `now`.
    """
    lines = []
    before = (begin or now).astimezone(zone).utcoffset()
    for fire in fires:
        local = fire.astimezone(zone)
        offset = local.utcoffset() or timedelta()
        if before is not None and offset != before:
            lines.append(Content.styled(f"  {clock_change(before, offset)}", "$warning"))
        reason = excluded.get(fire)
        seconds = ":%S" if local.second else ""
        lines.append(
            Content.assemble(
                ("× " if reason else "  ", "$warning"),
                (local.strftime(f"%a %Y-%m-%d %H:%M{seconds} "), "$text-muted" if reason else "bold"),
                (f"{_abbreviation(local)}{offset_text(offset)}", "$text-muted"),
                (fire.astimezone(UTC).strftime(f"  %H:%M{seconds} UTC") if offset else "", "$text-muted"),
                (f"  {relative(fire, now):<8}", "$text-muted"),
                (f"excluded by {one_line(reason, 60)}" if reason else "", "$warning"),
                (one_line((moved or {}).get(fire, ""), 90), "$warning"),
            )
        )
        before = offset
    return lines


def _abbreviation(local: datetime) -> str:
    """Return the abbreviation of the zone, `CEST `; empty if its name is an offset."""
    name = f"{local:%Z}"
    return f"{name} ".ljust(5) if name[:1].isalpha() else ""


def preview_lines(spec: ScheduleSpec, preview: SchedulePreview, now: datetime) -> list[Content]:
    """Return the changes of an edit, and the next fires."""
    lines = [Content.styled(one_line(change, 200), "$warning") for change in preview.changes]
    lines.append(Content.styled(one_line(preview.summary, 200), "$success"))
    excluded = {each.at: each.reason for each in preview.excluded}
    zone = ZoneInfo(spec.timezone)
    moved = {
        each.at: f"from {each.origin.astimezone(zone):%a %m-%d}: {each.reason}" for each in preview.moved
    }
    lines += fire_lines(preview.fires, zone, now, excluded, moved=moved)
    change = preview.clock_change
    if change is not None:
        later = tuple(fire for fire in (change.before, change.after) if fire is not None)
        begin = change.at - timedelta(seconds=1)
        lines += [Content.styled("  …", "$text-muted"), *fire_lines(later, zone, now, {}, begin, moved)]
    return lines


def _row(name: str, title: str, field: Widget) -> ComposeResult:
    """Yield a label with a field, and the line for its error."""
    yield Horizontal(Label(title, classes="name"), field, classes="row")
    yield Static(classes="field-error", id=f"{name}-error")


class ScheduleDialog(SendingDialog[tuple[ScheduleSpec, str, str | None] | None]):
    """A form that dismisses with the spec, a note for the audit trail and the plan of an edit, or None.

    `spec` is the spec of the schedule `schedule_id`. None creates a schedule, and `start` has its first texts.
    """

    SENDS = "save"
    METHOD = "edit_schedule"
    ENTER_SENDS = False

    def __init__(
        self,
        spec: ScheduleSpec | None,
        schedule_id: str | None = None,
        start: SpecFields | None = None,
        *,
        first: str | None = None,
    ) -> None:
        super().__init__(id="schedule-dialog", classes="form")
        self._schedule_id = schedule_id
        self._base = spec
        self._start = fields_from(spec) if spec is not None else start or SpecFields()
        self._first = first or ("expression" if spec is not None else "workflow")
        """The field that gets the focus."""
        self._shown_all = False
        self._shown: tuple[SpecFields, str] | None = None
        """The input of the visible preview, and its plan."""

    def compose(self) -> ComposeResult:
        title = f"Schedule {one_line(self._base.workflow, 60)}" if self._base else "New schedule"
        with Vertical(id="box"):
            yield Static(Content.styled(title, "bold"), id="head")
            with DialogBody(id="body", can_focus=False):
                yield from self._compose_when()
                yield Static(id="preview", classes="text")
                yield from self._compose_policy()
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Save", id="save", variant="primary", compact=True)
                yield Button("Cancel", id="leave", compact=True)
                yield Label("ctrl+s save · tab next · esc cancel", classes="hint")

    def _compose_when(self) -> ComposeResult:
        start = self._start
        workflows = [(Content(one_line(start.workflow, 120)), start.workflow)] if start.workflow else []
        first = start.workflow if start.workflow else Select.NULL
        yield from _row(
            "workflow",
            "Workflow",
            Select(workflows, value=first, id="workflow", compact=True, prompt="Choose"),
        )
        buttons = [Pick(way, way == start.way, compact=True) for way in WAYS]
        yield from _row("way", "Fires", RadioSet(*buttons, id="way", compact=True))
        yield from _row(
            "expression",
            "When",
            Input(start.expression, placeholder=HINTS[start.way], id="expression", compact=True),
        )
        from zoneinfo import available_timezones

        zones = SuggestFromList(sorted(available_timezones()), case_sensitive=False)
        zone = Input(start.timezone, placeholder="UTC", suggester=zones, id="timezone", compact=True)
        yield from _row("timezone", "Time zone", zone)

    def _compose_policy(self) -> ComposeResult:
        start = self._start
        yield from _row(
            "state", "Initial state", TextArea(start.state, id="state", compact=True, tab_behavior="focus")
        )
        more = TextArea(
            start.more, id="more", compact=True, tab_behavior="focus", placeholder=Content(EXAMPLE)
        )
        yield from _row("more", "More (YAML)", more)
        version = VersionInput(start.version, start.workflow)
        yield from _row("version", "Version", version)
        overlaps = [(word.replace("_", " "), word) for word in OVERLAPS]
        yield from _row(
            "overlap",
            "If still running",
            Select(overlaps, value=start.overlap, allow_blank=False, id="overlap", compact=True),
        )
        yield from _row("active", "Max. active", Input(start.active, id="active", compact=True))
        yield from _row(
            "catchup",
            "Missed fires",
            Select(
                [(word, word) for word in CATCHUPS],
                value=start.catchup,
                allow_blank=False,
                id="catchup",
                compact=True,
            ),
        )
        yield from _row("enabled", "Enabled", Tick("fires", start.enabled, id="enabled", compact=True))
        note = Input(placeholder="reason, for the audit trail", id="note", compact=True)
        yield from _row("note", "Note", note)

    def on_mount(self) -> None:
        self._load_workflows()
        self.query_one(f"#{self._first}").focus()
        self._preview()

    @work(group="workflows")
    async def _load_workflows(self) -> None:
        try:
            found = await self.port.workflows(shown="heads")
        except VictorError as error:
            self.show_error(error.message)
            return
        select: Select[str] = self.query_one("#workflow", Select)
        chosen = select.value
        names = sorted({flow.name for flow in found} | ({self._start.workflow} - {""}))
        select.set_options([(Content(one_line(name, 120)), name) for name in names])
        if isinstance(chosen, str):
            select.value = chosen

    # --- reading ------------------------------------------------------------------------------

    def _read(self) -> SpecFields:
        def text(name: str) -> str:
            return self.query_one(f"#{name}", Input).value

        def choice(name: str) -> object:
            value: object = self.query_one(f"#{name}", Select).value
            return value

        workflow = choice("workflow")
        pressed = self.query_one("#way", RadioSet).pressed_index
        overlap, catchup = choice("overlap"), choice("catchup")
        return SpecFields(
            workflow=workflow if isinstance(workflow, str) else "",
            way=WAYS[max(0, pressed)],
            expression=text("expression"),
            timezone=text("timezone"),
            state=self.query_one("#state", TextArea).text,
            version=text("version"),
            overlap=next(word for word in OVERLAPS if word == overlap),
            active=text("active"),
            catchup=next(word for word in CATCHUPS if word == catchup),
            enabled=self.query_one("#enabled", Tick).value,
            more=self.query_one("#more", TextArea).text,
        )

    # --- preview ------------------------------------------------------------------------------

    def on_radio_set_changed(self, event: RadioSet.Changed) -> None:
        self.query_one("#expression", Input).placeholder = HINTS[WAYS[event.index]]
        self._preview_later()

    def on_input_changed(self) -> None:
        self._preview_later()

    def on_text_area_changed(self) -> None:
        self._preview_later()

    def on_select_changed(self, event: Select.Changed) -> None:
        if event.select.id == "workflow" and isinstance(event.value, str):
            self.query_one(VersionInput).offer_versions(event.value)
        self._preview_later()

    def _preview_later(self) -> None:
        self.debounce.call(self._preview)

    @work(group="preview", exclusive=True)
    async def _preview(self) -> None:
        await self._check()

    async def _check(self) -> ScheduleSpec | None:
        """Show the errors and the preview. Return the spec if it has no errors."""
        self._shown = None
        fields = self._read()
        spec, errors = spec_from(fields, self._base)
        preview: SchedulePreview | None = None
        if spec is not None:
            try:
                preview = await self.port.preview_schedule(spec, _FIRES, schedule_id=self._schedule_id)
            except VictorError as error:
                preview = SchedulePreview("", problem=error.message)
            if preview.problem:
                of_calendar = preview.problem.startswith("exclude: ")
                errors["more" if of_calendar else "expression"] = preview.problem
            elif fields.way == "once" and not preview.fires:
                errors["expression"] = "That time has passed."
        self._show_errors(errors, fields)
        shown = preview_lines(spec, preview, self.now()) if spec and preview and not preview.problem else []
        lines = shown or [Content.styled("The next fires are shown here.", "$text-muted")]
        self.query_one("#preview", Static).update(Content("\n").join(lines))
        if errors or not await self._is_unchanged():
            return None
        if preview is not None:
            self._shown = fields, preview.plan
        return spec

    async def _is_unchanged(self) -> bool:
        """Return whether the stored spec is the opened one, or show an error: saving would undo a change."""
        if self._schedule_id is None:
            return True
        try:
            stored = (await self.port.schedule(self._schedule_id)).spec
        except VictorError as error:
            self.show_error(error.message)
            return False
        if stored == self._base:
            self.show_error("")
            return True
        self.show_error(
            "The schedule has changed since you opened it. Your text stays here: cancel and edit again."
        )
        return False

    def _show_errors(self, errors: dict[str, str], fields: SpecFields) -> None:
        """Show each error under its field. Before saving, an empty field is not an error."""
        untouched = set() if self._shown_all else {
            name for name in ("workflow", "expression") if not getattr(fields, name)
        }  # fmt: skip
        for line in self.query(".field-error").results(Static):
            name = str(line.id).removesuffix("-error")
            text = "" if name in untouched else errors.get(name, "")
            line.display = bool(text)
            line.update(Content(plain(text)))

    # --- submitting ---------------------------------------------------------------------------

    def action_submit(self) -> None:
        self._save()

    @work(group="preview", exclusive=True)
    async def _save(self) -> None:
        self._shown_all = True
        seen = self._shown
        spec = await self._check()
        if spec is not None and self._shown is not None:
            fields, plan = self._shown
            if self._schedule_id is None or (seen is not None and seen[0] == fields):
                self.dismiss((spec, self.query_one("#note", Input).value.strip(), plan or None))
            else:
                self.show_error("Check the changes: ctrl+s again saves them.", "$warning")
            return
        shown = [line for line in self.query(".field-error").results(Static) if line.display]
        if shown:
            self.query_one(f"#{str(shown[0].id).removesuffix('-error')}").focus()
