"""The drafts of answers: input that was not sent, kept while the console runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from textual.app import App
from textual.screen import Screen
from textual.widgets import Input, OptionList, SelectionList, TextArea

from victor_tui.widgets.form import Form

_drafts: WeakKeyDictionary[App[Any], dict[str, dict[str, Any]]] = WeakKeyDictionary()


def keep(screen: Screen[Any], key: str) -> None:
    """Save the input of the dialog as a draft."""
    _drafts.setdefault(screen.app, {})[key] = _snapshot(screen)


def forget(screen: Screen[Any], key: str) -> None:
    """Delete the draft after the answer was sent."""
    _drafts.get(screen.app, {}).pop(key, None)


def restore(screen: Screen[Any], key: str) -> None:
    """Restore the draft into the dialog, if it exists."""
    draft = _drafts.get(screen.app, {}).get(key)
    if draft is not None:
        _restore(screen, draft)


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


def _restore(screen: Screen[Any], draft: Mapping[str, Any]) -> None:
    screen.query_one("#comment", Input).value = draft["comment"]
    for area in screen.query("#answer").results(TextArea):
        area.text = draft.get("answer", area.text)
    for form in screen.query(Form):
        form.restore(draft.get("form", {}))
    for chooser in screen.query("#choices").results(OptionList):
        chooser.highlighted = draft.get("highlighted", chooser.highlighted)
        if isinstance(chooser, SelectionList) and "picked" in draft:
            chooser.deselect_all()
            for index in draft["picked"]:
                chooser.select(index)
