"""What a worker process is asked for, and what it answers. All of it crosses a pipe as JSON."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from victor_engine.api import ProblemInfo, ScheduleSpec
from victor_engine.config import Config
from victor_engine.errors import VictorError
from victor_engine.scheduling.declarations import place_of

Problem = tuple[str | None, ProblemInfo]
"""A problem, with the workflow that it concerns if it is one alone."""


class LoadingError(VictorError):
    """The files of a workspace could not be read, because of the process that reads them."""

    code = "loading"
    exit_code = 1


class LimitError(Exception):
    """Reading something took more than its budget. `what` is the resource, `line` (from 1) where it was."""

    def __init__(self, what: str, line: int = 0) -> None:
        super().__init__(f"reading it takes too much {what}")
        self.what = what
        self.line = line


class WorkflowPiece(Struct, frozen=True, kw_only=True):
    """One workflow of one file, as far as an engine needs it before a run starts on it.

    `content` is JSON. `scheduled` says whether it declares a schedule, `spec` which one if that has no
    fault. `work` are the nodes that need somebody to do their work, `starts` maps nodes to the workflows
    that they start.
    """

    name: str
    version: str | None
    path: str
    text: str
    content: Raw
    checksum: str
    migrations: tuple[dict[str, Any], ...] = ()
    deprecated: Any = None
    scheduled: bool = False
    spec: ScheduleSpec | None = None
    schedule_places: dict[str, tuple[int, int]] = {}
    work: tuple[str, ...] = ()
    starts: dict[str, str] = {}

    def problem(self, fault: str) -> ProblemInfo:
        """What is wrong with its `schedule:` block, where that stands."""
        line, column = place_of(fault, self.schedule_places)
        return ProblemInfo(severity="error", message=fault, path=self.path, line=line, column=column)


class FilePiece(Struct, frozen=True, kw_only=True):
    """One workflow file. `sources` are the digests of the texts that were read for it, by path.

    `faulty` says that it has errors, so that a workflow in it may be missing. `people` are whom its
    questions name.
    """

    path: str
    sources: dict[str, str] = {}
    problems: tuple[Problem, ...] = ()
    workflows: tuple[WorkflowPiece, ...] = ()
    faulty: bool = False
    people: tuple[str, ...] = ()


class CalendarPiece(Struct, frozen=True, kw_only=True):
    """One calendar. `block` is the mapping that it was read from, else it is an iCalendar file.

    Then `single` are the events that do not recur (start, end and name; a bare date is a whole day) and
    `recurring` is an iCalendar file of those that do. `weight` says how much work a month of it is.
    """

    name: str
    path: str | None
    weight: float
    timezone: str | None = None
    block: dict[str, Any] | None = None
    single: tuple[tuple[str, str, str], ...] = ()
    recurring: str = ""


class Opened(Struct, frozen=True):
    """The settings of a workspace (`Config` as JSON, without its calendars) and its workflow files.

    `calendars` are those that are declared, with the path of their file, or none for a mapping.
    """

    config: Raw
    files: tuple[str, ...]
    calendars: dict[str, str | None]


class Around(Struct, frozen=True):
    """What the problems of a file depend on beside its text: a digest for all files, and a word for each of `people`."""

    digest: str
    people: dict[str, str]


class Request(Struct, tag=True, frozen=True):
    """A question to a worker process. `seconds` of processor time may be spent on it."""

    seconds: float


class Open(Request, frozen=True):
    """Read the configuration. All other requests are about the workspace that was opened last."""

    workspace: str
    settings: dict[str, Any]
    config_file: str | None
    environ: dict[str, str]


class ReadFile(Request, frozen=True):
    """Read one workflow file. `functions` are the names that expressions may call beside the built-in ones."""

    path: str
    functions: tuple[str, ...]


class ReadCalendar(Request, frozen=True):
    """Read a declared calendar, or with a path a file of the workspace."""

    name: str
    path: str | None = None


class Spans(Request, frozen=True):
    """Return what overlaps the days from `first` to `last` in a zone: start and end in microseconds, and name.

    `key` identifies the calendar. `piece` is left out where the process knows it by its key.
    """

    key: str
    piece: CalendarPiece | None
    first: date
    last: date
    zone: str


class Surroundings(Request, frozen=True):
    """Look up `Around`: settings, functions, programs, and the people whom files name."""

    functions: tuple[str, ...]
    people: tuple[str, ...]


class Together(Request, frozen=True):
    """Check the workflows of all files together. Only names, paths, `work` and `starts` are looked at."""

    workflows: tuple[WorkflowPiece, ...]


Requests = Open | ReadFile | ReadCalendar | Spans | Surroundings | Together


class Answer(Struct, frozen=True, omit_defaults=True):
    """Either a value, or an error of the engine, or the limit that was reached (near `line`), or a fault of ours.

    `spent` says that the process has used much memory and is not to be used again.
    """

    value: Raw = Raw()
    error: dict[str, Any] | None = None
    limit: str = ""
    line: int = 0
    fault: str = ""
    spent: bool = False


def _path_text(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} does not cross the pipe")


def _path(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise TypeError(f"{kind.__name__} does not cross the pipe")


encode = msgspec.json.Encoder(enc_hook=_path_text).encode
decode_request = msgspec.json.Decoder(Requests).decode
decode_answer = msgspec.json.Decoder(Answer).decode
decode_config = msgspec.json.Decoder(Config, dec_hook=_path).decode
