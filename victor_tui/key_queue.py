"""A queue that handles keys one after the other, also if they arrive in a burst.

Textual sends a key to the focused widget, and looks for its binding only after the key has bubbled up. Later
keys are sent in between: of `b`, backspace, `c` the backspace deletes the `c`; of space and tab, the space
reaches the next field. In this queue a key waits until the previous one is handled completely, and until a
dialog that it opened has the focus. An action that asks the engine before it opens a dialog holds the keys.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from textual import events
from textual.app import App
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.widget import Widget

from victor_tui.screen_lifecycle import ManagedScreen, PreparesForKeys
from victor_tui.textual_compat import ChangedCellsApp

ResultT = TypeVar("ResultT")

KEY_TIMEOUT = 1.0
"""Time in seconds after which an unhandled key no longer blocks later keys."""
OPEN_TIMEOUT = 3.0
"""Time in seconds for which keys wait until an action has opened its dialog. Then its answer comes too late for them."""
_CHECK_INTERVAL = 0.02
"""Time in seconds between checks that the target of a key still exists."""
_HOLD_INTERVAL = 0.005
"""Time in seconds between checks that keys are still held."""


class KeyQueue:
    """The key queue of an application. `deliver` passes an event to the application."""

    class Handled(Message):
        """A message that follows a key through the same queues, from `target` up to the application, twice.

        The binding runs after the key has bubbled up. The second pass waits for the messages of the binding.
        """

        def __init__(self, target: MessagePump) -> None:
            super().__init__()
            self.target = target
            self.again = True

    def __init__(self, app: App[Any], deliver: Callable[[events.Event], Awaitable[None]]) -> None:
        self._app = app
        self._deliver = deliver
        self._waiting: deque[events.Event] = deque()
        self.pending: KeyQueue.Handled | None = None
        """The message that follows the current key."""
        self._check: asyncio.TimerHandle | None = None
        self._entered: Screen[Any] | None = None
        """The screen at the time of the last key."""
        self._holding: list[Screen[Any]] = []
        """The screens from which actions open a dialog."""
        self._held_until: float | None = None
        """When held keys no longer wait; None while no key waits for a dialog."""
        self._retrying = False
        self._input_at = float("-inf")

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Let keys wait while the current screen has no dialog above it: the keys belong to the dialog that will open."""
        screen = self._app.screen
        self._holding.append(screen)
        try:
            yield
        finally:
            if screen in self._holding:  # not after the timeout
                self._holding.remove(screen)

    @property
    def idle(self) -> bool:
        """Whether all keys are handled."""
        return self.pending is None and not self._waiting

    @property
    def idle_seconds(self) -> float:
        """Time in seconds since the last key, click or paste."""
        return asyncio.get_running_loop().time() - self._input_at

    async def add(self, event: events.Event) -> None:
        """Add a key, click or paste. Deliver it now if no other is being handled."""
        self._input_at = asyncio.get_running_loop().time()
        self._waiting.append(event)
        if self.pending is None:
            await self._deliver_waiting()

    async def _deliver_waiting(self) -> None:
        while self._waiting and self.pending is None:
            if self._is_held():
                self._retry()
                return
            if self._app.screen is not self._entered:
                # The message returns after the screen is mounted and its focus is set.
                self._entered = self._app.screen
                self._follow(self.Handled(self._app.screen))
            else:
                await self._deliver_event(self._waiting.popleft())

    def _is_held(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._app.screen not in self._holding:
            self._held_until = None
            return False
        if self._held_until is None:
            self._held_until = now + OPEN_TIMEOUT
        if now >= self._held_until:
            self._holding.clear()
            self._held_until = None
            return False
        return True

    def _retry(self) -> None:
        """Deliver the held keys a little later."""
        if self._retrying:
            return
        self._retrying = True

        async def deliver() -> None:
            self._retrying = False
            if self.pending is None:
                await self._deliver_waiting()

        asyncio.get_running_loop().call_later(_HOLD_INTERVAL, self._app.call_later, deliver)

    async def _deliver_event(self, event: events.Event) -> None:
        screen = self._app.screen
        if isinstance(event, events.Key):
            if isinstance(screen, ManagedScreen) and screen.typed_ahead(event.key):
                return
            if isinstance(screen, PreparesForKeys):
                screen.before_key(event.key)
        target = self._app.focused or screen
        await self._deliver(event)
        if isinstance(event, events.Key | events.Paste):
            # Also if a priority binding handled the key before the widget.
            self._follow(self.Handled(target))

    def _follow(self, message: Handled) -> None:
        if message.target.post_message(message):
            self.pending = message
            self._watch_target(message, asyncio.get_running_loop().time() + KEY_TIMEOUT)
        else:  # the target is being removed
            self.pending = None

    def _watch_target(self, message: Handled, until: float) -> None:
        """Stop waiting when the target is removed: a dialog that a key closes also removes the message."""
        loop = asyncio.get_running_loop()
        if loop.time() < until and self._exists(message.target):
            self._check = loop.call_later(_CHECK_INTERVAL, self._watch_target, message, until)
        else:
            self.handled(message)

    def _exists(self, target: MessagePump) -> bool:
        return not isinstance(target, Widget) or (
            target.is_attached
            and any(screen in target.ancestors_with_self for screen in self._app.screen_stack)
        )

    def handled(self, message: Handled) -> None:
        """Continue after the message of a key has bubbled up."""
        if message is self.pending:
            if self._check is not None:
                self._check.cancel()
            # After the pending calls of the key, such as changes of the focus.
            self._app.call_later(self._next, message)

    async def _next(self, message: Handled) -> None:
        if message is not self.pending:
            return
        self.pending = None
        if message.again:
            again = self.Handled(message.target)
            again.again = False
            self._follow(again)
        await self._deliver_waiting()


class KeyQueueApp(ChangedCellsApp[ResultT]):
    """An application that handles one key after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.key_queue = KeyQueue(self, super().on_event)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.InputEvent | events.Paste) and not event.is_forwarded:
            await self.key_queue.add(event)
        else:
            await super().on_event(event)

    def on_key_queue_handled(self, message: KeyQueue.Handled) -> None:
        message.stop()
        self.key_queue.handled(message)
