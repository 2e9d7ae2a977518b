"""A list of which several may be chosen, where keys that come in a burst mean what they say."""

from __future__ import annotations

from textual.widgets import SelectionList


class Several(SelectionList[int]):
    """Toggles the row under the cursor when the key is handled.

    Textual posts a message to toggle whichever row is under the cursor by then: of keys typed ahead over a
    slow line, the cursor's own are handled in between, and what sends the answer as well.
    """

    def action_select(self) -> None:
        if self.highlighted is not None:
            self.toggle(self.get_option_at_index(self.highlighted))
