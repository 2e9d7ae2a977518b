"""The drafts of answers: input that was not sent, kept on disk until it is sent or the request is decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from textual.app import App
from textual.screen import Screen
from textual.widgets import Input, OptionList, SelectionList, TextArea

from victor_engine.api import EngineInfo, Port, RequestInfo, RequestStatus
from victor_engine.errors import EngineUnavailableError, NotFoundError, VictorError
from victor_tui.dialogs.base import Dialog
from victor_tui.inbox.draft_files import Draft, DraftError, DraftFiles, draft_folder
from victor_tui.text import full, plain
from victor_tui.widgets.form import Form

_in_memory: WeakKeyDictionary[App[Any], dict[str, Draft]] = WeakKeyDictionary()
"""The drafts that cannot be written, by request."""


class DraftKeeper:
    """The draft of the request in one dialog. `start` restores it, and `keep` writes it if it changed."""

    def __init__(self, dialog: Dialog[Any]) -> None:
        self._dialog = dialog
        self._files = DraftFiles(draft_folder())
        self._empty: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        self._ended = False
        self._reported = ""

    async def start(self, request: RequestInfo) -> bool:
        """Restore the draft into the dialog, if one exists, and show when it was typed. Return whether one exists."""
        self._empty = self._last = _snapshot(self._dialog)
        draft = _in_memory.get(self._dialog.app, {}).get(request.id)
        try:
            draft = draft or self._files.read(request.id)
        except DraftError as error:
            self._report(error)
            return False
        if draft is None or (draft.engine != self._engine() and draft.run != request.run_id):
            return False
        try:
            await _restore(self._dialog, draft.input)
        except (TypeError, ValueError, KeyError, AttributeError, IndexError):
            self._report(DraftError(f"the draft in {self._files.folder} does not fit this question"))
            return False
        self._last = draft.input
        text = f"Draft of {full(draft.at, self._dialog.console.zone)}."
        if draft.revision != request.revision:
            text += f" The question has changed since: revision {draft.revision} then, {request.revision} now. Check it."
        self._dialog.show_error(text, "$warning" if draft.revision != request.revision else "$text-muted")
        return True

    def keep(self, request: RequestInfo) -> None:
        """Write the input if it changed. An input without changes has no draft."""
        if self._ended:
            return
        found = _snapshot(self._dialog)
        if found == self._last:
            return
        self._last = found
        if found == self._empty:
            self._delete(request.id)
            return
        at = self._dialog.console.clock.now().replace(microsecond=0)
        draft = Draft(self._engine(), request.id, request.run_id, request.revision, at, found)
        in_memory = _in_memory.setdefault(self._dialog.app, {})
        try:
            self._files.write(draft)
            in_memory.pop(request.id, None)
        except DraftError as error:
            in_memory[request.id] = draft
            self._report(error)

    def end(self, request: RequestInfo) -> None:
        """Delete the draft: the answer was sent, or the request is decided."""
        self._ended = True
        self._delete(request.id)

    def _delete(self, request_id: str) -> None:
        _in_memory.get(self._dialog.app, {}).pop(request_id, None)
        try:
            self._files.delete(request_id)
        except DraftError:
            return  # no file can exist for such an id

    def _engine(self) -> str:
        engine: EngineInfo | None = self._dialog.console.feed.snapshots.get("engine")
        return engine.state_dir if engine is not None else ""

    def _report(self, error: DraftError) -> None:
        if self._reported != str(error):
            self._reported = str(error)
            self._dialog.notify(plain(str(error)), title="Draft", severity="warning", markup=False)


async def delete_decided(port: Port, engine: EngineInfo) -> None:
    """Delete the drafts of this engine whose requests are decided or gone."""
    files = DraftFiles(draft_folder())
    for request_id in files.requests(engine.state_dir):
        try:
            if (await port.request(request_id)).status != RequestStatus.OPEN:
                files.delete(request_id)
        except NotFoundError:
            files.delete(request_id)
        except EngineUnavailableError:
            return  # the next connection tries it again
        except VictorError:
            continue


def _snapshot(screen: Screen[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"comment": screen.query_one("#comment", Input).value}
    for area in screen.query("#answer").results(TextArea):
        found["answer"] = area.text
    for form in screen.query(Form):
        found["form"] = form.snapshot()
    for chooser in screen.query("#choices").results(OptionList):
        found["highlighted"] = chooser.highlighted
        if isinstance(chooser, SelectionList):
            found["picked"] = list(chooser.selected)
    return found


async def _restore(screen: Screen[Any], draft: Mapping[str, Any]) -> None:
    screen.query_one("#comment", Input).value = draft["comment"]
    for area in screen.query("#answer").results(TextArea):
        area.text = draft.get("answer", area.text)
    for form in screen.query(Form):
        await form.restore(draft.get("form", {}))
    for chooser in screen.query("#choices").results(OptionList):
        chooser.highlighted = draft.get("highlighted", chooser.highlighted)
        if isinstance(chooser, SelectionList) and "picked" in draft:
            chooser.deselect_all()
            for index in draft["picked"]:
                chooser.select(index)
