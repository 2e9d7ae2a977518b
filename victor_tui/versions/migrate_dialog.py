"""The dialog that previews a migration, on runs or on a pasted state, and applies it."""

from __future__ import annotations

import json
from difflib import unified_diff
from typing import Any

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Label, Static, TextArea

from victor_engine.api import (
    MigrationPreview,
    MigrationReport,
    MigrationSpec,
    MigrationStepResult,
    RunMove,
)
from victor_engine.errors import VictorError
from victor_tui.dialogs.base import Dialog, DialogBody, json_object, json_text
from victor_tui.text import one_line, plural
from victor_tui.widgets.json_view import diff_style

_REASONS = 5
"""Maximum number of listed reasons against a migration."""
_SHOWN = 400
"""Maximum number of visible lines of a diff."""


def state_diff(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return a unified diff of two states as JSON; empty if they are equal."""

    def lines(state: dict[str, Any]) -> list[str]:
        return json.dumps(state, indent=2, ensure_ascii=False, sort_keys=True, default=str).splitlines()

    old, new = lines(before), lines(after)
    return list(unified_diff(old, new, lineterm="", n=3))[2:]


def _chain(path: tuple[str, ...]) -> str:
    return " · ".join(step.replace("->", " → ") for step in path)


def _line(text: str, style: str, indent: int = 0) -> Content:
    return Content.styled(" " * indent + one_line(text, 300), style)


def _steps(steps: tuple[MigrationStepResult, ...]) -> list[Content]:
    """Return the lines of the steps: text, change of the position, and changes of the state."""
    lines = []
    for step in steps:
        position = f": {step.position}" if step.position else ""
        lines.append(_line(f"{step.step}{position}", "$text-muted", 2))
        lines += [_line(row, diff_style(row), 4) for row in step.changes]
    return lines


def _alternatives(paths: tuple[tuple[str, ...], ...]) -> list[Content]:
    return [_line(f"alternative: {_chain(path)}", "$text-muted", 2) for path in paths]


def preview_text(preview: MigrationPreview) -> Content:
    """Return path, steps and diff of a preview."""
    lines = [Content.styled(one_line(_chain(preview.path), 300) or "no migration", "bold")]
    if preview.breaking:
        lines.append(Content.styled("! breaking: readers of the old state must change too", "$warning"))
    lines += _steps(preview.steps) + _alternatives(preview.alternatives)
    rows = state_diff(preview.before, preview.after)
    if not rows:
        lines.append(Content.styled("The state does not change.", "$text-muted"))
    lines += [Content.styled(one_line(row, 300), diff_style(row)) for row in rows[:_SHOWN]]
    if len(rows) > _SHOWN:
        lines.append(Content.styled(f"… {len(rows) - _SHOWN} more lines", "$text-muted"))
    return Content("\n").join(lines)


def _reasons(report: MigrationReport) -> list[tuple[str, int]]:
    """Return the reasons why runs do not migrate, with their counts, the most frequent first."""
    found: dict[str, int] = {}
    for move in report.runs:
        if move.outcome == "refused":
            found[move.reason] = found.get(move.reason, 0) + 1
    return sorted(found.items(), key=lambda entry: -entry[1])


def _stays(report: MigrationReport) -> list[Content]:
    """Return the lines of the most frequent reasons."""
    return [
        _line(f"! {plural(count, 'run')} {'stays' if count == 1 else 'stay'}: {reason}", "$text-warning")
        for reason, count in _reasons(report)[:_REASONS]
    ]


def _undone(report: MigrationReport) -> list[Content]:
    """Return the lines of the undo of several migrations."""
    done = report.count("migrated")
    be = "is" if done == 1 else "are"
    words = f"Migration undone: {plural(done, 'run')} {be} on {report.to_version} again."
    return [_line(words, "bold $text-success" if done else "bold $text-muted"), *_stays(report)]


def report_text(report: MigrationReport, example: RunMove | None) -> Content:
    """Return the numbers of migrated runs and schedules, the reasons against others, and one run in detail."""
    done = report.count("migrated" if report.applied else "ready")
    verb = "migrated" if report.applied else "would migrate"
    tone = "$text-success" if done else "$text-muted"
    lines = [Content.styled(f"{plural(done, 'run')} {verb}", f"bold {tone}")]
    lines += _stays(report)
    for schedule in report.schedules:
        words = schedule.reason or f"{schedule.from_version} → {schedule.to_version}"
        style = "$text-warning" if schedule.outcome == "refused" else "$text-success"
        lines.append(_line(f"schedule {schedule.schedule_id}: {words}", style))
    if example is not None and example.outcome != "refused":
        lines.append(_line(f"Run {example.run_id}:", "bold"))
        lines += _steps(example.steps)
        position = f"{', '.join(example.stands_on)} → {', '.join(example.goes_on_at)}"
        lines.append(_line(f"position: {position}", "$text-primary", 2))
        lines += [_line(words, "$text-muted", 2) for words in (*example.questions, *example.timers)]
        lines += _alternatives(example.alternatives)
    return Content("\n").join(lines)


class MigrateDialog(Dialog[None]):
    """A dry run of a migration on all waiting runs or one run, and on the test state.

    Nothing changes until the user migrates the runs.
    """

    def __init__(self, workflow: str, from_version: str, to_version: str) -> None:
        super().__init__()
        self._of = workflow, from_version, to_version
        self._given = "{}"  # the state that the dialog filled in
        self._migrated: MigrationReport | None = None  # the result that can be undone
        self._shown: tuple[MigrationSpec, str] | None = None  # the spec and plan of the visible report
        self._migrating = False
        self._refused = False
        self._bad_state = False  # the visible error is about the test state

    def compose(self) -> ComposeResult:
        workflow, old, new = (one_line(part, 60) for part in self._of)
        with Vertical(id="box"):
            yield Static(
                Content.assemble(("Migrate ", "bold"), (f"{workflow} {old} → {new}", "bold $primary")),
                id="head",
            )
            with DialogBody(id="body", can_focus=False):
                yield Label(f"Run id (empty: all waiting runs on {old})", classes="label", markup=False)
                yield Input(id="run", compact=True)
                yield Static("Planning the migration…", id="runs", classes="text")
                yield Label("Test state (a JSON object; a dry run)", classes="label")
                yield TextArea(self._given, id="state", compact=True)
                yield Static(id="result", classes="text")
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Migrate", id="move", variant="warning", compact=True, disabled=True)
                yield Button("Close", id="leave", compact=True)
                yield Label("ctrl+s migrate · pgup pgdn scroll · esc", classes="hint")

    def on_mount(self) -> None:
        self.query_one("#run", Input).focus()
        self._preview_state()
        self._plan()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id != "move":
            self.dismiss(None)
        elif self._migrated is not None:
            self._undo(self._migrated)
        else:
            self._migrate()

    def show_access(self) -> None:
        """Disable the button when the user has lost the role."""
        refused = self.console.access.lacks("migrate_runs")
        if refused is not None:
            self.show_error(f"{refused} esc closes.", "$warning")
            self.query_one("#move", Button).disabled = True
        elif self._refused:
            self.show_error("")
            self._replan()
        self._refused = refused is not None

    @property
    def _run_id(self) -> str:
        """The entered run id; empty for all waiting runs."""
        return self.query_one("#run", Input).value.strip()

    def _spec(self, wanted: str) -> MigrationSpec:
        workflow, old, new = self._of
        if wanted:
            return MigrationSpec(workflow, new, run_ids=(wanted,))
        return MigrationSpec(workflow, new, from_version=old, schedules=True)

    @work(group="preview-runs", exclusive=True)
    async def _plan(self) -> None:
        """Show the dry run of the selected runs, and one run step by step."""
        if self._migrating:
            return
        wanted = self._run_id
        try:
            report = await self.port.plan_migration(self._spec(wanted))
            ready = next((move for move in report.runs if move.outcome == "ready"), None)
            example = None
            if ready is not None:
                example = (await self.port.plan_migration(self._spec(ready.run_id))).runs[0]
        except VictorError as error:
            self.query_one("#runs", Static).update(_line(error.message, "$text-warning"))
            self._set_button("Migrate", enabled=False)
            return
        if wanted != self._run_id or self._migrating:
            return  # a preview of the current input follows
        self._show(report, example)
        self._shown = self._spec(wanted), report.plan
        runs = report.count("ready")
        schedules = sum(move.outcome == "ready" for move in report.schedules)
        also = f", {plural(schedules, 'schedule')}" if schedules else ""
        self._set_button(f"Migrate {plural(runs, 'run')}{also}", enabled=bool(runs or schedules))
        if example is not None:
            await self._fill_in(example.run_id)

    async def _fill_in(self, run_id: str) -> None:
        """Fill in the state of a real run, unless the user has edited the test state."""
        area = self.query_one("#state", TextArea)
        if area.text != self._given:
            return
        try:
            state = (await self.port.run(run_id)).state
        except VictorError as error:
            self.show_error(error.message)
            return
        self._given = json_text(state)
        area.load_text(self._given)

    @work(group="move", exclusive=True)
    async def _migrate(self) -> None:
        shown, wanted, self._shown = self._shown, self._run_id, None
        if shown is None or self._migrating:
            return
        self._migrating = True
        self.show_error("")
        self._set_button("Migrating…", enabled=False)
        try:
            spec, plan = shown
            report = await self.port.migrate_runs(spec, plan=plan)
        except VictorError as error:
            self.show_error(error.message)
            self._migrating = False
            self._replan()
            return
        self._migrating = False
        self._show(report, None)
        if wanted != self._run_id:
            self._replan()
        elif count := report.count("migrated"):
            self._migrated = report
            self._set_button(
                "Undo" if len(report.runs) == 1 else f"Undo {plural(count, 'run')}", enabled=True
            )
            self.query_one("#move", Button).focus()  # a disabled button loses the focus
        else:
            self._set_button("Migrated", enabled=False)

    @work(group="move", exclusive=True)
    async def _undo(self, done: MigrationReport) -> None:
        self._set_button("Undoing…", enabled=False)
        try:
            if len(done.runs) == 1:
                run = await self.port.unmigrate_run(done.runs[0].run_id)
                shown = [
                    _line(f"Migration undone: run {run.id} is on {run.version} again.", "bold $text-success")
                ]
            else:
                shown = _undone(await self.port.unmigrate_runs(done.batch))
        except VictorError as error:
            self.show_error(error.message)
            self._set_button("Undo", enabled=False)
            return
        self._migrated = None
        self.query_one("#runs", Static).update(Content("\n").join(shown))
        self._set_button("Undone", enabled=False)

    def _set_button(self, label: str, *, enabled: bool) -> None:
        button = self.query_one("#move", Button)
        button.label = label
        button.disabled = not enabled or self._refused
        button.refresh(layout=True)  # a label of another length needs another width

    def _show(self, report: MigrationReport, example: RunMove | None) -> None:
        self.query_one("#runs", Static).update(report_text(report, example))
        if report.runs:
            # Show the result of real runs first.
            self.call_after_refresh(self.query_one("#body", DialogBody).scroll_home, animate=False)

    def on_input_changed(self) -> None:
        self._replan()

    def _replan(self) -> None:
        """Disable the button until the preview of the current input is visible."""
        self._shown = self._migrated = None
        if not self._migrating:
            self._set_button("Migrate", enabled=False)
        self.debounce.call(self._plan)

    def on_text_area_changed(self) -> None:
        self.debounce.call(self._preview_state)

    def action_submit(self) -> None:
        """Migrate the runs of the visible dry run."""
        button = self.query_one("#move", Button)
        if self._migrated is not None:
            self.show_error("The runs are migrated. The button undoes it.", "$warning")
        elif button.disabled:
            self.show_error("Nothing to migrate yet: the lines above say why.", "$warning")
        else:
            button.press()

    @work(group="preview", exclusive=True)
    async def _preview_state(self) -> None:
        result = self.query_one("#result", Static)
        state, problem = json_object(self.query_one("#state", TextArea).text)
        if state is None:
            self._bad_state = True
            self.show_error(problem)
            return
        try:
            preview = await self.port.preview_migration(*self._of, state)
        except VictorError as error:
            self._bad_state = True
            self.show_error(error.message)
            result.update("")
            return
        if self._bad_state:
            self._bad_state = False
            self.show_error("")
        result.update(preview_text(preview))
