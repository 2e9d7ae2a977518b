"""The fields of an answer, and their conversion to an `Answer`."""

from __future__ import annotations

import json
from typing import Any, Literal

from textual.widget import Widget
from textual.widgets import Input, OptionList, SelectionList, TextArea

from victor_engine.api import Answer, RequestInfo
from victor_tui.dialogs.base import Dialog
from victor_tui.inbox.question_view import needs_verdict
from victor_tui.widgets.form import Form
from victor_tui.widgets.form_fields import FormError

Verdict = Literal["approved", "rejected"]


class AnswerFields:
    """The fields that `question_view.compose_answer` yields in one dialog, and its comment."""

    def __init__(self, dialog: Dialog[Any]) -> None:
        self._dialog = dialog

    @property
    def _comment(self) -> str:
        return self._dialog.query_one("#comment", Input).value

    def focus_first(self, request: RequestInfo, *, restored: bool = False) -> None:
        """Focus the first field of the answer. The body does not scroll to it, so that the question is in sight.

        After a draft was restored, focus the first empty field of a form, and put the cursor behind a text.
        """
        dialog = self._dialog
        if request.kind == "review" and request.allow_edit:
            field: Widget = dialog.query_one("#answer")
        elif needs_verdict(request):
            field = dialog.query_one("#body")
        elif request.choices:
            field = dialog.query_one("#choices")
        elif request.input_schema is not None:
            form = dialog.query_one(Form)
            if restored:
                form.focus_first_empty()
            else:
                form.focus_first(scroll_visible=False)
            return
        else:
            area = dialog.query_one("#answer", TextArea)
            if restored:
                area.move_cursor(area.document.end)
            field = area
        field.focus(scroll_visible=False)

    def preselect(self, request: RequestInfo) -> None:
        """Move the cursor to the default of a single choice."""
        if request.has_default and request.choices and not request.multiple:
            for index, choice in enumerate(request.choices):
                if choice.value == request.default:
                    self._dialog.query_one("#choices", OptionList).highlighted = index

    def verdict(self, request: RequestInfo, outcome: Verdict) -> Answer:
        """Return an approval, with the edited text, or a rejection."""
        if request.allow_edit and request.kind == "review" and outcome == "approved":
            text = self._dialog.query_one("#answer", TextArea).text
            return Answer(outcome=outcome, value=text, comment=self._comment)
        return Answer(outcome=outcome, comment=self._comment)

    def read(self, request: RequestInfo) -> Answer | None:
        """Return the answer, or None after showing an error. Raises FormError for an invalid field."""
        comment = self._comment
        if request.choices:
            chooser = self._dialog.query_one("#choices", OptionList)
            if isinstance(chooser, SelectionList):
                values = [request.choices[i].value for i in sorted(chooser.selected)]
                return Answer(outcome="answered", value=values, comment=comment)
            if chooser.highlighted is None:
                self._dialog.show_error("Choose an option first.")
                chooser.focus()
                return None
            return Answer(
                outcome="answered", value=request.choices[chooser.highlighted].value, comment=comment
            )
        if request.input_schema is not None:
            form = self._dialog.query_one(Form)
            value = form.read()
            if errors := form.errors(value):
                self.show_errors(errors)
                return None
            return Answer(outcome="answered", value=value, comment=comment)
        return self._read_text(request, comment)

    def _read_text(self, request: RequestInfo, comment: str) -> Answer | None:
        area = self._dialog.query_one("#answer", TextArea)
        text = area.text
        if request.kind == "override":
            if not text.strip():
                return Answer(outcome="answered", value=request.recommendation, comment=comment)
            if isinstance(request.recommendation, str):
                return Answer(outcome="answered", value=text, comment=comment)
            try:
                return Answer(outcome="answered", value=json.loads(text), comment=comment)
            except json.JSONDecodeError as error:
                raise FormError("", f"must be JSON, like the recommendation: {error.msg}") from None
            except (ValueError, RecursionError):
                raise FormError("", "is nested too deeply, or has a number that is too long") from None
        if not text.strip():
            self._dialog.show_error("Enter an answer.")
            area.focus()
            return None
        return Answer(outcome="answered", value=text, comment=comment)

    def show_errors(self, errors: dict[str, str]) -> None:
        """Show each error at its field and the first under the body, and focus the field to correct."""
        forms = list(self._dialog.query(Form))
        placed = bool(forms) and forms[0].show_errors(errors)
        first_path, first = next(iter(errors.items()))
        where = f"{first_path}: " if first_path else ""
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        self._dialog.show_error(f"{where}{first}{more}")
        if not placed and first_path == "comment":
            self._dialog.query_one("#comment").focus()
        elif not placed:
            for area in self._dialog.query("#answer"):
                area.focus()
