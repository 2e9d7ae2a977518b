"""Paint a console that has no terminal only now and then.

Textual paints a screen after each change, and without a terminal it drops what it painted. That took half of the
processor time of the tests of the console. Here the first picture of a screen at a size is painted, then each
`EVERY`-th change, and the last screen of a console: an error of a widget while it draws still fails the test. Tests
with pictures, and modules that use the fixture `painted`, paint each change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from textual._compositor import Compositor
from textual.app import App

EVERY = 8


@contextmanager
def painting_sparingly() -> Iterator[None]:
    """Paint now and then while the context lasts."""
    paint, shut_down = Compositor.render_update, App._shutdown
    changes: WeakKeyDictionary[Compositor, Counter[Any]] = WeakKeyDictionary()

    def paint_sometimes(compositor: Compositor, full: bool = False, *given: Any, **named: Any) -> Any:
        seen = changes.setdefault(compositor, Counter())
        number = seen[compositor.size]
        seen[compositor.size] += not full
        if full or number % EVERY == 0:
            return paint(compositor, full, *given, **named)
        compositor._dirty_regions.clear()
        return None

    async def shut_down_after_a_last_look(app: App[Any]) -> None:
        if app._exception is None and app.screen_stack:
            with app._context():
                paint(app.screen._compositor, full=True, screen_stack=app._background_screens)
        await shut_down(app)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Compositor, "render_update", paint_sometimes)
        patch.setattr(App, "_shutdown", shut_down_after_a_last_look)
        yield
