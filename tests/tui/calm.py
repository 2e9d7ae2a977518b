"""Waiting until a console has nothing left to do, whatever the speed of the machine.

Textual's own `Pilot.pause` takes an application for idle when the process used little processor time for
20 ms, which a busy machine grants to one that merely has to wait for its turn.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from textual.app import App
from textual.message_pump import MessagePump
from textual.pilot import Pilot
from textual.worker import Worker, WorkerState

from tests.tui.one_thread import OneThreadLoop
from victor_tui.app import VictorApp
from victor_tui.dialogs.base import Dialog
from victor_tui.key_queue import KeyQueueApp

_ROUNDS = 500
"""Looks after which an application counts as one that waits for something outside."""
_CALM = 3
"""Calm looks in a row after which nothing more comes."""

_pause = Pilot.pause


async def pause(self: Pilot[Any], delay: float | None = None) -> None:
    """In place of `Pilot.pause`: without a delay, return when nothing is left to do."""
    await _rest(self, delay, Pilot._wait_for_screen)


async def quick_pause(self: Pilot[Any], delay: float | None = None) -> None:
    """Do the same in a `OneThreadLoop`, which knows what is left to do: no widget gets a message for it."""
    await _rest(self, delay, _messages_are_handled)


async def quick_press(self: Pilot[Any], *keys: str) -> None:
    """In place of `Pilot.press`, which sleeps for at least 40 ms at each key: wait until nothing is left to do."""
    for key in keys:
        await self.app._press_keys([key])
        await quick_pause(self)


async def no_sleep(min_sleep: float = 0, max_sleep: float = 1) -> None:
    """In place of the function with which Textual sleeps at a key: `quick_press` waits instead."""


async def _rest(
    pilot: Pilot[Any], delay: float | None, handled: Callable[[Pilot[Any]], Awaitable[bool]]
) -> None:
    if delay is not None:
        await _pause(pilot, delay)
        return
    calm = 0
    for _ in range(_ROUNDS):
        await asyncio.sleep(0.001)
        if not _is_calm(pilot.app):
            calm = 0
            continue
        if not await handled(pilot):
            return
        pilot.app.screen._on_timer_update()
        calm = calm + 1 if _is_calm(pilot.app) else 0
        if calm == _CALM:
            return


async def _messages_are_handled(pilot: Pilot[Any]) -> bool:
    """Wait for all messages. Return False if the application has failed or ended."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, OneThreadLoop)
    await loop.idle()
    return bool(pilot.app.screen_stack) and not pilot.app._exception_event.is_set()


def _is_calm(app: App[Any]) -> bool:
    if any(_is_busy(worker) for worker in app.workers):
        return False
    feed = app.feed if isinstance(app, VictorApp) else None
    if feed is not None and feed.port is not None and (feed._wake.is_set() or getattr(feed.port, "busy", 0)):
        return False
    if feed is not None and feed.port is None and not app.lost:
        return False
    if isinstance(app, KeyQueueApp) and not app.key_queue.idle:
        return False
    if any(isinstance(screen, Dialog) and screen.debounce.is_pending for screen in app.screen_stack):
        return False
    return all(pump._message_queue.empty() and not pump._next_callbacks for pump in _pumps(app))


def _is_busy(worker: Worker[Any]) -> bool:
    """Whether something comes of it by itself: the feed works for ever, a dialog waits for keys."""
    if worker.state is not WorkerState.RUNNING or worker.group == "feed":
        return False
    waits = None if worker._task is None else worker._task.get_coro()
    while inspect.iscoroutine(deeper := getattr(waits, "cr_await", None)):
        waits = deeper
    return getattr(waits, "cr_code", None) is not App.push_screen_wait.__code__


def _pumps(app: App[Any]) -> Iterator[MessagePump]:
    yield app
    for screen in app.screen_stack:
        yield from screen.walk_children(with_self=True)
