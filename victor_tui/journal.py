"""The session of one console: its messages, its own actions, and the visited screens."""

from __future__ import annotations

import json
import shlex
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from msgspec import UNSET

from victor_engine.api import Answer, Port, PortMethod, methods
from victor_tui.recent_things import RecentThings

_KEPT = 500
"""Maximum number of kept messages and actions."""
_PLACES = 100
"""Maximum number of kept places."""

INVERSE: Mapping[str, str] = {
    "pause_run": "resume_run",
    "resume_run": "pause_run",
    "pause_schedule": "resume_schedule",
    "resume_schedule": "pause_schedule",
    "pause_backfill": "resume_backfill",
    "resume_backfill": "pause_backfill",
    "claim": "release",
    "release": "claim",
    "deprecate": "restore_version",
    "remove_version": "restore_version",
    "drain": "undrain",
    "undrain": "drain",
}
"""The action that undoes an action. Others cannot be undone."""

_SHELL: Mapping[str, str] = {
    "start_run": "run {workflow}",
    "cancel_run": "runs cancel {run_id}",
    "pause_run": "runs pause {run_id}",
    "resume_run": "runs resume {run_id}",
    "retry_run": "runs retry {run_id}",
    "rerun": "runs rerun {run_id}",
    "redrive_run": "runs redrive {run_id}",
    "discard_run": "runs discard {run_id}",
    "pause_schedule": "scheduler pause {schedule_id}",
    "resume_schedule": "scheduler resume {schedule_id}",
    "skip_next": "scheduler skip {schedule_id}",
    "trigger_schedule": "scheduler trigger {schedule_id}",
    "remove_schedule": "scheduler remove {schedule_id}",
    "pause_backfill": "scheduler backfill pause {backfill_id}",
    "resume_backfill": "scheduler backfill resume {backfill_id}",
    "cancel_backfill": "scheduler backfill cancel {backfill_id}",
    "claim": "inbox claim {request_id}",
    "release": "inbox release {request_id}",
    "undo_answer": "inbox undo {request_id}",
    "ask_requester": "inbox ask-back {request_id} {question}",
    "reply": "inbox reply {request_id} {text}",
    "reassign": "inbox reassign {request_id}",
    "delegate": "inbox delegate {request_id} {to}",
    "push_back": "inbox push-back {request_id} {to_node}",
    "override_node": "runs override {run_id} {node_id}",
    "set_alias": "versions alias {workflow} {alias} {version}",
    "promote_alias": "versions promote {workflow} {alias}",
    "deprecate": "versions deprecate {workflow} {version}",
    "remove_version": "versions remove {workflow} {version}",
    "restore_version": "versions restore {workflow} {version}",
    "roll_back_alias": "versions rollback {workflow} {alias}",
    "unmigrate_run": "versions undo {run_id}",
    "unmigrate_runs": "versions undo --batch {batch}",
    "drain": "scheduler drain",
    "undrain": "scheduler undrain",
    "trust": "trust",
}
"""The command of each action whose arguments fit into one line. An argument that has no place here is left out,
unless it changes the effect: then the action has no command."""
_VERDICTS = {"approved": "approve", "rejected": "reject"}
_OPTIONS: Mapping[str, str] = {
    "version": "--version",
    "from_node": "--from",
    "state": "--state",
    "rewind": "--rewind",
    "timeout": "--timeout",
    "max_attempts": "--max-attempts",
    "retry_now": "--retry-now",
    "onto": "--onto",
    "message": "--message",
    "successor": "--successor",
    "comment": "--comment",
    "note": "--note",
}
"""The option of each argument that has no place in the line. True is an option alone, and an object is JSON."""
_CHANGES_THE_EFFECT = ("until", "removal", "nominal", "restart_children")


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

    @property
    def target(self) -> str:
        """The object of the action, such as the id of a run; empty for the engine."""
        names = ("run_id", "schedule_id", "request_id", "backfill_id", "workflow")
        return next((str(self.arguments[name]) for name in names if name in self.arguments), "")

    @property
    def words(self) -> str:
        """The action and its object, such as `pause run k1`."""
        return f"{self.name.replace('_', ' ')} {self.target}".strip()

    @property
    def command(self) -> str | None:
        """The equivalent shell command, or None."""
        if self.name == "answer":
            return _answer_command(self.target, self.arguments["answer"])
        pattern = _SHELL.get(self.name)
        given = {name: value for name, value in self.arguments.items() if value not in (None, "", False, {})}
        if pattern is None or any(name in given for name in _CHANGES_THE_EFFECT):
            return None
        words = [word.format(**self.arguments) for word in pattern.split()]
        words += given.get("assignees", ())
        if "other" in given:
            words += ["--split", str(given["other"]), str(given.get("weight", 0))]
        for name, option in _OPTIONS.items():
            if name in given and f"{{{name}}}" not in pattern:
                words += [option] if given[name] is True else [option, _word(given[name])]
        return "victor " + shlex.join(words)

    @property
    def inverse(self) -> tuple[str, dict[str, Any]] | None:
        """The method that undoes the action, and its arguments, or None."""
        name = INVERSE.get(self.name)
        if name is None:
            return None
        wanted = methods()[name].signature.parameters
        return name, {key: self.arguments[key] for key in wanted if key in self.arguments and key != "note"}


def _word(value: Any) -> str:
    """Return a value as one word of a command: an object as JSON, a number without needless decimals."""
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _answer_command(request_id: str, answer: Answer) -> str | None:
    """Return the shell command of an approval or a rejection. Other answers can be long."""
    if answer.outcome == "answered" or answer.value is not UNSET:
        return None
    words = ["victor", "inbox", "answer", request_id, _VERDICTS[answer.outcome]]
    return shlex.join([*words, "--comment", answer.comment] if answer.comment else words)


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

    def add(self, method: PortMethod, arguments: Mapping[str, Any]) -> None:
        """Keep an accepted action."""
        self.done.appendleft(Done(self._now(), method.name, dict(arguments)))

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
            result = await value(*given, **named)
            self._session.add(method, method.arguments(given, named))
            return result

        return call
