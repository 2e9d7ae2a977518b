"""The session of one console: its messages, its own actions, and the visited screens."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from victor_engine.api import Port, PortMethod, methods
from victor_engine.errors import VictorError
from victor_tui.inverses import Inverse, inverse, state_before
from victor_tui.recent_things import RecentThings
from victor_tui.shell_commands import shell_command

_KEPT = 500
"""Maximum number of kept messages and actions."""
_PLACES = 100
"""Maximum number of kept places."""


@dataclass(frozen=True, slots=True)
class Told:
    """One message that the console showed."""

    at: datetime
    severity: str
    title: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """One action of this console that the engine accepted."""

    at: datetime
    name: str
    arguments: Mapping[str, Any]
    before: Any = None
    """The state that the action changed, if undoing or repeating it needs that."""
    result: Any = None

    @property
    def target(self) -> str:
        """The object of the action, such as the id of a run; empty for the engine."""
        names = ("run_id", "schedule_id", "request_id", "backfill_id", "workflow")
        spec = self.arguments.get("spec")
        found = (self.arguments.get(name) or getattr(spec, name, None) for name in names)
        return next((str(each) for each in found if each), "")

    @property
    def words(self) -> str:
        """The action and its object, such as `pause run k1`."""
        return f"{self.name.replace('_', ' ')} {self.target}".strip()

    @property
    def command(self) -> str | None:
        """The equivalent shell command, or None."""
        return shell_command(self.name, self.arguments, self.before, self.result)

    @property
    def inverse(self) -> Inverse | None:
        """The method that undoes the action, and its arguments, or None."""
        return inverse(self.name, self.arguments, self.before, self.result)


@dataclass(frozen=True, slots=True)
class Place:
    """A visited screen: its mode, its title, and the object that it shows."""

    mode: str
    screen: str
    of: str = ""


class Session:
    """The messages and actions of one console, and the visited screens. `now` returns the current time."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.told: deque[Told] = deque(maxlen=_KEPT)
        self.done: deque[Done] = deque(maxlen=_KEPT)
        self._undone: list[Done] = []
        """The actions that were undone, or that undid one."""
        self.recent = RecentThings()
        """The things that were opened from the palette."""
        self._recorder: tuple[Port, Port] | None = None
        self._places: list[tuple[Place, Callable[[], None]]] = []
        self._at = -1
        self._target: Place | None = None

    def tell(self, severity: str, title: str, text: str) -> None:
        """Keep a message."""
        self.told.appendleft(Told(self._now(), severity, title, text))

    # --- actions --------------------------------------------------------------------------------

    def recorded(self, port: Port) -> Port:
        """Return the port with every accepted action recorded."""
        if self._recorder is None or self._recorder[0] is not port:
            self._recorder = port, cast("Port", _Recorder(port, self))
        return self._recorder[1]

    def add(self, method: PortMethod, arguments: Mapping[str, Any], before: Any, result: Any) -> None:
        """Keep an accepted action."""
        self.done.appendleft(Done(self._now(), method.name, dict(arguments), before, result))

    def newest(self, names: tuple[str, ...]) -> Done | None:
        """Return the newest action with one of these names that was not undone, or None."""
        return next((each for each in self.done if each.name in names and each not in self._undone), None)

    def mark_undone(self, *done: Done) -> None:
        """Mark actions that were undone, or that undid one, so that they are not undone again."""
        self._undone.extend(done)

    # --- visited screens ------------------------------------------------------------------------

    def visit(self, place: Place, reopen: Callable[[], None]) -> None:
        """Keep a visited screen. Later screens are forgotten, as in a browser."""
        if self._target is not None:
            if place == self._target:
                self._target = None
            return
        if self._places and self._places[self._at][0] == place:
            return
        del self._places[self._at + 1 :]
        self._places.append((place, reopen))
        del self._places[:-_PLACES]
        self._at = len(self._places) - 1

    def step(self, by: int) -> Callable[[], None] | None:
        """Return the function that opens the screen before (-1) or after (1) the current one, or None."""
        self._target = None
        if not 0 <= self._at + by < len(self._places):
            return None
        self._at += by
        self._target, reopen = self._places[self._at]
        return reopen


class _Recorder:
    """A port that records the actions that the engine accepted."""

    def __init__(self, port: Port, session: Session) -> None:
        self._port = port
        self._session = session

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        method = methods().get(name)
        if method is None or method.kind != "action":
            return value

        async def call(*given: Any, **named: Any) -> Any:
            arguments = method.arguments(given, named)
            try:
                before = await state_before(self._port, name, arguments)
            except VictorError:
                before = None  # the action raises it, or can be taken, but not undone
            result = await value(*given, **named)
            self._session.add(method, arguments, before, result)
            return result

        return call
