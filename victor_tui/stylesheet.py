"""A stylesheet that remembers what it has parsed.

Textual parses every rule of every widget again whenever a screen is opened for the first time, up to three
times: some 20 ms each between a key and the screen that it asks for.
"""

from __future__ import annotations

from textual.cache import LRUCache
from textual.css.stylesheet import Stylesheet

SOURCES = 1024
"""How many sources are remembered: all, for a list that is gone through in order and is longer than the
cache finds nothing in it."""


class KeptStylesheet(Stylesheet):
    """Parses a source again only when the variables, which are the theme's, have changed."""

    def __init__(self, *, variables: dict[str, str] | None = None) -> None:
        super().__init__(variables=variables)
        self._parse_cache = LRUCache(SOURCES)

    def set_variables(self, variables: dict[str, str]) -> None:
        if variables != self._variables:
            super().set_variables(variables)

    def reparse(self) -> None:
        self.parse()
