"""The dialog that answers a request of any kind.

It sends the answer itself, so that it can show a conflict or an invalid answer without losing the input.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec.structs import replace
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input, Static, TextArea

from victor_engine.api import Answer, RequestInfo, RequestQuery, RequestStatus
from victor_engine.errors import (
    AlreadyAnsweredError,
    ConflictError,
    InvalidAnswerError,
    VictorError,
)
from victor_tui.dialogs.base import DialogBody
from victor_tui.dialogs.editor import EditorDialog
from victor_tui.inbox.answer_fields import AnswerFields, Verdict
from victor_tui.inbox.answer_loading import Loading, draw_head
from victor_tui.inbox.availability import Availability
from victor_tui.inbox.background import Background, LogDialog, bring_into_sight
from victor_tui.inbox.drafts import DraftKeeper
from victor_tui.inbox.open_view import beside
from victor_tui.inbox.question_view import (
    changes_of,
    compose_actions,
    compose_answer,
    compose_context,
    compose_messages,
    compose_prompt,
    needs_verdict,
    verdict_label,
)
from victor_tui.keys import bindings
from victor_tui.widgets.form_fields import FormError

LOG_LINES = 200
"""Maximum number of log lines of the node before the question."""


class AnswerDialog(EditorDialog[RequestInfo | None]):
    """A form for `request` that dismisses with the answered request, or None.

    It keeps the input as a draft.
    """

    METHOD = "answer"
    """The method of the port that sends this dialog."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("answer")

    def __init__(self, request: RequestInfo, among: RequestQuery | None = None) -> None:
        super().__init__()
        self.among = among or RequestQuery(answerable=True)
        """The list in which the user goes to the next and the previous request."""
        self.following: RequestInfo | None = None
        """The request to open after this dialog."""
        self.selected: Verdict | None = None
        self.request = request
        self._fields = AnswerFields(self)
        self.draft = DraftKeeper(self)
        self.available = Availability(self)
        self._loading = Loading(self, self)
        self._sending = False
        self._lost = False

    def compose(self) -> ComposeResult:
        request = self.request
        with Vertical(id="box"):
            yield Static(id="head")
            with DialogBody(id="body"):
                yield from compose_prompt(request)
                yield Background(id="background", classes="text")
                yield from compose_messages(request)
                yield from compose_context(request)
                yield from compose_answer(request)
                comment = Input(id="comment")
                comment.border_title = f"Comment ({'required, ' if request.require_comment else ''}ctrl+t)"
                yield comment
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield from compose_actions(request)

    # --- lifecycle -----------------------------------------------------------------------------

    @on(events.Mount)
    async def start(self) -> None:
        """Restore the draft and focus a field. Keys wait until this handler returns, so that they reach that field."""
        draw_head(self, self.request)
        self._fields.preselect(self.request)
        restored = await self.draft.start(self.request)
        self._fields.focus_first(self.request, restored=restored)
        if self.console.access.refusal("submit", self) is not None:
            self.available.show(self.request, self.now(), self.console.zone)
        self._loading.load()

    def before_key(self, key: str) -> None:
        """Bring the focused field into sight, which can be below the question."""
        if key not in ("pageup", "pagedown"):
            bring_into_sight(self, self.query_one("#body", DialogBody))

    def feed_refreshed(self, subject: str) -> None:
        """Load the request again: another user can have answered it."""
        if subject == "requests" and not self.available.final and not self._sending:
            self._loading.load()

    def show_access(self) -> None:
        self.available.show(self.request, self.now(), self.console.zone)

    def applies(self, action: str) -> bool:
        if action.startswith("select("):
            return needs_verdict(self.request)
        if action == "forward('say')":
            return self.request.allow_questions or self.request.held_since is not None
        return action != "log" or self.request.log is not None

    def show_banner(self, text: str) -> None:
        """Show once that the connection is lost, and load the request again after a reconnect."""
        lost = bool(self.console.lost)
        if self.available.final or lost == self._lost:
            return
        self._lost = lost
        self.show_error(self.console.lost or self.available.refused, "$warning")
        if not lost:
            self._loading.load()

    def tick(self) -> None:
        draw_head(self, self.request)
        if not self._sending:
            self.draft.keep(self.request)
        if self.available.held:
            self.available.show(self.request, self.now(), self.console.zone)
        due = self.request.settles_at or self.request.deadline
        if not self.available.final and not self._sending and due is not None and due <= self.now():
            self._loading.load()
        elif not self.available.final and not self._sending:
            self._loading.renew()

    @work(group="log", exclusive=True)
    async def action_log(self) -> None:
        """Show the last log lines of the node before the question."""
        tail, run = self.request.log, self.request.run_id
        if tail is not None:
            lines = await self.console.perform(
                self.port.run_log(run, tail.after, LOG_LINES, tail.node_id), ""
            )
            if lines is not None:
                await self.app.push_screen(LogDialog(f"Log of {tail.node_id}, run {run}", lines))

    @work(group="pass-on")
    async def action_forward(self, how: Literal["push_back", "say"]) -> None:
        """Send the run back, which closes the request, or ask or reply, which leaves it open."""
        done = await self.console.dialogs.forward(how, self.request)
        if done is None:
            return
        if done.status != RequestStatus.OPEN:
            self.draft.end(self.request)
            self.available.over = True
            self.dismiss(done)
        else:
            self._loading.load()

    def action_leave(self) -> None:
        self.draft.keep(self.request)
        self.dismiss(None)

    @work(group="step", exclusive=True)
    async def action_step(self, step: Literal[1, -1]) -> None:
        """Close this dialog, keep the draft, and open the next or the previous request of the list."""
        if self._sending:
            return
        try:
            with self.console.key_queue.hold():
                found = await beside(self.port, self.among, self.request.id, step)
        except VictorError as error:
            self.show_error(error.message)
            return
        if found is None:
            self.show_error(
                f"This is the {'last' if step == 1 else 'first'} request of the list.", "$warning"
            )
            return
        self.following = found
        self.action_leave()

    def typed_ahead(self, key: str) -> bool:
        """Return whether `key` would send. Other keys typed ahead fill fields and select."""
        presses = key == "enter" and self.focused is not None and self.focused.id == "answered"
        return (key == "ctrl+s" or presses) and super().typed_ahead(key)

    # --- answering -----------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "select":
            free = self.focused is None or isinstance(self.focused, Button | DialogBody)
            return (
                free
                and needs_verdict(self.request)
                and not self.available.over
                and not self.available.refused
            )
        if action == "forward":
            asks = self.request.allow_questions or self.request.held_since is not None
            return not self.available.over and (parameters != ("say",) or asks)
        if action == "log":
            return self.request.log is not None
        if action == "submit":
            return not self.available.over and not self.available.refused
        return super().check_action(action, parameters)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        match event.button.id:
            case "approved" | "rejected" as outcome:
                self.action_select(outcome)
            case "answered":
                self.action_submit()
            case _:
                self.action_leave()

    def on_option_list_option_selected(self) -> None:
        """Move from a choice to the comment, so that pressing Enter twice does not send."""
        self.query_one("#comment").focus()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        if self.request.kind == "review" and event.text_area.id == "answer":
            changes = changes_of(self.request.document or "", event.text_area.text)
            self.query_one("#changes", Static).update(changes)

    def action_select(self, outcome: Verdict) -> None:
        """Select the outcome that ctrl+s sends."""
        self.selected = outcome
        self.show_error("")
        for button in self.query("#approved, #rejected").results(Button):
            button.label = verdict_label(self.request, button.id or "", selected=button.id == outcome)

    def action_comment(self) -> None:
        self.query_one("#comment").focus()

    def action_submit(self) -> None:
        if needs_verdict(self.request):
            if self.selected is None:
                self.show_error(
                    "Select an answer first: ← or → outside a field, or tab and enter. ctrl+s sends.",
                    "$warning",
                )
                self.query_one("#body").focus(scroll_visible=False)
            else:
                self._send(self._fields.verdict(self.request, self.selected))
            return
        try:
            answer = self._fields.read(self.request)
        except FormError as error:
            self._fields.show_errors({error.path: str(error)})
            return
        if answer is not None:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        if self.available.over or self._sending:
            return
        if self.request.require_comment and not answer.comment.strip():
            self._fields.show_errors({"comment": "a comment is required"})
            return
        self._sending = True
        self.show_error("")
        self._post(answer)

    @work(group="send")
    async def _post(self, answer: Answer) -> None:
        request = self.request
        try:
            window = await self.console.answers.undo_window(request)
            done = await self.port.answer(request.id, request.revision, replace(answer, undo_window=window))
        except InvalidAnswerError as error:
            self._fields.show_errors(error.details.get("errors") or {"": error.message})
        except AlreadyAnsweredError as error:
            self.show_error(f"{error.message}. Your text stays here; esc closes.", "$warning")
            self._loading.load()
        except ConflictError as error:
            self.show_error(f"{error.message}. Check the request, then send again.", "$warning")
            self._loading.load()
        except VictorError as error:
            self.show_error(error.message)
        else:
            self.draft.end(self.request)
            self.dismiss(done)
        finally:
            self._sending = False
