"""The two lines at the top of every screen."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.tui.conftest import console, until
from tests.tui.realport import RealPort
from victor_engine.engine import core
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


async def test_the_header_names_the_engine_of_another_user(
    bare: RealPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "user_name", lambda uid: "ops")
    socket = "/run/victor/ws-1234/engine.sock"
    bare.engine_.socket = socket
    bare.engine_.mode = "daemon"
    app = console(bare)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:

        def top() -> str:
            return app.screen.query_one(HeaderBar).render_line(0).text

        await until(pilot, lambda: "daemon of ops · " in top())
        assert socket not in top()
        said = [notice.message for notice in app._notifications]
        assert [text for text in said if text.startswith("Attached to the daemon of ops: process ")] != []
        assert any(f"socket {socket}." in text for text in said)
        await pilot.resize_terminal(150, 40)
        await until(pilot, lambda: socket in top())
