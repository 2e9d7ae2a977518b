"""Keys mean what they say when they come in a burst, as over a slow line or from somebody who types ahead.

Textual hands a key to the widget that has the focus, and looks for its binding only once the key has come
back up from there. The keys behind it are handed out in between: of `b`, backspace, `c` the backspace takes
the `c`; of space and tab, the space reaches the next field. Here a key waits until the one before it has
done all that it does, and what it opens has its cursor.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from textual import events
from textual.app import App
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.widget import Widget

from victor_tui.screen_lifecycle import Passing

ResultT = TypeVar("ResultT")

PATIENCE = 1.0
"""Seconds after which a key that has not come back no longer holds up those behind it."""
_LOOK = 0.02
"""Seconds between looks whether what a key was sent to is still there."""


class KeyQueue:
    """Hands one key after the other to an application. `deliver` gives an event to it."""

    class Handled(Message):
        """Follows a key through the same queues, from `target` up to the App, twice.

        Its binding runs once the key has come up; what that sends to the target is followed the second time.
        """

        def __init__(self, target: MessagePump) -> None:
            super().__init__()
            self.target = target
            self.again = True

    def __init__(self, app: App[Any], deliver: Callable[[events.Event], Awaitable[None]]) -> None:
        self._app = app
        self._deliver = deliver
        self._behind: deque[events.Event] = deque()
        self.under_way: KeyQueue.Handled | None = None
        """What follows the key that is being handled."""
        self._look: asyncio.TimerHandle | None = None
        self._entered: Screen[Any] | None = None
        """The screen that was there, with all that is on it, when the last key came."""
        self._input_at = float("-inf")

    @property
    def lull(self) -> float:
        """Seconds since the last key, click or paste."""
        return asyncio.get_running_loop().time() - self._input_at

    async def add(self, event: events.Event) -> None:
        """Take a key, click or paste. Deliver it at once if none is being handled."""
        self._input_at = asyncio.get_running_loop().time()
        self._behind.append(event)
        if self.under_way is None:
            await self._let_in_what_waits()

    async def _let_in_what_waits(self) -> None:
        while self._behind and self.under_way is None:
            if self._app.screen is not self._entered:
                # What comes back from it has gone behind its mounting, and the call that sets its focus.
                self._entered = self._app.screen
                self._follow(self.Handled(self._app.screen))
            else:
                await self._let_in(self._behind.popleft())

    async def _let_in(self, event: events.Event) -> None:
        screen = self._app.screen
        if isinstance(event, events.Key) and isinstance(screen, Passing) and screen.typed_ahead(event.key):
            return
        target = self._app.focused or screen
        await self._deliver(event)
        if isinstance(event, events.Key | events.Paste):
            # Also where a binding has taken the key before the widget saw it.
            self._follow(self.Handled(target))

    def _follow(self, message: Handled) -> None:
        if message.target.post_message(message):
            self.under_way = message
            self._look_after(message, asyncio.get_running_loop().time() + PATIENCE)
        else:  # it is being taken away
            self.under_way = None

    def _look_after(self, message: Handled, until: float) -> None:
        """A dialog that a key has closed takes with it what followed the key."""
        loop = asyncio.get_running_loop()
        if loop.time() < until and self._is_there(message.target):
            self._look = loop.call_later(_LOOK, self._look_after, message, until)
        else:
            self.handled(message)

    def _is_there(self, target: MessagePump) -> bool:
        return not isinstance(target, Widget) or (
            target.is_attached
            and any(screen in target.ancestors_with_self for screen in self._app.screen_stack)
        )

    def handled(self, message: Handled) -> None:
        """Go on after what followed a key has come up."""
        if message is self.under_way:
            if self._look is not None:
                self._look.cancel()
            # Behind the calls that the key has left, such as those that set the focus.
            self._app.call_later(self._next, message)

    async def _next(self, message: Handled) -> None:
        if message is not self.under_way:
            return
        self.under_way = None
        if message.again:
            again = self.Handled(message.target)
            again.again = False
            self._follow(again)
        await self._let_in_what_waits()


class InOrder(App[ResultT]):
    """An App that takes one key after the other."""

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
