"""A form of widgets for a JSON Schema, which reads one typed JSON value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Label, Static, TextArea
from textual.widgets.selection_list import Selection

from victor_tui.text import one_line, plain, word
from victor_tui.widgets.choices import One, Several, Tick
from victor_tui.widgets.form_fields import (
    ABSENT,
    Field,
    FormError,
    fields_of,
    index_of,
    is_inside,
    read_scalar,
    value_at,
)
from victor_tui.widgets.object_list import RowDialogFactory, Rows

_HINTS = {
    "date": "2026-03-31",
    "time": "14:30",
    "date-time": "2026-03-31T14:30:00Z",
    "email": "name@example.org",
    "uri": "https://example.org",
    "duration": "PT1H30M",
}


class Form(Vertical):
    """The widgets of a schema. `read` returns the value, `show_errors` marks fields and focuses the first.

    `row_dialog` creates the dialog of one entry of a list of objects.
    """

    DEFAULT_CSS = """
    Form { height: auto; }
    Form Tick { border: none; background: $panel; padding: 0 1; height: 1; width: 100%; }
    Form Tick:focus { border: none; padding: 0 1; }
    Form One { max-height: 7; padding: 0 1; }
    Form Several { padding: 0 1; }
    Form .field-error { display: none; }
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
        self._initial = initial
        fields = fields_of(schema)
        self.drawable = fields is not None
        self._fields = fields or [Field((), "json", schema, True)]
        self._untouched: list[Any] = []

    def compose(self) -> ComposeResult:
        if not self.drawable:
            yield Label("No form exists for this schema: write the answer as JSON.", classes="label")
        for index, field in enumerate(self._fields):
            star = ("*", "$warning") if field.required else (" optional", "$text-muted")
            yield Label(Content.assemble((field.title, "bold"), star), classes="label")
            if field.schema.get("description") and field.path:
                note = plain(str(field.schema["description"]))
                yield Static(Content.styled(note, "$text-muted"), classes="text")
            yield self._widget(field, f"field-{index}")
            yield Static(classes="field-error", id=f"error-{index}")

    def on_mount(self) -> None:
        """Save the initial values: an optional object that the user did not change can be left out."""
        self._untouched = [self._read_if_valid(index, field) for index, field in enumerate(self._fields)]

    def _read_if_valid(self, index: int, field: Field) -> Any:
        try:
            return self._read(index, field)
        except FormError:
            return ABSENT

    def _start(self, field: Field) -> Any:
        found = value_at(self._initial, field.path) if field.path else self._initial
        return field.schema.get("default") if found is None else found

    def _widget(self, field: Field, name: str) -> Widget:
        start = self._start(field)
        match field.kind:
            case "boolean":
                return Tick("yes", value=bool(start), id=name, compact=True)
            case "enum":
                values = list(field.schema["enum"])
                labels = [one_line(word(item), 200) for item in values]
                return One(labels, index_of(values, start), optional=not field.required, id=name)
            case "multi":
                members = field.schema["items"]["enum"]
                ticked = start if isinstance(start, list) else []
                rows = [
                    Selection(Content(one_line(word(item), 200)), index, item in ticked)
                    for index, item in enumerate(members)
                ]
                return Several(*rows, id=name, compact=True)
            case "rows":
                entries = start if isinstance(start, list) else []
                return Rows(
                    field.schema["items"], entries, title=field.title, dialog=self._row_dialog, id=name
                )
            case "text" | "list" | "json":
                if start is None:
                    text = ""
                elif field.kind == "list":
                    text = "\n".join(str(item) for item in start)
                else:
                    text = start if field.kind == "text" else json.dumps(start, indent=2, ensure_ascii=False)
                hint = {"list": "one entry per line", "json": "JSON", "text": ""}[field.kind]
                # The name is the suffix of the file in $EDITOR.
                kind = ".json" if field.kind == "json" else ".txt"
                return TextArea(text, name=kind, id=name, placeholder=hint, compact=True)
            case _:
                text = "" if start is None else str(start)
                hint = _HINTS.get(str(field.schema.get("format")), "")
                return Input(text, id=name, placeholder=hint, compact=True)

    def read(self) -> Any:
        """Return the value of the form. Raises FormError for an invalid field.

        Empty optional fields are left out. So are incomplete optional objects that the user did not change:
        an unticked check box alone does not require the rest.
        """
        if not self._fields[0].path:
            value = self._read(0, self._fields[0])
            return None if value is ABSENT else value
        values = [self._read(index, field) for index, field in enumerate(self._fields)]
        left_out = self._left_out(values)
        read: dict[str, Any] = {}
        for field, found in zip(self._fields, values, strict=True):
            if found is ABSENT or any(field.path[: len(way)] == way for way in left_out):
                continue
            target = read
            for name in field.path[:-1]:
                target = target.setdefault(name, {})
            target[field.path[-1]] = found
        return read

    def _left_out(self, values: list[Any]) -> list[tuple[str, ...]]:
        """Return the paths of optional objects that are incomplete and unchanged."""
        ways = {field.path[:length] for field in self._fields for length in field.optional}
        left: list[tuple[str, ...]] = []
        for way in sorted(ways, key=len):
            inside = [index for index, field in enumerate(self._fields) if field.path[: len(way)] == way]
            touched = any(values[index] != self._untouched[index] for index in inside)
            lacks = any(
                values[index] is ABSENT
                and self._fields[index].in_object
                and all(length <= len(way) for length in self._fields[index].optional)
                for index in inside
            )
            if lacks and not touched and value_at(self._initial, way) is None:
                left.append(way)
        return left

    def _read(self, index: int, field: Field) -> Any:
        widget = self.query_one(f"#field-{index}")
        if isinstance(widget, Tick):
            return widget.value
        if isinstance(widget, One):
            return field.schema["enum"][widget.picked] if widget.picked is not None else ABSENT
        if isinstance(widget, Several):
            picked = sorted(widget.selected)
            return [field.schema["items"]["enum"][i] for i in picked] if picked or field.required else ABSENT
        if isinstance(widget, Rows):
            return widget.rows if widget.rows or field.required else ABSENT
        assert isinstance(widget, Input | TextArea)
        text = widget.value if isinstance(widget, Input) else widget.text
        if field.kind == "list":
            inner = str(field.schema["items"].get("type"))
            rows = [read_scalar(inner, line.strip(), field.name) for line in text.split("\n") if line.strip()]
            return rows if rows or field.required else ABSENT
        if not text.strip():
            return ABSENT
        if field.kind == "json":
            try:
                return json.loads(text)
            except json.JSONDecodeError as error:
                text = f"line {error.lineno}, column {error.colno}: {error.msg}"
                raise FormError(field.name, text) from None
            except (ValueError, RecursionError):
                raise FormError(
                    field.name, "is nested too deeply, or has a number that is too long"
                ) from None
        return read_scalar(field.kind, text, field.name)

    def on_input_changed(self, event: Input.Changed) -> None:
        self._check_while_typing(event.input)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        self._check_while_typing(event.text_area)

    def on_rows_changed(self, event: Rows.Changed) -> None:
        event.stop()
        self._check_while_typing(event.rows)

    def _check_while_typing(self, widget: Widget) -> None:
        """Show the errors of a field under it. An empty field has no errors."""
        index = int((widget.id or "field-0").removeprefix("field-"))
        field = self._fields[index]
        errors: dict[str, str] = {}
        try:
            value = self._read(index, field)
        except FormError as error:
            errors = {"": str(error)}
        else:
            if value is not ABSENT and value != []:
                from victor_engine.inputs import validate

                errors = validate(field.schema, value)
        self._show_field_errors(index, [f"{path}: {text}" if path else text for path, text in errors.items()])

    def _show_field_errors(self, index: int, errors: list[str]) -> None:
        line = self.query_one(f"#error-{index}", Static)
        line.display = bool(errors)
        line.update(Content(plain("; ".join(errors))))

    def snapshot(self) -> dict[str, Any]:
        """Return the values of all widgets for a draft."""
        found: dict[str, Any] = {}
        for index in range(len(self._fields)):
            widget = self.query_one(f"#field-{index}")
            if isinstance(widget, Several):
                found[str(widget.id)] = list(widget.selected)
            elif isinstance(widget, One):
                found[str(widget.id)] = widget.picked
            elif isinstance(widget, Rows):
                found[str(widget.id)] = widget.rows
            elif isinstance(widget, TextArea):
                found[str(widget.id)] = widget.text
            elif isinstance(widget, Input | Tick):
                found[str(widget.id)] = widget.value
        return found

    def restore(self, draft: Mapping[str, Any]) -> None:
        """Restore the values of a snapshot."""
        for name, value in draft.items():
            widget = self.query_one(f"#{name}")
            if isinstance(widget, Several):
                widget.deselect_all()
                for item in value:
                    widget.select(item)
            elif isinstance(widget, One):
                widget.picked = value
            elif isinstance(widget, Rows):
                widget.rows = value
            elif isinstance(widget, TextArea):
                widget.text = value
            elif isinstance(widget, Input | Tick):
                widget.value = value

    def show_errors(self, errors: Mapping[str, str]) -> bool:
        """Show each error under its field and focus the first field.

        Return False if no error belongs to a field.
        """
        first = True
        for index, field in enumerate(self._fields):
            own = [text for path, text in errors.items() if path == field.name or is_inside(path, field.name)]
            self._show_field_errors(index, own)
            if own and first:
                first = False
                self.query_one(f"#field-{index}").focus()
        return not first

    def focus_first(self) -> None:
        self.query_one("#field-0").focus()
