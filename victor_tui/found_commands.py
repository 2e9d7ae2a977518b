"""The search of the palette: workflows, versions, schedules, runs and requests by name, and the actions on them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from textual.command import Hit, Hits, Provider
from textual.content import Content

from victor_engine.api import FOUND_KINDS, Found, FoundKind
from victor_engine.errors import VictorError
from victor_tui.found_actions import ACTIONS, FoundAction, actions_on, described, take
from victor_tui.text import clean, one_line

if TYPE_CHECKING:
    from victor_tui.app_context import Console

QUIET = 0.08
"""Seconds without a key before the store is searched."""
LIMIT = 5
"""Maximum number of shown things of each kind."""
_DETAILED = 1
"""Number of things of each search whose actions are listed with them."""
_RECENT = 5
"""Number of recent things that are listed before the user types."""
_SLOW: tuple[FoundKind, ...] = ("schedule",)
"""The kinds that are searched after the others, because there can be many."""
_LETTERS: dict[FoundKind, str] = {
    "schedule": "s",
    "run": "r",
    "request": "q",
    "version": "v",
    "workflow": "w",
}
"""The letter that stands for each kind."""
_TOP, _LATER, _STEP = 40.0, 0.5, 0.01
"""The score of the first thing, above most scores of actions; how much less a thing of the second search has, so that
both are mixed; and how much less each action of a thing has than the one before it."""


def parse(query: str) -> tuple[str | None, tuple[FoundKind, ...], str]:
    """Return the name of an action, the kinds and the words of a search.

    The first word can be the beginning of an action (`pause nightly`), or a kind (`run nightly`, `r nightly`).
    """
    first, _, rest = query.strip().partition(" ")
    word = first.lower()
    if rest.strip():
        named = tuple(kind for kind in FOUND_KINDS if word in (kind, f"{kind}s", _LETTERS[kind]))
        if named:
            return None, named, rest.strip()
        names = {action.name for actions in ACTIONS.values() for action in actions}
        name = next((each for each in sorted(names) if each.lower().startswith(word)), None)
        if name is not None and len(word) >= 3:
            return name, tuple(kind for kind in FOUND_KINDS if _named(kind, name)), rest.strip()
    return None, FOUND_KINDS, query.strip()


def _named(kind: FoundKind, name: str) -> bool:
    return any(action.name == name for action in ACTIONS[kind])


def listed(found: Sequence[Found], name: str | None) -> Iterator[tuple[Found, list[FoundAction]]]:
    """Yield each thing with the action that opens it, the first one with all its actions.

    With a `name`, yield each thing with the action of this name.
    """
    for number, each in enumerate(found):
        actions = actions_on(each)
        if name is not None:
            yield each, [action for action in actions if action.name == name]
        else:
            yield each, actions if number < _DETAILED else actions[:1]


class FoundCommands(Provider):
    """A provider that searches the store by name.

    In a dialog it finds nothing, because going to another screen would close the dialog with its input.
    """

    @property
    def _console(self) -> Console:
        return cast("Console", self.app)

    def _hit(self, score: float, found: Found, action: FoundAction) -> Hit:
        refused = self._console.access.lacks(action.method)
        title = described(found)
        is_first = action is ACTIONS[found.kind][0]
        text = title if is_first else f"{action.name} · {title}"
        shown = one_line(text if is_first else f"  {text}", 100).replace("[", "\\[")
        others = ", ".join(each.name for each in actions_on(found)[1:])
        about = refused or (f"Open it. Also: {others}" if is_first else None)
        return Hit(score, shown, partial(self._take, found, action), text=text, help=about)

    def _take(self, found: Found, action: FoundAction) -> None:
        self._console.run_worker(take(self._console, found, action), group="dialog")

    def _hits(self, found: Iterable[tuple[Found, list[FoundAction]]], later: float = 0.0) -> Iterator[Hit]:
        for number, (each, actions) in enumerate(found):
            for step, action in enumerate(actions):
                yield self._hit(_TOP - number - later - _STEP * step, each, action)

    async def discover(self) -> Hits:
        recent = [] if self.screen.is_modal else list(self._console.session.recent)[:_RECENT]
        for hit in self._hits((each, [ACTIONS[each.kind][0]]) for each in recent):
            yield hit

    async def search(self, query: str) -> Hits:
        if self.screen.is_modal:
            return
        name, kinds, words = parse(query)
        await asyncio.sleep(QUIET)
        quick, slow = (tuple(k for k in kinds if (k in _SLOW) == late) for late in (False, True))
        for some, later in ((quick, 0.0), (slow, _LATER)):
            if not some:
                continue
            try:
                found = await self._console.port.find(words, some, LIMIT)
            except VictorError as error:
                yield self._failed(error)
                return
            for hit in self._hits(listed(self._console.session.recent.first(found), name), later):
                yield hit

    def _failed(self, error: VictorError) -> Hit:
        text = f"Names were not searched: {clean(error.message)}"
        show: Any = partial(self._console.report, error)
        return Hit(0.1, Content(one_line(text, 200)).markup, show, text=text)
