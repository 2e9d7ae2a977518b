"""The words of a command on a screen: `runs deploy failed` filters the Runs screen."""

from __future__ import annotations

from collections.abc import Sequence

from victor_tui.filter_language import FIELDS, STATUSES
from victor_tui.inbox.filter_language import VIEWS

STATUS_SCREENS = ("runs", "history")
"""The screens on which the name of a status selects the runs with this status."""
_STATUS_WORDS = (*STATUSES, "active", "done", "stuck")


def known_words(mode: str) -> tuple[str, ...]:
    """Return the words that the filter of a screen knows."""
    if mode in STATUS_SCREENS:
        return (*_STATUS_WORDS, *(f"{name}:" for name in FIELDS))
    return VIEWS if mode == "inbox" else ()


def as_filter(mode: str, words: str) -> str:
    """Return the filter of some words: the name of a status selects the runs with this status."""
    if mode not in STATUS_SCREENS:
        return words
    return " ".join(f"status:{word}" if word in _STATUS_WORDS else word for word in words.split())


def complete_argument(text: str, mode: str, names: Sequence[str]) -> list[str]:
    """Return the commands that complete the last word of `text`; `names` are those of workflows."""
    head, _, word = text.rpartition(" ")
    if not word:
        return [f"{head} {name}" for name in dict.fromkeys((*names, *known_words(mode)))]
    found = dict.fromkeys(name for name in (*names, *known_words(mode)) if name.lower().startswith(word))
    return [f"{head} {name}" for name in found]
