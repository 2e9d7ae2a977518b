"""The two lines at the top of every screen."""

from __future__ import annotations

from datetime import timedelta

from tests.tui.conftest import console, until
from tests.tui.realport import RealPort
from victor_tui.feed import Refreshed
from victor_tui.widgets.header import HeaderBar, HeaderState


async def test_the_header_changes_with_the_second_that_it_shows(bare: RealPort) -> None:
    app = console(bare)

    def shown() -> HeaderState | None:
        return app.screen.query_one(HeaderBar).state

    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: (state := shown()) is not None and state.engine is not None)
        before = shown()
        assert before is not None
        for passed, seconds in ((0.4, 0), (0.4, 0), (0.4, 1)):
            await bare.clock.advance(passed)
            app.post_message(Refreshed("engine"))
            await pilot.pause()
            state = shown()
            assert state is not None
            assert state.now - before.now == timedelta(seconds=seconds)
