"""One dialog for every kind of question to people. It sends the answer itself, so that a conflict
or an answer that does not fit is shown inside, and nothing that somebody typed is lost."""

from __future__ import annotations

import difflib
import json
import os
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from textual import work
from textual.app import App, ComposeResult, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Label, Markdown, OptionList, SelectionList, Static, TextArea
from textual.widgets.option_list import Option
from textual.widgets.selection_list import Selection

from victor_engine.api import Answer, ChoiceInfo, Port, RequestInfo
from victor_engine.errors import AlreadyAnsweredError, ConflictError, InvalidAnswerError, VictorError
from victor_tui.dialogs.base import Dialog, DialogBody
from victor_tui.dialogs.editor import edit_text
from victor_tui.text import countdown, full, plural
from victor_tui.theme import kind_mark
from victor_tui.widgets.form import Form, FormFault
from victor_tui.widgets.lines import LineView
from victor_tui.widgets.safe import one_line, plain
from victor_tui.widgets.value import ValueTree, diff_style, looks_like_diff, shape_of, text_lines

_drafts: WeakKeyDictionary[App[Any], dict[str, dict[str, Any]]] = WeakKeyDictionary()
_PROMPT_LIMIT = 20_000
"""Characters of a prompt rendered as Markdown; more is shown as lines of text."""
_CHOICE_STYLES = {"success": "$success", "warning": "$warning", "danger": "$error", "primary": "$primary"}


def markdown_source(prompt: str) -> str:
    """A prompt as Markdown whose raw HTML and images stay text."""
    return plain(prompt).replace("![", "\\![").replace("<", "\\<")


def choice_line(choice: ChoiceInfo) -> Content:
    """A choice as its label and description, in the colour that its author gave it."""
    label = (one_line(choice.label or str(choice.value), 200), _CHOICE_STYLES.get(choice.style, "") or "bold")
    if not choice.description:
        return Content.assemble(label)
    return Content.assemble(label, ("  " + one_line(choice.description, 400), "$text-muted"))


