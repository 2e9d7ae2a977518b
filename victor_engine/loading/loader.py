"""The loader of a workspace. It combines the pieces, and reads only the files that have changed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec import Raw
from msgspec.structs import replace

from victor_engine.api import ProblemInfo
from victor_engine.config import Config
from victor_engine.config.content import FUNCTIONS, Content, inside
from victor_engine.config.judging import Judge, Judgement, judge_workspace
from victor_engine.definition.expressions.expression import FunctionRegistry
from victor_engine.errors import ConfigError, VictorError
from victor_engine.files import read_bounded, read_text_bounded, text_digest
from victor_engine.loading.calendar_worker import READING_SECONDS, CalendarWorker, too_expensive
from victor_engine.loading.calendars import ComputeSpans, calendar_of
from victor_engine.loading.pieces import (
    CalendarPiece,
    CheckAll,
    FileContext,
    FilePiece,
    LimitError,
    LoadingError,
    LookUpContext,
    Open,
    Problem,
    ReadCalendar,
    ReadContent,
    ReadFile,
    WorkflowPiece,
    decode_config,
)
from victor_engine.loading.reading import environment
from victor_engine.loading.worker_session import LocalSession, ReaderSession, WorkerSession
from victor_engine.scheduling.calendars.spans import Calendar
from victor_engine.scheduling.calendars.workspace_calendars import Calendars
from victor_engine.scheduling.calendars.yaml_calendars import MAX_BYTES, from_file
from victor_engine.versioning.migration_reader import migration_functions
from victor_engine.work.bindings import BindingTable
from victor_engine.work.content_guard import ContentGuard

SECONDS = 20.0
"""Maximum processor time for the configuration, for one workflow file, or for the check of all workflows."""

OVERTIME_LIMIT = 60.0
"""Total processor time of files over their budget in one load, after which `REDUCED_SECONDS` applies."""

REDUCED_SECONDS = 2.0
"""Maximum processor time for one workflow file after others have used up `OVERTIME_LIMIT`."""

_NOTHING = Raw(b"null")
_SMALLER = "Split the file, or simplify its content"


@dataclass(frozen=True, slots=True)
class Order:
    """The workspace to load, with settings that override all others. `judge` decides whether it is imported from."""

    workspace: Path
    settings: dict[str, Any]
    config_file: Path | None
    judge: Judge = judge_workspace
    environ: Mapping[str, str] | None = None
    """The environment of the settings; None for that of this process."""


@dataclass(slots=True)
class Loading:
    """The result of a load. A workflow in `files_with_errors` may be missing.

    `settings` are those of `victor.yaml` as text, with the digests of the calendars that are files.
    """

    config: Config
    bindings: BindingTable
    functions: FunctionRegistry
    calendars: Calendars
    judgement: Judgement
    files: list[Path] = field(default_factory=list)
    files_with_errors: set[Path] = field(default_factory=set)
    workflows: list[WorkflowPiece] = field(default_factory=list)
    assignees: set[str] = field(default_factory=set)
    calendar_errors: list[VictorError] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Known:
    """A file that was read, and the facts outside the file on which its problems depend."""

    context: FileContext
    piece: FilePiece

    def holds(self, context: FileContext) -> bool:
        """Return whether the file would give the same result if it were read again."""
        people = all(context.people.get(name) == word for name, word in self.context.people.items())
        return context.digest == self.context.digest and people and _unchanged(self.piece)


@dataclass(slots=True)
class _Memory:
    """The cache between loads, and the functions that compute expensive calendars."""

    spans: ComputeSpans | None
    read_calendar: Callable[[str, Path], Calendar]
    files: dict[str, _Known] = field(default_factory=dict)
    calendars: dict[str, tuple[str | None, str, Calendar | VictorError]] = field(default_factory=dict)


class Loader:
    """The loader of a workspace. Loads do not overlap.

    With `here` it reads in this process without limits, for the command line, which need not keep its event
    loop free.
    """

    def __init__(self, *, here: bool = False) -> None:
        self._here = here
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="victor-loading")
        self._session: ReaderSession | None = None
        self._closed = False
        self._calendars = CalendarWorker()
        self._memory = (
            _Memory(None, from_file) if here else _Memory(self._calendars.spans, self._calendars.read_file)
        )

    async def load(self, order: Order) -> Loading:
        """Load the workspace. Raise ConfigError for its configuration, LoadingError if nothing can be read."""
        session = LocalSession() if self._here else WorkerSession()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._load, order, session)
        except asyncio.CancelledError:
            session.end()
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                # The load was cancelled before it began, not its caller.
                raise LoadingError("the files are not read, because the engine stops") from None
            raise

    async def close(self) -> None:
        """Stop a current load, and the process of calendars."""
        self._closed = True
        if self._session is not None:
            self._session.end()
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._calendars.end)

    def _load(self, order: Order, session: ReaderSession) -> Loading:
        self._session = session
        try:
            return _Work(order, session, self._memory).load()
        finally:
            session.close()
            self._session = None


class _Work:
    """One load, in a thread."""

    def __init__(self, order: Order, session: ReaderSession, memory: _Memory) -> None:
        self._order = order
        self._session = session
        self._memory = memory
        self._overtime = 0.0

    def load(self) -> Loading:
        order = self._order
        try:
            opened = self._session.open(
                Open(
                    SECONDS,
                    str(order.workspace),
                    order.settings,
                    str(order.config_file) if order.config_file is not None else None,
                    environment(order.environ),
                )
            )
        except LimitError as error:
            path = order.workspace / "victor.yaml"
            raise ConfigError(
                f"{path}: the configuration needs too much {error.what} to read. {_SMALLER}", path=str(path)
            ) from None
        bindings = BindingTable(decode_config(opened.config))
        _ = bindings.secrets  # read here, so that the event loop does not
        calendars = self._read_calendars(opened.calendars)
        pieces = self._files(opened.files, tuple(sorted(bindings.config.functions)))
        judgement = order.judge(bindings.config, self._content(bindings.config, pieces))
        found = Loading(
            bindings.config,
            bindings,
            FunctionRegistry(),
            Calendars({}, bindings.workspace, known=calendars, read_file=self._memory.read_calendar),
            judgement,
            calendar_errors=[error for error in calendars.values() if isinstance(error, VictorError)],
            settings={
                **bindings.config.settings,
                **{f"{key} (code)": digest for key, digest in judgement.content.code_of([FUNCTIONS]).items()},
                **{f"calendars.{name} (file)": each[1] for name, each in self._memory.calendars.items()},
            },
        )
        bindings.guard = ContentGuard(
            bindings.workspace, judgement.content, judgement.mode, judgement.verdict.held
        )
        if not self._functions(found):
            pieces = self._files(opened.files, ())
        found.files = [Path(path) for path in opened.files]
        for piece in pieces:
            found.workflows += piece.workflows
            found.assignees |= set(piece.people)
            found.problems += piece.problems
            if piece.has_errors:
                found.files_with_errors.add(Path(piece.path))
        self._check_all(found)
        return found

    def _content(self, config: Config, pieces: list[FilePiece]) -> Content:
        """Return the content, with the workflow files as they were read."""
        functions = {
            reference
            for piece in pieces
            for workflow in piece.workflows
            for block in workflow.migrations
            for reference in migration_functions(block)
        }
        try:
            content = self._session.ask(ReadContent(SECONDS, tuple(sorted(functions))), Content)
        except LimitError as error:
            raise LoadingError(
                f"{config.workspace}: the files that its commands and functions name need too much {error.what} to "
                f"read. {_SMALLER}"
            ) from None
        read = {path: digest for piece in pieces for path, digest in piece.sources.items()}
        named = {inside(config.workspace, path): digest for path, digest in read.items()}
        return content.of({name: digest for name, digest in named.items() if name is not None})

    def _functions(self, found: Loading) -> bool:
        """Import the functions of the workspace, and return whether that succeeded.

        If it is not trusted, register only their names.
        """
        config = found.config
        if not found.judgement.verdict.trusted:
            for name in config.functions:
                found.functions.register(name, _untrusted(name))
            return True
        try:
            for name, function in found.bindings.functions().items():
                found.functions.register(name, function)
        except VictorError as error:
            problem = ProblemInfo(severity="error", message=error.message, path=str(config.workspace))
            found.problems.append((None, problem))
            return False
        return True

    def _files(self, paths: tuple[str, ...], functions: tuple[str, ...]) -> list[FilePiece]:
        """Return the pieces of the files. Read only files that have changed."""
        known = {path: self._memory.files[path] for path in paths if path in self._memory.files}
        context = self._context(functions, {name for each in known.values() for name in each.context.people})
        pieces = []
        for path in paths:
            if path in known and known[path].holds(context):
                pieces.append(known[path].piece)
            else:
                pieces.append(self._file(path, functions))
        new = {name for piece in pieces for name in piece.people} - context.people.keys()
        people = context.people | (self._context(functions, new).people if new else {})
        self._memory.files.clear()
        for piece in pieces:
            if piece.sources and not piece.again:
                of_file = {name: people[name] for name in piece.people}
                self._memory.files[piece.path] = _Known(FileContext(context.digest, of_file), piece)
        return pieces

    def _context(self, functions: tuple[str, ...], people: set[str]) -> FileContext:
        return self._session.ask(LookUpContext(SECONDS, functions, tuple(sorted(people))), FileContext)

    def _read_calendars(self, declared: dict[str, str | None]) -> dict[str, Calendar | VictorError]:
        """Return the declared calendars. Read only files that have changed."""
        found: dict[str, Calendar | VictorError] = {}
        files: dict[str, tuple[str | None, str, Calendar | VictorError]] = {}
        for name, path in declared.items():
            digest = _bytes_digest(path) if path is not None else None
            known = self._memory.calendars.get(name)
            if digest is not None and known is not None and known[:2] == (path, digest):
                found[name] = known[2]
            else:
                found[name] = self._read_calendar(name, path)
            if digest is not None:
                files[name] = path, digest, found[name]
        self._memory.calendars = files
        return found

    def _read_calendar(self, name: str, path: str | None) -> Calendar | VictorError:
        try:
            piece = self._session.ask(ReadCalendar(READING_SECONDS, name), CalendarPiece)
        except LimitError as error:
            return too_expensive(name, path, error)
        except VictorError as error:
            return error
        return calendar_of(piece, self._memory.spans)

    def _file(self, path: str, functions: tuple[str, ...]) -> FilePiece:
        """Read one file. If that is not possible, return a piece with this error."""
        sources = {path: digest} if (digest := _digest(path)) is not None else {}
        seconds = SECONDS if self._overtime < OVERTIME_LIMIT else REDUCED_SECONDS
        try:
            piece = self._session.ask(ReadFile(seconds, path, functions), FilePiece)
        except LimitError as error:
            self._overtime += seconds
            message = f"the file needs too much {error.what} to read and is not loaded"
            problem = ProblemInfo(
                "error", message, path=path, line=error.line or 1, column=1, remedy=_SMALLER
            )
            return FilePiece(path=path, sources=sources, problems=((None, problem),), has_errors=True)
        except LoadingError as error:
            problem = ProblemInfo("error", error.message, path=path, line=1, column=1)
            return FilePiece(
                path=path, sources=sources, problems=((None, problem),), has_errors=True, again=True
            )
        if piece.has_errors:
            # Its errors may depend on a missing file, so it is not cached.
            return replace(piece, sources=piece.sources or sources, people=(), again=True)
        return piece

    def _check_all(self, found: Loading) -> None:
        outlines = tuple(
            WorkflowPiece(
                name=piece.name, version=None, path=piece.path, text="", content=_NOTHING, checksum="",
                work=piece.work, starts=piece.starts,
            )
            for piece in found.workflows
        )  # fmt: skip
        try:
            found.problems += self._session.ask(CheckAll(SECONDS, outlines), list[Problem])
        except LimitError as error:
            message = (
                f"the check across all workflows needs too much {error.what} and was skipped; they are loaded"
            )
            problem = ProblemInfo("warning", message, path=str(found.config.workspace))
            found.problems.append((None, problem))


def _digest(path: str) -> str | None:
    """Return the digest of the text of a file; None if it cannot be read."""
    try:
        return text_digest(read_text_bounded(path))
    except (OSError, UnicodeDecodeError):
        return None


def _bytes_digest(path: str) -> str | None:
    try:
        return hashlib.sha256(read_bounded(path, largest=MAX_BYTES)).hexdigest()
    except OSError:
        return None


def _unchanged(piece: FilePiece) -> bool:
    return all(_digest(path) == digest for path, digest in piece.sources.items())


def _untrusted(name: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise VictorError(f"{name} belongs to a workspace that is not trusted")

    return refuse
