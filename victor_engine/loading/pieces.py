"""The requests to a worker process and its responses, as JSON on a pipe."""

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
"""A problem, and the name of its workflow, or None if it concerns several."""


class LoadingError(VictorError):
    """The files of a workspace could not be read because of the process that reads them."""

    code = "loading"
    exit_code = 1


class LimitError(Exception):
    """A read exceeded its budget. `what` is the resource, `line` (from 1) the line that was read."""

    def __init__(self, what: str, line: int = 0) -> None:
        super().__init__(f"the read needs too much {what}")
        self.what = what
        self.line = line


class WorkflowPiece(Struct, frozen=True, kw_only=True):
    """One workflow of one file, with the data that an engine needs before a run starts.

    `content` is JSON. `scheduled` is whether it declares a schedule, and `spec` its spec unless that has errors.
    `work` are the nodes that need a binding, and `bindings` the keys of their bindings (`handlers.charge`); `starts`
    maps nodes to the workflows that they start. `asks_secrets` is whether a request of it has secret fields. `refused`
    are the errors that it has if its content is new.
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
    asks_secrets: bool = False
    refused: tuple[ProblemInfo, ...] = ()
    bindings: tuple[str, ...] = ()

    def problem(self, error: str) -> ProblemInfo:
        """Return an error of its `schedule:` block with its location."""
        line, column = place_of(error, self.schedule_places)
        return ProblemInfo(severity="error", message=error, path=self.path, line=line, column=column)


class FilePiece(Struct, frozen=True, kw_only=True):
    """One workflow file. `sources` are the digests of the texts that were read for it, by path.

    `again` is whether the next load reads it again, also if nothing changed. `has_errors` means that a workflow in it
    may be missing. `people` are the assignees that its requests name.
    """

    path: str
    sources: dict[str, str] = {}
    problems: tuple[Problem, ...] = ()
    workflows: tuple[WorkflowPiece, ...] = ()
    has_errors: bool = False
    people: tuple[str, ...] = ()
    again: bool = False


class CalendarPiece(Struct, frozen=True, kw_only=True):
    """One calendar, either from the mapping `block` or from an iCalendar file.

    For a file, `single` are the events that do not recur (start, end and name; a date is a whole day), and
    `recurring` is an iCalendar file with those that recur. `weight` estimates the work to compute a month.
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

    `calendars` are the declared calendars with the path of their file, or None for a mapping.
    """

    config: Raw
    files: tuple[str, ...]
    calendars: dict[str, str | None]


class FileContext(Struct, frozen=True):
    """The facts outside a file on which its problems depend: a digest, and the status of each of `people`."""

    digest: str
    people: dict[str, str]


class Request(Struct, tag=True, frozen=True):
    """A request to a worker process. `seconds` is its limit of processor time."""

    seconds: float


class Open(Request, frozen=True):
    """Read the configuration. The other requests are about the workspace that was opened last."""

    workspace: str
    settings: dict[str, Any]
    config_file: str | None
    environ: dict[str, str]


class ReadFile(Request, frozen=True):
    """Read one workflow file. `functions` are the functions, besides the built-in ones, that expressions can call."""

    path: str
    functions: tuple[str, ...]


class ReadCalendar(Request, frozen=True):
    """Read a declared calendar, or with `path` a calendar file."""

    name: str
    path: str | None = None


class Spans(Request, frozen=True):
    """Return the entries that overlap the days from `first` to `last`: start and end in microseconds, and name.

    `key` identifies the calendar. `piece` is None if the process has it already.
    """

    key: str
    piece: CalendarPiece | None
    first: date
    last: date
    zone: str


class LookUpContext(Request, frozen=True):
    """Look up `FileContext`: settings, functions, programs, and the people that files name."""

    functions: tuple[str, ...]
    people: tuple[str, ...]


class ReadContent(Request, frozen=True):
    """Read the files of the content besides the workflow files: `Content`. `functions` are those of migrations."""

    functions: tuple[str, ...]


class CheckAll(Request, frozen=True):
    """Check the workflows of all files together, by their names, paths, `work` and `starts`."""

    workflows: tuple[WorkflowPiece, ...]


Requests = Open | ReadFile | ReadCalendar | Spans | LookUpContext | ReadContent | CheckAll


class Answer(Struct, frozen=True, omit_defaults=True):
    """A response: a value, an error of the engine, an exceeded limit (near `line`), or an internal error.

    `spent` is whether the process has used so much memory that it must be replaced.
    """

    value: Raw = Raw()
    error: dict[str, Any] | None = None
    limit: str = ""
    line: int = 0
    internal_error: str = ""
    spent: bool = False


def _path_text(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be sent through the pipe")


def _path(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise TypeError(f"{kind.__name__} cannot be sent through the pipe")


encode = msgspec.json.Encoder(enc_hook=_path_text).encode
decode_request = msgspec.json.Decoder(Requests).decode
decode_answer = msgspec.json.Decoder(Answer).decode
decode_config = msgspec.json.Decoder(Config, dec_hook=_path).decode
