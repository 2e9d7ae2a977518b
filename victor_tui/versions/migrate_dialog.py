"""A migration tried first: on the runs that wait for it, or on a state that is pasted; then applied."""

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
"""Reasons for staying behind that are listed."""
_SHOWN = 400
"""Lines of a difference that are shown."""


def state_diff(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """A unified diff of two states as JSON, whole where they are small; empty where nothing changes."""

    def lines(state: dict[str, Any]) -> list[str]:
        return json.dumps(state, indent=2, ensure_ascii=False, sort_keys=True, default=str).splitlines()

    old, new = lines(before), lines(after)
    return list(unified_diff(old, new, lineterm="", n=3))[2:]


def _chain(path: tuple[str, ...]) -> str:
    return " · ".join(step.replace("->", " → ") for step in path)


def _line(text: str, style: str, indent: int = 0) -> Content:
    return Content.styled(" " * indent + one_line(text, 300), style)


def _steps(steps: tuple[MigrationStepResult, ...]) -> list[Content]:
    """Each step in words, with what it means to where a run stands and what it changes of the state."""
    lines = []
    for step in steps:
        said = f": {step.position}" if step.position else ""
        lines.append(_line(f"{step.step}{said}", "$text-muted", 2))
        lines += [_line(row, diff_style(row), 4) for row in step.changes]
    return lines


def _alternatives(paths: tuple[tuple[str, ...], ...]) -> list[Content]:
    return [_line(f"another way: {_chain(path)}", "$text-muted", 2) for path in paths]


def preview_text(preview: MigrationPreview) -> Content:
    """The path, the steps in words and the difference."""
    lines = [Content.styled(one_line(_chain(preview.path), 300) or "no migration", "bold")]
    if preview.breaking:
        lines.append(Content.styled("! breaking: what reads the old state needs a change too", "$warning"))
    lines += _steps(preview.steps) + _alternatives(preview.alternatives)
    rows = state_diff(preview.before, preview.after)
    if not rows:
        lines.append(Content.styled("The state stays as it is.", "$text-muted"))
    lines += [Content.styled(one_line(row, 300), diff_style(row)) for row in rows[:_SHOWN]]
    if len(rows) > _SHOWN:
        lines.append(Content.styled(f"… {len(rows) - _SHOWN} more lines", "$text-muted"))
    return Content("\n").join(lines)


def _reasons(report: MigrationReport) -> list[tuple[str, int]]:
    """Why runs stay behind, the commonest reason first."""
    found: dict[str, int] = {}
    for move in report.runs:
        if move.outcome == "refused":
            found[move.reason] = found.get(move.reason, 0) + 1
    return sorted(found.items(), key=lambda entry: -entry[1])


def report_text(report: MigrationReport, example: RunMove | None) -> Content:
    """How many runs and schedules move, why others do not, and one run step by step."""
    done = report.count("migrated" if report.applied else "ready")
    verb = "moved" if report.applied else "would move"
    tone = "$text-success" if done else "$text-muted"
    lines = [Content.styled(f"{plural(done, 'run')} {verb}", f"bold {tone}")]
    lines += [
        _line(f"! {plural(count, 'run')} {'stays' if count == 1 else 'stay'}: {reason}", "$text-warning")
        for reason, count in _reasons(report)[:_REASONS]
    ]
    for schedule in report.schedules:
        words = schedule.reason or f"{schedule.from_version} → {schedule.to_version}"
        style = "$text-warning" if schedule.outcome == "refused" else "$text-success"
        lines.append(_line(f"schedule {schedule.schedule_id}: {words}", style))
    if example is not None and example.outcome != "refused":
        lines.append(_line(f"Run {example.run_id}:", "bold"))
        lines += _steps(example.steps)
        where = f"{', '.join(example.stands_on)} → {', '.join(example.goes_on_at)}"
        lines.append(_line(f"stands on {where}", "$text-primary", 2))
        lines += [_line(words, "$text-muted", 2) for words in (*example.questions, *example.timers)]
        lines += _alternatives(example.alternatives)
    return Content("\n").join(lines)


class MigrateDialog(Dialog[None]):
    """Shows what the migrations from one version to another do to the runs that wait on it, or to one of
    them, and to the state typed in. Nothing is changed until the runs are told to move."""

    def __init__(self, workflow: str, from_version: str, to_version: str) -> None:
        super().__init__()
        self._of = workflow, from_version, to_version
        self._given = "{}"  # the state that was filled in, until somebody edits it
        self._moved: str | None = None  # the one run that was moved, and can go back
        self._shown: tuple[MigrationSpec, str] | None = None  # what was asked for, and the plan on the screen
        self._moving = False
        self._bad_state = False  # the fault on the screen is about the state that is tried

    def compose(self) -> ComposeResult:
        workflow, old, new = (one_line(part, 60) for part in self._of)
        with Vertical(id="box"):
            yield Static(
                Content.assemble(("Migrate ", "bold"), (f"{workflow} {old} → {new}", "bold $primary")),
                id="head",
            )
            with DialogBody(id="body", can_focus=False):
                yield Label(f"Run (its id; empty for all that wait on {old})", classes="label", markup=False)
                yield Input(id="run", compact=True)
                yield Static("Looking at the runs…", id="runs", classes="text")
                yield Label("State to try it on (a JSON object; nothing is changed)", classes="label")
                yield TextArea(self._given, id="state", compact=True)
                yield Static(id="result", classes="text")
            yield Static(id="fault")
            with Horizontal(id="actions"):
                yield Button("Move", id="move", variant="warning", compact=True, disabled=True)
                yield Button("Close", id="leave", compact=True)
                yield Label("ctrl+s try now · pgup pgdn scroll · esc close", classes="hint")

    def on_mount(self) -> None:
        self.query_one("#run", Input).focus()
        self._try()
        self._plan()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id != "move":
            self.dismiss(None)
        elif self._moved is not None:
            self._go_back(self._moved)
        else:
            self._move()

    @property
    def _wanted(self) -> str:
        """The run that is typed in; empty for all that wait."""
        return self.query_one("#run", Input).value.strip()

    def _spec(self, wanted: str) -> MigrationSpec:
        workflow, old, new = self._of
        if wanted:
            return MigrationSpec(workflow, new, run_ids=(wanted,))
        return MigrationSpec(workflow, new, from_version=old, schedules=True)

    @work(group="preview-runs", exclusive=True)
    async def _plan(self) -> None:
        """The dry run of all that is asked for, and of one run step by step."""
        if self._moving:
            return
        wanted = self._wanted
        try:
            report = await self.port.plan_migration(self._spec(wanted))
            ready = next((move for move in report.runs if move.outcome == "ready"), None)
            example = None
            if ready is not None:
                example = (await self.port.plan_migration(self._spec(ready.run_id))).runs[0]
        except VictorError as error:
            self.query_one("#runs", Static).update(_line(error.message, "$text-warning"))
            self._offer("Move", enabled=False)
            return
        if wanted != self._wanted or self._moving:
            return  # the preview of what is typed in now follows
        self._show(report, example)
        self._shown = self._spec(wanted), report.plan
        runs = report.count("ready")
        schedules = sum(move.outcome == "ready" for move in report.schedules)
        also = f", {plural(schedules, 'schedule')}" if schedules else ""
        self._offer(f"Move {plural(runs, 'run')}{also}", enabled=bool(runs or schedules))
        if example is not None:
            await self._fill_in(example.run_id)

    async def _fill_in(self, run_id: str) -> None:
        """Try it on the state of a real run, unless somebody has typed one."""
        area = self.query_one("#state", TextArea)
        if area.text != self._given:
            return
        try:
            state = (await self.port.run(run_id)).state
        except VictorError as error:
            self.fault(error.message)
            return
        self._given = json_text(state)
        area.load_text(self._given)

    @work(group="move", exclusive=True)
    async def _move(self) -> None:
        shown, wanted, self._shown = self._shown, self._wanted, None
        if shown is None or self._moving:
            return
        self._moving = True
        self.fault("")
        self._offer("Moving…", enabled=False)
        try:
            spec, plan = shown
            report = await self.port.migrate_runs(spec, plan=plan)
        except VictorError as error:
            self.fault(error.message)
            self._moving = False
            self._look_again()
            return
        self._moving = False
        self._show(report, None)
        if wanted != self._wanted:
            self._look_again()
        elif len(report.runs) == 1 and report.runs[0].outcome == "migrated":
            self._moved = report.runs[0].run_id
            self._offer("Go back", enabled=True)
            self.query_one("#move", Button).focus()  # which it has lost while it was disabled
        else:
            self._offer("Moved", enabled=False)

    @work(group="move", exclusive=True)
    async def _go_back(self, run_id: str) -> None:
        self._offer("Going back…", enabled=False)
        try:
            run = await self.port.unmigrate_run(run_id)
        except VictorError as error:
            self.fault(error.message)
            self._offer("Go back", enabled=False)
            return
        self._moved = None
        words = f"Run {run.id} is back on {run.version}, as it was."
        self.query_one("#runs", Static).update(_line(words, "bold $text-success"))
        self._offer("Back", enabled=False)

    def _offer(self, label: str, *, enabled: bool) -> None:
        button = self.query_one("#move", Button)
        button.label = label
        button.disabled = not enabled
        button.refresh(layout=True)  # a label of another length needs another width

    def _show(self, report: MigrationReport, example: RunMove | None) -> None:
        self.query_one("#runs", Static).update(report_text(report, example))
        if report.runs:
            # What becomes of real runs comes first, wherever the focus is.
            self.call_after_refresh(self.query_one("#body", DialogBody).scroll_home, animate=False)

    def on_input_changed(self) -> None:
        self._look_again()

    def _look_again(self) -> None:
        """Offer nothing before the preview of what is typed in now is shown."""
        self._shown = self._moved = None
        if not self._moving:
            self._offer("Move", enabled=False)
        self.quiet.call(self._plan)

    def on_text_area_changed(self) -> None:
        self.quiet.call(self._try)

    def action_submit(self) -> None:
        self._try()

    @work(group="preview", exclusive=True)
    async def _try(self) -> None:
        result = self.query_one("#result", Static)
        state, problem = json_object(self.query_one("#state", TextArea).text)
        if state is None:
            self._bad_state = True
            self.fault(problem)
            return
        try:
            preview = await self.port.preview_migration(*self._of, state)
        except VictorError as error:
            self._bad_state = True
            self.fault(error.message)
            result.update("")
            return
        if self._bad_state:
            self._bad_state = False
            self.fault("")
        result.update(preview_text(preview))