class AnswerDialog(Dialog[RequestInfo | None]):
    """Ask `request`; dismisses with the answered request, or None. Typed text is kept as a draft."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "say('approved')", "Approve", id="answer.approve", tooltip="Approve"),
        Binding("n", "say('rejected')", "Reject", id="answer.reject", tooltip="Reject"),
        Binding("ctrl+x", "edit", "$EDITOR", id="answer.edit", tooltip="Edit the text in $EDITOR"),
    ]

    def __init__(self, request: RequestInfo) -> None:
        super().__init__()
        self.request = request
        self._over = False
        self._sending = False

    # --- what is asked -------------------------------------------------------------------------

    @property
    def _yes_no(self) -> bool:
        kind = self.request.kind
        return kind == "review" or (kind in ("approval", "confirmation") and not self.request.choices)

    @property
    def _port(self) -> Port:
        port: Port = self.app.port  # type: ignore[attr-defined]
        return port

    def compose(self) -> ComposeResult:
        request = self.request
        with Vertical(id="box"):
            yield Static(id="head")
            with DialogBody(id="body"):
                yield from self._compose_prompt()
                yield from self._compose_context()
                yield from self._compose_answer()
                needed = " (required)" if request.require_comment else ""
                yield Label(f"Comment{needed}", classes="label")
                yield Input(id="comment", compact=True)
            yield Static(id="fault")
            with Horizontal(id="actions"):
                yield from self._compose_actions()

    def _compose_prompt(self) -> ComposeResult:
        prompt = self.request.prompt
        if len(prompt) > _PROMPT_LIMIT or prompt.count("\n") > 1000:
            yield LineView(text_lines(prompt), id="prompt")
        elif prompt:
            yield Markdown(markdown_source(prompt), id="prompt", open_links=False)

    def _compose_context(self) -> ComposeResult:
        tree = {}
        for key, value in self.request.context.items():
            if shape_of(value) == "text":
                yield Label(one_line(key, 80), classes="label")
                style = diff_style if looks_like_diff(value) else None
                yield LineView(text_lines(value, style))
            else:
                tree[key] = value
        if tree:
            yield Label("Context", classes="label")
            yield ValueTree(tree, id="context")

    def _compose_answer(self) -> ComposeResult:
        request = self.request
        if request.kind == "review":
            yield from self._compose_review()
        elif request.kind == "override":
            yield Label("Recommended", classes="label")
            yield ValueTree({"value": request.recommendation}, id="recommendation")
            yield Label("Instead (empty: the recommendation is accepted)", classes="label")
        if request.choices:
            yield from self._compose_choices()
        elif request.kind in ("input", "choice", "override"):
            if request.input_schema is not None:
                start = request.recommendation if request.kind == "override" else None
                yield Form(request.input_schema, request.default if request.has_default else start)
            else:
                text = str(request.default) if request.has_default and request.default is not None else ""
                if request.kind != "override":
                    yield Label("Answer", classes="label")
                yield TextArea(text, id="answer", compact=True)

    def _compose_review(self) -> ComposeResult:
        document = self.request.document or ""
        if self.request.allow_edit:
            yield Label("Document (ctrl+x opens $EDITOR)", classes="label")
            yield TextArea(document, id="answer", classes="tall", compact=True, show_line_numbers=True)
            yield Static(id="changes", classes="text")
        else:
            yield Label("Document", classes="label")
            style = diff_style if looks_like_diff(document) else None
            yield LineView(text_lines(document, style), id="document")

    def _compose_choices(self) -> ComposeResult:
        choices = self.request.choices
        default = self.request.default if self.request.has_default else None
        if self.request.multiple:
            picked = default if isinstance(default, list) else [default]
            rows = [Selection(choice_line(c), i, c.value in picked) for i, c in enumerate(choices)]
            yield SelectionList[int](*rows, id="choices", compact=True)
        else:
            yield OptionList(*(Option(choice_line(c)) for c in choices), id="choices", compact=True)

    def _compose_actions(self) -> ComposeResult:
        if self._yes_no:
            yes = "Confirm" if self.request.kind == "confirmation" else "Approve"
            yield Button(f"{yes} (y)", id="approved", variant="success", compact=True)
            yield Button("Reject (n)", id="rejected", variant="error", compact=True)
            yield Label("y · n · tab · esc keeps as draft", classes="hint")
        else:
            yield Button("Send", id="answered", variant="primary", compact=True)
            yield Button("Leave", id="leave", compact=True)
            yield Label("ctrl+s send · tab · esc keeps as draft", classes="hint")

    # --- life ----------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self._draw_head()
        self._preselect()
        self._restore()
        if self._yes_no:
            self.query_one("#body").focus()
        elif self.request.choices:
            self.query_one("#choices").focus()
        elif self.request.input_schema is not None:
            self.query_one(Form).focus_first()
        else:
            self.query_one("#answer").focus()
        self.set_interval(1.0, self._draw_head)

    def _preselect(self) -> None:
        """Put the cursor on the default of a single choice."""
        request = self.request
        if request.has_default and request.choices and not request.multiple:
            for place, choice in enumerate(request.choices):
                if choice.value == request.default:
                    self.query_one("#choices", OptionList).highlighted = place

    def feed_refreshed(self, subject: str) -> None:
        """The shell says that something is new: look whether somebody else has answered."""
        if subject == "requests" and not self._over and not self._sending:
            self._look()

    def show_banner(self, text: str) -> None:
        if text:
            self.fault(text, "$warning")

    def tick(self) -> None:
        self._draw_head()

    @work(group="look", exclusive=True)
    async def _look(self) -> None:
        try:
            found = await self._port.request(self.request.id)
        except VictorError as error:
            self.fault(error.message)
            return
        if found.status != "open":
            self._decided(found)
        elif found.revision != self.request.revision:
            self.request = found
            self._draw_head()

    def _decided(self, found: RequestInfo) -> None:
        """Somebody or the deadline was first: say who, when and what; what is typed stays."""
        self._over = True
        who = found.answered_by.user if found.answered_by else "the engine"
        when = f" at {full(found.answered_at, None)}" if found.answered_at else ""
        if found.status == "answered":
            text = f"Already answered by {who}{when}: {found.outcome}."
        else:
            text = f"This request is {found.status}: {found.outcome or 'nobody answered in time'}."
        self.fault(f"{text} Your text stays here; esc leaves.", "$warning")
        for button in self.query("#actions Button").results(Button):
            button.disabled = button.id != "leave"

    def _draw_head(self) -> None:
        request = self.request
        now = self.app.clock.now()  # type: ignore[attr-defined]
        sign = kind_mark(request.kind)
        place = f"{request.workflow}@{request.version} · {request.node_id} · asked by {request.requested_by}"
        parts = [
            Content.assemble(
                (f"{sign.glyph} {sign.word}  ", "$accent"), (one_line(request.title, 200), "bold")
            ),
            Content.styled(one_line(place, 300), "$text-muted"),
        ]
        if request.deadline is not None:
            left = (request.deadline - now).total_seconds()
            style = "$error bold" if left < 60 else "$warning" if left < 600 else "$success"
            text = one_line(request.on_timeout_text or f"If nobody answers: {request.on_timeout}", 200)
            parts.append(
                Content.assemble((f"⏱ {countdown(request.deadline, now)}  ", style), (text, "$text-muted"))
            )
        if people := self._people():
            parts.append(Content.styled(one_line(people, 300), "$text-muted"))
        self.query_one("#head", Static).update(Content("\n").join(parts))

    def _people(self) -> str:
        request = self.request
        facts = []
        if request.claimed_by:
            facts.append(f"claimed by {request.claimed_by}")
        if request.required_approvals > 1:
            yes = sum(vote.outcome == "approved" for vote in request.votes)
            names = ", ".join(f"{vote.actor.user} {vote.outcome}" for vote in request.votes)
            facts.append(
                f"{yes} of {plural(request.required_approvals, 'approval')}"
                + (f" ({names})" if names else "")
            )
        if request.assignees:
            facts.append("for " + ", ".join(request.assignees))
        if not request.allow_self_approval:
            facts.append("not by who started the run")
        return " · ".join(facts)

    # --- drafts --------------------------------------------------------------------------------

    def _snapshot(self) -> dict[str, Any]:
        found: dict[str, Any] = {"comment": self.query_one("#comment", Input).value}
        for area in self.query("#answer").results(TextArea):
            found["answer"] = area.text
        for form in self.query(Form):
            found["form"] = form.snapshot()
        for chooser in self.query("#choices").results(OptionList):
            found["highlighted"] = chooser.highlighted
            if isinstance(chooser, SelectionList):
                found["picked"] = list(chooser.selected)
        return found

    def _restore(self) -> None:
        draft = _drafts.get(self.app, {}).get(self.request.id)
        if draft is None:
            return
        self.query_one("#comment", Input).value = draft["comment"]
        for area in self.query("#answer").results(TextArea):
            area.text = draft.get("answer", area.text)
        for form in self.query(Form):
            form.restore(draft.get("form", {}))
        for chooser in self.query("#choices").results(OptionList):
            chooser.highlighted = draft.get("highlighted", chooser.highlighted)
            if isinstance(chooser, SelectionList) and "picked" in draft:
                chooser.deselect_all()
                for place in draft["picked"]:
                    chooser.select(place)

    def action_leave(self) -> None:
        _drafts.setdefault(self.app, {})[self.request.id] = self._snapshot()
        self.dismiss(None)

    # --- answering -----------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "say":
            return self._yes_no and not self.typing() and not self._over
        if action == "edit":
            return bool(self.query("#answer"))
        if action == "submit":
            return not self._over
        return True

    def on_button_pressed(self, event: Button.Pressed) -> None:
        match event.button.id:
            case "approved" | "rejected" as outcome:
                self.action_say(outcome)
            case "answered":
                self.action_submit()
            case _:
                self.action_leave()

    def on_option_list_option_selected(self) -> None:
        """Enter on a choice goes on to sending it; nothing is sent by one stray key."""
        self.query_one("#actions Button").focus()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        if self.request.kind == "review" and event.text_area.id == "answer":
            self._draw_changes(event.text_area.text)

    def _draw_changes(self, text: str) -> None:
        before = (self.request.document or "").splitlines()
        after = text.splitlines()
        line = self.query_one("#changes", Static)
        if before == after:
            line.update(Content.styled("Unchanged.", "$text-muted"))
            return
        if len(before) + len(after) > 4000:
            line.update(
                Content.styled("Changed; the document is too long to compare while typing.", "$warning")
            )
            return
        rows = list(difflib.unified_diff(before, after, lineterm="", n=1))[2:]
        shown = [Content.styled(one_line(row, 300), diff_style(row)) for row in rows[:40]]
        if len(rows) > 40:
            shown.append(Content.styled(f"… {len(rows) - 40} more", "$text-muted"))
        line.update(Content("\n").join(shown))

    def action_say(self, outcome: str) -> None:
        if self.request.kind == "review" and outcome == "approved" and self.request.allow_edit:
            text = self.query_one("#answer", TextArea).text
            self._send(Answer(outcome="approved", value=text, comment=self._comment()))
        else:
            self._send(
                Answer(outcome="approved" if outcome == "approved" else "rejected", comment=self._comment())
            )

    def action_submit(self) -> None:
        if self._yes_no:
            focused = self.focused
            if isinstance(focused, Button) and focused.id in ("approved", "rejected"):
                self.action_say(focused.id)
            else:
                self.fault("Say which: tab to Approve or Reject, then enter.", "$warning")
                self.query_one("#rejected").focus()
            return
        try:
            answer = self._collect()
        except FormFault as fault:
            self._show_faults({fault.path: str(fault)})
            return
        if answer is not None:
            self._send(answer)

    def _comment(self) -> str:
        return self.query_one("#comment", Input).value

    def _collect(self) -> Answer | None:
        """The answer as it is filled in; None after saying what is missing. Raises FormFault."""
        request, comment = self.request, self._comment()
        if request.choices:
            chooser = self.query_one("#choices", OptionList)
            if isinstance(chooser, SelectionList):
                values = [request.choices[i].value for i in sorted(chooser.selected)]
                return Answer(outcome="answered", value=values, comment=comment)
            if chooser.highlighted is None:
                self.fault("Choose one first.")
                chooser.focus()
                return None
            return Answer(
                outcome="answered", value=request.choices[chooser.highlighted].value, comment=comment
            )
        if request.input_schema is not None:
            from victor_engine.hitl.validation import validate

            form = self.query_one(Form)
            value = form.read()
            if faults := validate(request.input_schema, value):
                self._show_faults(faults)
                return None
            return Answer(outcome="answered", value=value, comment=comment)
        return self._collect_text(comment)

    def _collect_text(self, comment: str) -> Answer | None:
        area = self.query_one("#answer", TextArea)
        text = area.text
        if self.request.kind == "override":
            if not text.strip():
                return Answer(outcome="answered", value=self.request.recommendation, comment=comment)
            if isinstance(self.request.recommendation, str):
                return Answer(outcome="answered", value=text, comment=comment)
            try:
                return Answer(outcome="answered", value=json.loads(text), comment=comment)
            except json.JSONDecodeError as error:
                raise FormFault("", f"JSON is wanted, as in the recommendation: {error.msg}") from None
        if not text.strip():
            self.fault("An answer is needed.")
            area.focus()
            return None
        return Answer(outcome="answered", value=text, comment=comment)

    def _show_faults(self, faults: dict[str, str]) -> None:
        forms = list(self.query(Form))
        placed = bool(forms) and forms[0].show_faults(faults)
        first_path, first = next(iter(faults.items()))
        where = f"{first_path}: " if first_path else ""
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        self.fault(f"{where}{first}{more}")
        if not placed and first_path == "comment":
            self.query_one("#comment").focus()
        elif not placed:
            for area in self.query("#answer"):
                area.focus()

    def _send(self, answer: Answer) -> None:
        if self._over or self._sending:
            return
        if self.request.require_comment and not answer.comment.strip():
            self._show_faults({"comment": "a comment is required"})
            return
        self._sending = True
        self.fault("")
        self._post(answer)

    @work(group="send")
    async def _post(self, answer: Answer) -> None:
        try:
            done = await self._port.answer(self.request.id, self.request.revision, answer)
        except InvalidAnswerError as error:
            self._show_faults(error.details.get("errors") or {"": error.message})
        except AlreadyAnsweredError as error:
            self._over = True
            self.fault(f"{error.message}. Your text stays here; esc leaves.", "$warning")
        except ConflictError as error:
            self.fault(f"{error.message}. Look again, then send again.", "$warning")
            self._look()
        except VictorError as error:
            self.fault(error.message)
        else:
            _drafts.get(self.app, {}).pop(self.request.id, None)
            self.dismiss(done)
        finally:
            self._sending = False

    def action_edit(self) -> None:
        """The long text in $EDITOR; where the terminal cannot be handed over, the field stays."""
        area = self.query_one("#answer", TextArea)
        try:
            text = edit_text(self.app, area.text, os.environ)
        except (OSError, SuspendNotSupported) as error:
            self.fault(f"$EDITOR cannot be used here ({error}); edit in the field.", "$warning")
            return
        area.text = text
        area.focus()
