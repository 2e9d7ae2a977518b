"""Check boxes, radio buttons and option lists whose signs show the selection without colours."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.strip import Strip
from textual.widgets import Checkbox, OptionList, RadioButton, SelectionList
from textual.widgets.option_list import Option

from victor_tui.textual_compat import GutterOptionList

TICKED, UNTICKED = "[x] ", "[ ] "
PICKED, UNPICKED = "◉ ", "○ "


class Tick(Checkbox):
    """A check box."""

    def render(self) -> Content:
        sign = TICKED if self.value else UNTICKED
        return Content(sign) + self.label.stylize_before(self.get_visual_style("toggle--label"))

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return len(TICKED) + self.label.cell_length


class Pick(RadioButton):
    """A button of a RadioSet."""

    def render(self) -> Content:
        return Content(f"{PICKED if self.value else UNPICKED}{self.label.plain}")

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return len(self.label.plain) + len(PICKED)


class _Marked(GutterOptionList):
    """An option list with one line and one sign for each option."""

    DEFAULT_CSS = """
    _Marked { text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def sign(self, index: int) -> str:
        raise NotImplementedError

    def gutter_width(self) -> int:
        return len(self.sign(0))

    def render_line(self, y: int) -> Strip:
        line = OptionList.render_line(self, y)
        index = self.scroll_offset.y + y
        if index >= self.option_count:
            return line
        first = next(iter(line), None)
        style = (first.style if first is not None else None) or self.rich_style
        return Strip([Segment(self.sign(index), style + Style(meta={"option": index})), *line])


class Several(_Marked, SelectionList[int]):
    """An option list in which several options can be selected."""

    def sign(self, index: int) -> str:
        if index >= self.option_count:
            return UNTICKED
        return TICKED if self.get_option_at_index(index).value in self.selected else UNTICKED


class One(_Marked):
    """An option list in which the option under the cursor is selected. Letters go to the option that starts with them.

    `picked` is the index of the option in `labels`, or None. An optional field has a line for no value.
    """

    LEFT_OUT = "(left out)"

    def __init__(
        self, labels: Sequence[str], picked: int | None, *, optional: bool, id: str, compact: bool = True
    ) -> None:
        self._before = 1 if optional else 0
        self._labels = [label.casefold() for label in labels]
        self._typed = ""
        rows = [Option(Content(label)) for label in labels]
        if optional:
            rows.insert(0, Option(Content.styled(self.LEFT_OUT, "italic")))
        super().__init__(*rows, id=id, compact=compact, markup=False)
        self.picked = picked

    @property
    def picked(self) -> int | None:
        index = self.highlighted
        return None if index is None or index < self._before else index - self._before

    @picked.setter
    def picked(self, index: int | None) -> None:
        if index is not None:
            self.highlighted = index + self._before
        else:
            self.highlighted = 0 if self._before else None

    def sign(self, index: int) -> str:
        if self.highlighted is None and index == 0 and self.has_focus:
            return "› "  # the cursor while no option is selected
        return PICKED if index == self.highlighted else UNPICKED

    def action_select(self) -> None:
        """Select the first option if none is selected."""
        if self.highlighted is None:
            self.action_first()

    def on_key(self, event: events.Key) -> None:
        text = event.character if event.is_printable else None
        if event.key == "backspace":
            self._typed = ""
            self.picked = None if self._before else self.picked
        elif text is None or (text == " " and not self._typed):
            self._typed = ""
            return
        else:
            self._go_to(text.casefold())
        event.stop()
        event.prevent_default()

    def _go_to(self, text: str) -> None:
        """Go to the next label that starts with the typed letters, or else with `text` alone."""
        here = self.picked if self.picked is not None else -1
        order = [*range(max(here, 0), len(self._labels)), *range(max(here, 0))]
        for typed, indexes in ((self._typed + text, order), (text, [*order[here >= 0 :], *order[:1]])):
            for index in indexes:
                if self._labels[index].startswith(typed):
                    self._typed, self.picked = typed, index
                    return

    def on_blur(self) -> None:
        self._typed = ""
