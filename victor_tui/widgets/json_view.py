"""The view of a JSON value as a foldable tree, a table, or text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, overload

from rich.cells import cell_len
from textual.binding import BindingType
from textual.content import Content

from victor_tui.keys import bindings
from victor_tui.text import one_line, plain
from victor_tui.widgets.lines import LineView

Path = tuple[str | int, ...]
Shape = Literal["tree", "table", "text"]

_FOLD_ABOVE = 60
"""Number of members above which a container starts folded."""
_FOLD_DEPTH = 3
"""Depth below which containers start folded."""
_TABLE_ROWS = 200
_CELL = 28
_TEXT_LINES = 400
"""Maximum number of lines of a text in a tree. A separate pane shows all."""


def shape_of(value: Any) -> Shape:
    """Return `text` for text of several lines, `table` for a list of objects with the same keys, else `tree`."""
    if isinstance(value, str) and "\n" in value:
        return "text"
    if (
        isinstance(value, list)
        and 1 < len(value) <= _TABLE_ROWS
        and all(isinstance(row, dict) and row for row in value)
        and all(row.keys() == value[0].keys() for row in value)
        and len(value[0]) <= 8
        and not any(isinstance(cell, dict | list) for row in value for cell in row.values())
    ):
        return "table"
    return "tree"


def scalar(value: Any) -> Content:
    """Return a value without members in the style of its type."""
    match value:
        case None:
            return Content.styled("null", "$text-muted italic")
        case bool():
            return Content.styled("true" if value else "false", "$secondary")
        case int() | float():
            return Content.styled(str(value), "$accent")
        case str():
            return Content(one_line(value)) if value else Content.styled('""', "$text-muted")
        case _:
            return Content(one_line(str(value)))


def table_lines(rows: Sequence[Mapping[str, Any]]) -> list[Content]:
    """Return objects with the same keys as aligned columns, with numbers on the right."""
    names = list(rows[0])
    cells = [[scalar(row[name]) for name in names] for row in rows]
    heads = [Content.styled(one_line(str(name), _CELL), "$text-muted bold") for name in names]
    widths = [
        min(_CELL, max(heads[i].cell_length, *(line[i].cell_length for line in cells)))
        for i in range(len(names))
    ]
    numeric = [all(isinstance(row[name], int | float) for row in rows) for name in names]

    def fit(cell: Content, i: int) -> Content:
        cell = cell.truncate(widths[i], ellipsis=True)
        missing = widths[i] - cell.cell_length
        return cell.pad_left(missing) if numeric[i] else cell.pad_right(missing)

    gap = Content("  ")
    return [gap.join(fit(cell, i) for i, cell in enumerate(line)) for line in (heads, *cells)]


@dataclass(frozen=True, slots=True)
class _Row:
    path: Path
    content: Content
    container: bool


def _summary(value: Any) -> str:
    count = len(value)
    if isinstance(value, dict):
        return f"{{{count}}}" if count else "{}"
    return f"[{count}]" if count else "[]"


class ValueTree(LineView):
    """A JSON object as a tree. Enter or space folds, and changed paths have a mark in the margin."""

    DEFAULT_CSS = """
    ValueTree > .lineview--cursor { background: $block-cursor-blurred-background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings("tree")
    show_cursor = True

    def __init__(self, value: Any = None, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._value: Any = {} if value is None else value
        self._folded: dict[Path, bool] = {}
        self._marks: Mapping[str, str] = {}
        self._rows: list[_Row] = []
        self._rebuild()

    def show(self, value: Any, marks: Mapping[str, str] | None = None) -> None:
        """Show `value`. `marks` maps top-level keys to signs: `+` set, `~` merged, `-` deleted."""
        marks = marks or {}
        if value == self._value and marks == self._marks:
            return
        self._value, self._marks = value, marks
        self._rebuild()

    @property
    def shown_lines(self) -> list[Content]:
        """The visible lines."""
        return [row.content for row in self._rows]

    def _rebuild(self) -> None:
        self._rows = []
        if isinstance(self._value, dict):
            for key in (key for key, sign in self._marks.items() if sign == "-" and key not in self._value):
                text = Content.assemble(("- ", "$error"), (one_line(key), "$error strike"))
                self._rows.append(_Row((key,), text, False))
        self._walk(self._value, (), 0)
        if not self._rows:
            self._rows.append(_Row((), Content.styled("  nothing yet", "$text-muted italic"), False))
        self.set_lines([row.content for row in self._rows])

    def _is_folded(self, path: Path, value: Any) -> bool:
        return self._folded.get(path, len(path) > _FOLD_DEPTH or len(value) > _FOLD_ABOVE)

    def _walk(self, value: Any, path: Path, depth: int) -> None:
        if isinstance(value, dict):
            items: list[tuple[str | int, Any]] = list(value.items())
        elif isinstance(value, list):
            items = list(enumerate(value))
        else:
            self._rows.append(_Row(path, scalar(value), False))
            return
        for key, member in items:
            self._member(key, member, (*path, key), depth)

    def _margin(self, path: Path) -> Content:
        sign = self._marks.get(str(path[0]), "")
        style = {"+": "$success bold", "~": "$warning bold", "-": "$error bold"}.get(sign, "")
        if len(path) > 1 and sign:
            sign = "│"
        return Content.styled(f"{sign or ' '} ", style)

    def _member(self, key: str | int, member: Any, path: Path, depth: int) -> None:
        indent = "  " * depth
        name_style = "$text-muted" if isinstance(key, int) else "$primary"
        name = one_line(str(key), 60)
        margin = self._margin(path)
        if isinstance(member, dict | list) and member:
            folded = self._is_folded(path, member)
            head = Content.assemble(
                margin,
                indent,
                ("▸ " if folded else "▾ ", "$text-muted"),
                (name, name_style),
                (f" {_summary(member)}", "$text-muted"),
            )
            self._rows.append(_Row(path, head, True))
            if not folded:
                self._children(member, path, depth, margin)
            return
        value: Content | str = _summary(member) if isinstance(member, dict | list) else scalar(member)
        if isinstance(member, str) and "\n" in member:
            self._text(name, member, path, depth, margin)
            return
        line = Content.assemble(margin, indent, "  ", (name, name_style), (": ", "$text-muted"), value)
        self._rows.append(_Row(path, line, False))

    def _children(self, member: Any, path: Path, depth: int, margin: Content) -> None:
        if shape_of(member) == "table":
            for line in table_lines(member):
                self._rows.append(_Row(path, Content.assemble(margin, "  " * (depth + 2), line), False))
        else:
            self._walk(member, path, depth + 1)

    def _text(self, name: str, text: str, path: Path, depth: int, margin: Content) -> None:
        lines = plain(text).rstrip("\n").split("\n")
        folded = self._folded.get(path, len(lines) > 12)
        indent = "  " * depth
        head = Content.assemble(
            margin,
            indent,
            ("▸ " if folded else "▾ ", "$text-muted"),
            (name, "$primary"),
            (f" {len(lines)} lines", "$text-muted"),
        )
        self._rows.append(_Row(path, head, True))
        if folded:
            return
        for line in lines[:_TEXT_LINES]:
            self._rows.append(
                _Row(path, Content.assemble(margin, indent, ("  │ ", "$text-muted"), line), False)
            )
        if len(lines) > _TEXT_LINES:
            rest = f"  … {len(lines) - _TEXT_LINES} more lines"
            self._rows.append(_Row(path, Content.assemble(margin, indent, (rest, "$text-muted")), False))

    def action_toggle_fold(self) -> None:
        row = self._rows[self.cursor]
        if row.container:
            self._set_fold(row.path, not self._folded_now(row.path))

    def action_fold(self, folded: bool) -> None:
        row = self._rows[self.cursor]
        if row.container and self._folded_now(row.path) != folded:
            self._set_fold(row.path, folded)
        elif folded and len(row.path) > 1:
            self.move_to(next(i for i, other in enumerate(self._rows) if other.path == row.path[:-1]))

    def _folded_now(self, path: Path) -> bool:
        value = self._value
        for key in path:
            value = value[key]
        if isinstance(value, str):
            return self._folded.get(path, len(plain(value).rstrip("\n").split("\n")) > 12)
        return self._is_folded(path, value)

    def _set_fold(self, path: Path, folded: bool) -> None:
        self._folded[path] = folded
        self._rebuild()
        self.move_to(next(i for i, row in enumerate(self._rows) if row.path == path))


class TextLines(Sequence[Content]):
    """The lines of a text with visible control characters, each created on demand."""

    def __init__(self, text: str, style: Callable[[str], str] | None = None) -> None:
        self._lines = plain(text).rstrip("\n").split("\n")
        self._style = style

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> Content: ...

    @overload
    def __getitem__(self, index: slice) -> list[Content]: ...

    def __getitem__(self, index: int | slice) -> Content | list[Content]:
        if isinstance(index, slice):
            return [self._content(line) for line in self._lines[index]]
        return self._content(self._lines[index])

    def _content(self, line: str) -> Content:
        return Content(line) if self._style is None else Content.styled(line, self._style(line))

    @property
    def widest(self) -> int:
        """Width of the widest line in cells."""
        return max(len(line) if line.isascii() else cell_len(line) for line in self._lines)


def text_lines(text: str, style: Callable[[str], str] | None = None) -> TextLines:
    """Return the lines of `text` with visible control characters, each in the style that `style` returns."""
    return TextLines(text, style)


def diff_style(line: str) -> str:
    """Return the style of a line of a unified diff."""
    if line.startswith(("+++", "---")):
        return "bold"
    if line.startswith("@@"):
        return "$accent"
    if line.startswith("+"):
        return "$success"
    if line.startswith("-"):
        return "$error"
    return ""


def looks_like_diff(text: str) -> bool:
    """Return whether `text` looks like a unified diff."""
    head = text[:4000]
    return head.startswith(("diff ", "--- ")) or ("\n--- " in head and "\n+++ " in head and "\n@@ " in head)
