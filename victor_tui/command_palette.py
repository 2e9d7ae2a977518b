"""The actions of the current screen in the command palette."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.screen import Screen

from victor_tui.key_table import NO_EFFECT_ID


def palette_bindings(screen: Screen[Any]) -> Iterator[tuple[Binding, Any]]:
    """Yield the available actions of a screen, each once, with the nodes that have them."""
    seen: set[str] = set()
    for active in screen.active_bindings.values():
        binding = active.binding
        without_effect = NO_EFFECT_ID.search(binding.id or "") is not None
        if active.enabled and binding.description and binding.action not in seen and not without_effect:
            seen.add(binding.action)
            if not binding.system:
                yield binding, active.node


if TYPE_CHECKING:
    from victor_tui.app_context import Console


class ActionCommands(Provider):
    """A provider that finds available actions by description or tooltip."""

    def _bindings(self) -> Iterator[tuple[Binding, Any]]:
        return palette_bindings(self.screen)

    def _help(self, binding: Binding, node: Any) -> str:
        """Return the help of an action: the role that the current user lacks, or its tooltip."""
        return cast("Console", self.app).access.refusal(binding.action, node) or binding.tooltip

    def _call(self, binding: Binding, node: Any) -> partial[Any]:
        return partial(self.app.run_action, binding.action, node)

    async def discover(self) -> Hits:
        for binding, node in self._bindings():
            text = f"{binding.description}  [{self.app.get_key_display(binding)}]"
            yield DiscoveryHit(
                _plain(text),
                self._call(binding, node),
                text=binding.description,
                help=self._help(binding, node) or None,
            )

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for binding, node in self._bindings():
            score = max(matcher.match(binding.description), matcher.match(binding.tooltip))
            if score > 0:
                yield Hit(
                    score,
                    matcher.highlight(binding.description),
                    self._call(binding, node),
                    text=binding.description,
                    help=f"{self._help(binding, node)} ({self.app.get_key_display(binding)})",
                )


def _plain(text: str) -> str:
    """Return a title with escaped square brackets, because titles of commands are parsed as markup."""
    return text.replace("[", "\\[")
