"""A console on a real engine, with a clock that stands still and a cursor that does not blink."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC
from typing import Any

import pytest
import textual.app
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot
from textual.widgets import Button, Input, TextArea

from tests.tui import calm
from tests.tui.one_thread import OneThreadLoop, stores_in_the_loop
from tests.tui.painting import painting_sparingly
from tests.tui.pictures import Pictures
from tests.tui.realport import RealPort
from tests.tui.world import SHARED, World, make_world
from victor_engine.identity import acting_as
from victor_tui import screen_lifecycle
from victor_tui.app import VictorApp
from victor_tui.dialogs import base


def console(port: RealPort, theme: str = "victor-dark") -> VictorApp:
    """An app on `port` that refreshes without delay and shows instants in UTC."""
    with acting_as(port.actor):
        return VictorApp(port.connect, clock=port.console_clock, zone=UTC, theme=theme, interval=0)


async def until(pilot: Pilot[Any], condition: Callable[[], object]) -> None:
    """Wait until something holds; the limit is only for what never comes."""
    for _ in range(1500):
        if condition():
            return
        await pilot.pause(0.01)
    raise AssertionError("it never came to that")


@pytest.fixture(autouse=True)
def _the_speed_of_the_machine_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pilot, "pause", calm.pause)
    monkeypatch.setattr(screen_lifecycle, "QUIET", 0.001)
    monkeypatch.setattr(base, "HOLD", 0.0)  # the clock stands still
    for widget in (Input, TextArea):
        monkeypatch.setattr(widget.cursor_blink, "_default", False)
    # A button that was pressed takes no second press for 200 ms.
    monkeypatch.setattr(Button, "_start_active_affect", lambda button: None)


@pytest.fixture
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Press keys without the sleeps of Textual. A module with pictures and many keys uses it for all of its tests."""
    monkeypatch.setattr(Pilot, "pause", calm.quick_pause)
    monkeypatch.setattr(Pilot, "press", calm.quick_press)
    monkeypatch.setattr(textual.app, "wait_for_idle", calm.no_sleep)


@pytest.fixture
def painted() -> None:
    """Paint each change of a screen. A module that compares what is drawn uses it for all of its tests."""


@pytest.fixture(autouse=True)
def _nothing_takes_time_that_no_test_looks_at(request: pytest.FixtureRequest) -> Iterator[None]:
    if {"pictures", "painted"} & set(request.fixturenames):
        yield
        return
    request.getfixturevalue("quick_keys")
    with painting_sparingly():
        yield


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust and configuration of the person who runs the tests are not touched."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "VICTOR_STATE"):
        monkeypatch.delenv(name, raising=False)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run tests, engines and consoles in one thread: the order of what happens is the same on each machine."""
    return {"one-thread": OneThreadLoop}


@pytest.fixture(autouse=True, scope="session")
def _stores_in_the_loop() -> Iterator[None]:
    with stores_in_the_loop():
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_day_for_all_processes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Processes of pytest-xdist have base directories next to each other."""
    base = tmp_path_factory.getbasetemp()
    SHARED[:] = [base.parent if "PYTEST_XDIST_WORKER" in os.environ else base]


@pytest.fixture
async def bare() -> AsyncIterator[RealPort]:
    """A port on an engine without workflows; tests add what they need."""
    port = await RealPort().open()
    yield port
    await port.end()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A port on an engine with a day behind it, on which nothing is at work."""
    port = make_world()
    await port.open()
    yield port
    await port.end()


@pytest.fixture
async def live() -> AsyncIterator[World]:
    """The same, with runs at work, one that hangs, one that is queued, and one that does not want to end."""
    port = make_world(live=True)
    await port.open()
    yield port
    await port.end()


@pytest.fixture
def pictures(snapshot: SnapshotAssertion) -> Iterator[Pictures]:
    """Compare pictures. The test fails at its end if some differ."""
    found = Pictures(snapshot, console)
    yield found
    if found.wrong:
        pytest.fail(f"These pictures differ from the stored ones: {', '.join(found.wrong)}", pytrace=False)
