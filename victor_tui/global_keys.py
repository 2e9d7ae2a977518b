"""The global keys: each has one meaning on all screens, or says why it has no effect here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from textual.content import Content

from victor_engine.api import methods
from victor_engine.errors import VictorError
from victor_tui.base_screen import ConsoleScreen
from victor_tui.clipboard import copy
from victor_tui.inverses import changed_since, described
from victor_tui.journal import Done
from victor_tui.row_values import HasPlace
from victor_tui.text import clean, clean_lines, one_line
from victor_tui.widgets.table import LineTable

if TYPE_CHECKING:
    from victor_tui.app_context import Console
    from victor_tui.base_screen import TableScreen

_UNDOES = {
    "schedules": ("pause_schedule", "resume_schedule", "skip_next", "trigger_schedule", "remove_schedule",
                  "edit_schedule", "add_schedule", "start_backfill", "drain", "undrain"),
    "runs": ("start_run", "cancel_run", "pause_run", "resume_run", "retry_run", "redrive_run", "rerun",
             "discard_run", "override_node"),
    "inbox": ("claim", "release", "reassign", "delegate", "push_back", "ask_requester", "reply"),
    "history": (),
    "versions": ("deprecate", "remove_version", "set_alias", "promote_alias", "roll_back_alias", "migrate_runs",
                 "remove_alias", "deploy"),
}  # fmt: skip
"""The actions of each main screen that `u` undoes, or of which it says that they cannot be undone."""
_INSTEAD = {
    "cancel_run": "e starts a new run with the same input",
    "start_run": "K cancels the run",
    "rerun": "K cancels the new run",
    "retry_run": "K cancels the run",
    "redrive_run": "K cancels the run",
    "trigger_schedule": "K on the Runs screen cancels the run",
    "remove_schedule": "n adds a schedule",
    "skip_next": "t starts a run now",
}
"""The action that helps when an action cannot be undone."""
_NO_EFFECT = {
    "mark": "This screen has no rows to mark.",
    "range": "This screen has no rows to mark.",
    "open": "Select a row first: tab goes to the list.",
    "filter": "This screen has no filter.",
    "compare": "Nothing to compare here: = works on runs and on versions.",
    "send": "Nothing to send here: ctrl+s sends a dialog.",
}


class GlobalKeys:
    """The actions of the global keys of one application."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._copied: list[tuple[str, str]] = []
        self._next_copy = 0
        self._last_shown: tuple[str, object] = ("", None)
        self._shown_until = 0.0

    async def run(self, name: str) -> None:
        """Execute the action of a global key."""
        match name:
            case "copy":
                await self._copy()
            case "suspend":
                self._suspend()
            case "why":
                self._why()
            case "new_rows":
                tables = self._screen.query(LineTable) if self._screen is not None else ()
                if not sum(table.show_held() for table in tables):
                    self._say("No rows are held back: the list shows every change.")
            case "back" | "forward":
                self._move(-1 if name == "back" else 1)
            case "messages":
                await self._messages()
            case "actions":
                await self._actions()
            case "undo":
                await self._undo()
            case "views" | "save_view" | "export":
                await self._views(name)
            case "command":
                await self._command()
            case _:
                self._say(_NO_EFFECT[name])

    def _say(self, text: str) -> None:
        """Show a message, unless it is still shown: a held key repeats, and each message takes time to draw."""
        now, shown = self._console.clock.monotonic(), (text, self._console.screen)
        if shown != self._last_shown or now >= self._shown_until:
            self._last_shown, self._shown_until = shown, now + self._console.NOTIFICATION_TIMEOUT
            self._console.notify(clean(text), markup=False)

    @property
    def _screen(self) -> ConsoleScreen | None:
        screen = self._console.screen
        return screen if isinstance(screen, ConsoleScreen) else None

    async def _copy(self) -> None:
        """Copy the value under the cursor. Pressed again on the same value, copy the next one."""
        screen = self._console.screen
        values = screen.here().values if isinstance(screen, HasPlace) else []
        if not values:
            self._say("Nothing to copy here: select a row first.")
            return
        self._next_copy = (self._next_copy + 1) % len(values) if values == self._copied else 0
        self._copied = values
        label, value = values[self._next_copy]
        where = await copy(self._console, value, os.environ)
        following = values[(self._next_copy + 1) % len(values)][0]
        more = f" Press c again for the {following}." if len(values) > 1 else ""
        self._say(f"Copied the {label}: {one_line(value, 60)}.{where}{more}")

    def _why(self) -> None:
        text = self._screen.here().why if self._screen is not None else ""
        self._console.notify(clean(text or "Nothing to explain here."), title="Why", timeout=10, markup=False)

    def _move(self, by: int) -> None:
        reopen = self._console.session.step(by)
        if reopen is None:
            self._say("No earlier screen." if by < 0 else "No later screen: ] works after [.")
        else:
            reopen()

    async def _messages(self) -> None:
        from victor_tui.dialogs.listing import Line, ListingDialog

        zone = self._console.zone
        styles = {"error": "$error", "warning": "$warning"}
        lines = [
            Line(
                Content.assemble(
                    (f"{each.at.astimezone(zone):%H:%M:%S} ", "$text-muted"),
                    (one_line(f"{each.title}: " if each.title else "", 60), "bold"),
                    (one_line(each.text, 500), styles.get(each.severity, "")),
                ),
                (("message", each.text),),
            )
            for each in self._console.session.told
        ]
        await self._console.push_screen(ListingDialog("Messages", lines, "No messages in this session yet."))

    async def _actions(self) -> None:
        from victor_tui.dialogs.listing import Line, ListingDialog

        zone = self._console.zone
        lines = [
            Line(
                Content.assemble(
                    (f"{each.at.astimezone(zone):%H:%M:%S} ", "$text-muted"),
                    (f"{one_line(each.words, 60)}  ", "bold"),
                    (one_line(each.command or "no command in one line", 200), "$text-muted"),
                ),
                (("shell command", each.command),) if each.command else (),
            )
            for each in self._console.session.done
        ]
        await self._console.push_screen(
            ListingDialog("My actions", lines, "This console has changed nothing yet.")
        )

    async def _undo(self) -> None:
        """Undo the newest answer, or the newest own action of this main screen, whichever is newer."""
        console = self._console
        answer = console.answers.mine
        mode = self._screen.MODE if self._screen is not None else ""
        done = console.session.newest(_UNDOES.get(mode, ()))
        if answer is not None and (
            done is None or answer.answered_at is None or answer.answered_at >= done.at
        ):
            await console.answers.undo(answer)
        elif done is None:
            self._say(
                "Nothing to undo here: you have no answer that can be undone, and no action on this screen."
            )
        elif done.inverse is None:
            instead = _INSTEAD.get(done.name)
            self._say(f"Cannot undo: {done.words}.{f' Instead, {instead}.' if instead else ''}")
        else:
            await self._undo_action(done)

    async def _undo_action(self, done: Done) -> None:
        found = done.inverse
        assert found is not None
        name, arguments = found
        console = self._console
        try:
            changed = await changed_since(console.port, done.name, done.arguments, done.result)
        except VictorError as error:
            console.report(error)
            return
        if changed is not None:
            self._say(f"Cannot undo: {done.words}. Since then, {changed}.")
            return
        note = await console.dialogs.confirm(
            "Undo your last action?",
            clean_lines(f"You did: {done.words}.\nUndo: {described(name, arguments)}."),
        )
        if note is None:
            return
        if "note" in methods()[name].signature.parameters:
            arguments["note"] = note
        call = getattr(console.port, name)
        last = console.session.done[0]
        await console.perform(call(**arguments), f"Undone: {done.words}.")
        if console.session.done[0] is not last:
            console.session.mark_undone(done, console.session.done[0])
            console.feed.mark_stale("runs", "run", "schedules", "requests", "workflows", "engine")

    async def _views(self, name: str) -> None:
        from victor_tui.dialogs.export import export_list
        from victor_tui.dialogs.views import choose_view, keep_view
        from victor_tui.screen_views import has_views

        screen = self._screen
        if has_views(screen):
            act = {"views": choose_view, "save_view": keep_view, "export": export_list}[name]
            await act(cast("TableScreen", screen))

    def _suspend(self) -> None:
        """Suspend an attached console. One that runs the engine is not suspended: no run would continue."""
        if getattr(self._console, "owns_engine", False):
            self._say(
                "This console runs the engine, and no run would continue. q hands the engine to a daemon."
            )
        else:
            self._console.action_suspend_process()

    async def _command(self) -> None:
        from victor_tui.dialogs.command_line import CommandLine

        await self._console.push_screen(CommandLine(self._console.screen))
