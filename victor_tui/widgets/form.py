"""A form of widgets for a JSON Schema, which reads one JSON value. The value can also be edited as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Label, OptionList, SelectionList, Static, TextArea

from victor_tui.text import plain
from victor_tui.widgets.choices import One, Tick
from victor_tui.widgets.form_fields import Field, FormError, Key, is_inside, json_of, read_json
from victor_tui.widgets.form_model import FormModel
from victor_tui.widgets.form_row import FieldRow
from victor_tui.widgets.form_secrets import mentions_secret, unmasked
from victor_tui.widgets.json_view import text_lines
from victor_tui.widgets.lines import LineView
from victor_tui.widgets.object_list import RowDialogFactory, Rows


class Form(Vertical):
    """The widgets of a schema. `read` returns the value, `errors` its errors, `show_errors` shows them.

    `row_dialog` creates the dialog of one entry of a list of objects.
    """

    DEFAULT_CSS = """
    Form { height: auto; }
    Form #form-fields { height: auto; }
    Form Tick { width: 100%; }
    Form One { max-height: 7; }
    Form .fixed { padding: 0 1; color: $text-muted; }
    Form .field-error { display: none; }
    Form #form-json { height: 14; display: none; margin-top: 1; }
    Form #form-json > Vertical { width: 1fr; }
    Form #form-json .label { margin-top: 0; }
    Form #form-json TextArea { height: 1fr; }
    Form #form-json LineView { height: 1fr; max-height: 100%; margin-left: 1; }
    Form #form-error { height: auto; color: $error; display: none; margin-top: 1; }
    """

    def __init__(
        self,
        schema: Mapping[str, Any],
        initial: Any = None,
        id: str = "form",
        *,
        row_dialog: RowDialogFactory,
    ) -> None:
        super().__init__(id=id)
        self._row_dialog = row_dialog
        self._schema = schema
        self.model = FormModel(schema, initial)
        self.as_json = False
        """Whether the value is edited as JSON."""
        self._json_before = ""
        self._secrets: dict[str, Any] = {}
        self._names: dict[Key, str] = {}
        self._showing = False
        self._stale = False
        """Whether the model was restored, and the widgets do not show it yet."""

    @property
    def drawable(self) -> bool:
        return self.model.drawable

    def compose(self) -> ComposeResult:
        with Vertical(id="form-fields"):
            if not self.drawable:
                yield Label("No form exists for this schema: write the answer as JSON.", classes="label")
            for field in self.model.fields:
                yield self._row(field)
        with Horizontal(id="form-json"):
            with Vertical():
                yield Label("JSON (ctrl+r: fields)", classes="label")
                yield TextArea(id="json-text", name=".json", compact=True)
            with Vertical():
                yield Label("Schema", classes="label")
                yield LineView(text_lines(json_of(self._schema)), id="json-schema")
        yield Static(id="form-error")

    def _row(self, field: Field) -> FieldRow:
        name = self._names.setdefault(field.key, str(len(self._names)))
        return FieldRow(field, self.model.state(field), name, self._row_dialog)

    def _rows(self) -> list[FieldRow]:
        return list(self.query_one("#form-fields").query_children(FieldRow))

    # --- reading -------------------------------------------------------------------------------

    def _take(self) -> None:
        """Take the state of all widgets over into the model: a change can still be on its way as a message."""
        if self._stale:
            return
        for row in self._rows():
            if row.field.kind != "fixed":
                self.model.put(row.field, row.read())

    def read(self) -> Any:
        """Return the value. Raise FormError for an invalid field or invalid JSON."""
        if self.as_json:
            text = self.query_one("#json-text", TextArea).text
            return unmasked(read_json(text, ""), self._secrets) if text.strip() else None
        self._take()
        return self.model.read()

    def errors(self, value: Any) -> dict[str, str]:
        """Return the errors of a value by path; empty if it matches the schema."""
        return self.model.errors(value)

    # --- changes -------------------------------------------------------------------------------

    async def on_input_changed(self, event: Input.Changed) -> None:
        await self._changed(event.input)

    async def on_text_area_changed(self, event: TextArea.Changed) -> None:
        if event.text_area.id == "json-text":
            self._check_json()
        else:
            await self._changed(event.text_area)

    async def on_checkbox_changed(self, event: Tick.Changed) -> None:
        await self._changed(event.checkbox)

    async def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        if isinstance(event.option_list, One):
            await self._changed(event.option_list)

    async def on_selection_list_selected_changed(self, event: SelectionList.SelectedChanged[int]) -> None:
        await self._changed(event.selection_list)

    async def on_rows_changed(self, event: Rows.Changed) -> None:
        event.stop()
        await self._changed(event.rows)

    async def _changed(self, widget: Widget) -> None:
        row = widget.parent
        if not isinstance(row, FieldRow) or not row.is_attached or self._stale:
            return
        self.model.put(row.field, row.read())
        if not isinstance(widget, One | Tick):
            self._check(row)
        self._show_rules([])
        await self.show_fields()

    def _check(self, row: FieldRow) -> None:
        errors = self.model.field_errors(row.field)
        row.show_errors([f"{path}: {text}" if path else text for path, text in errors.items()])

    async def show_fields(self) -> None:
        """Show the fields for the present state: add and remove the fields that depend on others."""
        if not self.model.update() or self._showing:
            return
        self._showing = True
        try:
            while (shown := list(self.model.fields)) and await self._show(shown):
                if shown == self.model.fields:
                    break
        finally:
            self._showing = False

    async def _show(self, fields: list[Field]) -> bool:
        """Mount and remove rows. Their order is that of `fields`, which the focus follows."""
        place = self.query_one("#form-fields")
        rows = {row.field.key: row for row in self._rows()}
        focused = self.screen.focused if self.is_attached else None
        gone = [row for key, row in rows.items() if key not in {field.key for field in fields}]
        after: Widget | None = None
        for field in fields:
            row = rows.get(field.key)
            if row is not None and _same_widget(row.field, field):
                row.show(field)
            else:
                if row is not None:
                    await row.remove()
                row = self._row(field)
                if after is None:
                    await place.mount(row, before=0 if place.children else None)
                else:
                    await place.mount(row, after=after)
            after = row
        for row in gone:
            if focused is not None and focused in row.walk_children():
                self.screen.focus_next()
            await row.remove()
        return True

    # --- errors --------------------------------------------------------------------------------

    def _show_rules(self, texts: list[str]) -> None:
        """Show rules of the whole value at the foot of the form."""
        line = self.query_one("#form-error", Static)
        line.display = bool(texts)
        line.update(Content(plain("\n".join(texts))))

    def show_errors(self, errors: Mapping[str, str]) -> bool:
        """Show each error under its field, and those of the whole form at its foot. Focus the first field.

        Return False if no error belongs to a field.
        """
        left = dict(errors)
        first: FieldRow | None = None
        for row in self._rows() if not self.as_json else ():
            if row.field.kind in ("variant", "fixed"):
                continue
            name = row.field.name
            own = [path for path in left if path == name or is_inside(path, name)]
            row.show_errors([left.pop(path) for path in own])
            if own and first is None:
                first = row
        left.pop("comment", None)
        self._show_rules([f"{path}: {text}" if path else text for path, text in left.items()])
        if first is not None:
            first.widget.focus()
        elif self.as_json:
            self.query_one("#json-text").focus()
        return first is not None or self.as_json

    # --- JSON ----------------------------------------------------------------------------------

    async def switch(self) -> None:
        """Change between fields and JSON. Invalid JSON, or JSON without fields, stays, with the reason."""
        if not self.as_json:
            self._take()
            text, self._secrets = self.model.json()
            self._json_before = text
            self._show_json(text)
            self.query_one("#json-text").focus()
            return
        text = self.query_one("#json-text", TextArea).text
        if text != self._json_before:
            try:
                self.model.load(text, self._secrets)
            except FormError as error:
                self._show_rules([f"{error.path}: {error}" if error.path else str(error)])
                return
            await self._rebuild()
        self._hide_json()
        self.focus_first()

    def _show_json(self, text: str) -> None:
        self.as_json = True
        self.query_one("#form-fields").display = False
        self.query_one("#form-json").display = True
        self.query_one("#json-text", TextArea).text = text
        self._show_rules([])

    def _hide_json(self) -> None:
        self.as_json = False
        self.query_one("#form-fields").display = True
        self.query_one("#form-json").display = False
        self._show_rules([])

    async def _rebuild(self) -> None:
        """Make all rows anew for the model. The focus stays on its field."""
        self._stale = True
        focused = self.screen.focused
        inside = focused is not None and focused in self.walk_children()
        name = focused.id if focused is not None else None
        place = self.query_one("#form-fields")
        await place.query_children(FieldRow).remove()
        await place.mount_all([self._row(field) for field in self.model.fields])
        self._stale = False
        if inside:
            same = [row.widget for row in self._rows() if row.widget.id == name and row.widget.focusable]
            if same:
                same[0].focus()
            else:
                self.focus_first()

    def _check_json(self) -> None:
        """Show the first error of the JSON text while it is typed."""
        if not self.as_json:
            return
        try:
            value = self.read()
        except FormError as error:
            self._show_rules([str(error)])
            return
        errors = {} if value is None else self.model.errors(value)
        self._show_rules([f"{path}: {text}" if path else text for path, text in errors.items()][:4])

    # --- drafts --------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return the input for a draft, without secrets."""
        self._take()
        found = self.model.draft()
        if self.as_json and not mentions_secret(self._schema):
            found["json"] = self.query_one("#json-text", TextArea).text
        return found

    async def restore(self, draft: Mapping[str, Any]) -> None:
        """Restore the input of a draft. When this returns, the widgets show it and can get the focus."""
        self.model.restore(draft)
        await self._rebuild()
        if isinstance(draft.get("json"), str):
            self._json_before = self.model.json()[0]
            self._show_json(draft["json"])

    def focus_first(self, *, scroll_visible: bool = True) -> None:
        """Focus the first field."""
        self._focus(self._focusable(), scroll_visible)

    def focus_first_empty(self, *, scroll_visible: bool = True) -> None:
        """Focus the first field without input, or the first field if all have input."""
        rows = self._focusable()
        self._focus([row for row in rows if row.empty] or rows, scroll_visible)

    def _focusable(self) -> list[FieldRow]:
        return [row for row in self._rows() if row.widget.focusable]

    def _focus(self, rows: list[FieldRow], scroll_visible: bool) -> None:
        if self.as_json:
            self.query_one("#json-text").focus(scroll_visible=scroll_visible)
        elif rows:
            rows[0].widget.focus(scroll_visible=scroll_visible)


def _same_widget(old: Field, new: Field) -> bool:
    """Return whether the widget of a field can stay, with its cursor, for a changed schema."""
    if new.kind == "rows":
        return bool(old.schema["items"] == new.schema["items"])
    shown = (new.options, new.labels, new.secret)
    same = (old.options, old.labels, old.secret) == shown
    if new.kind in ("enum", "variant"):
        return same and old.required == new.required
    return same and (new.kind != "fixed" or old.default == new.default)
