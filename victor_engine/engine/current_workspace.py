"""The current workspace of an engine: its source, its loaded content, and its trust."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from msgspec import UNSET

from victor_engine import jsonio
from victor_engine.api import ProblemInfo
from victor_engine.config.content import MIGRATIONS
from victor_engine.config.judging import Judge, judge_workspace
from victor_engine.config.trust_list import service_environ
from victor_engine.engine.content_trust import refusal
from victor_engine.engine.loaded_workspace import Workspace
from victor_engine.engine.workspace import load_workspace
from victor_engine.errors import UsageError
from victor_engine.loading.loader import Loader, Order
from victor_engine.scheduling.calendars.workspace_calendars import Calendars
from victor_engine.versioning.catalog import normal_version
from victor_engine.work.bindings import BindingTable
from victor_engine.work.migration_functions import MigrationFunctions

T = TypeVar("T")


@dataclass(slots=True)
class Source:
    """The source of a workspace: its files, and additional settings and functions."""

    path: Path
    config_file: Path | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    judge: Judge = judge_workspace
    environ: Mapping[str, str] | None = None
    """The environment of the settings; None for that of this process."""
    functions: dict[str, Callable[..., Any]] = field(default_factory=dict)
    """Functions of this process that expressions can call, in addition to those of the workspace."""
    problems: list[ProblemInfo] = field(default_factory=list)
    """Problems outside the files, which every load reports again."""

    async def load(self, loader: Loader) -> Workspace:
        """Read the files. Nothing of the workspace is executed or imported unless it is trusted."""
        order = Order(self.path, self.overrides, self.config_file, self.judge, self.environ)
        workspace = await load_workspace(loader, order)
        for name, function in self.functions.items():
            workspace.functions.register(name, function)
        for problem in self.problems:
            workspace.add(problem)
        return workspace


class CurrentWorkspace:
    """The loaded content and the trust of the workspace. All parts of the engine read it here, so that a reload
    applies everywhere."""

    def __init__(self, source: Source, loader: Loader, loaded: Workspace) -> None:
        self.source = source
        self.path = source.path
        self.loaded = loaded
        self.loading = asyncio.Lock()
        """Held from the read of the files until they are in use, so that loads do not overlap."""
        self.migration_functions = MigrationFunctions(source.path, self._migrations_trusted)
        self._loader = loader

    @classmethod
    async def open(cls, source: Source, loader: Loader) -> CurrentWorkspace:
        """Load the workspace for the first time."""
        return cls(source, loader, await source.load(loader))

    @property
    def trusted(self) -> bool:
        return self.loaded.judgement.verdict.trusted

    @property
    def untrusted(self) -> str:
        """Why the workspace is not trusted; empty if it is."""
        return "" if self.trusted else self.loaded.judgement.verdict.reason

    def _migrations_trusted(self) -> bool:
        guard = self.bindings().guard
        return self.trusted and guard is not None and guard.refusal(MIGRATIONS) is None

    async def load(self) -> Workspace:
        """Read the files again and return their content. `replace` puts it into use."""
        return await self.source.load(self._loader)

    async def close(self) -> None:
        """Stop the reader of the files and the processes of the bindings."""
        await self._loader.close()
        await self.migration_functions.close()
        await self.bindings().close()

    def replace(self, workspace: Workspace) -> Workspace:
        """Put a loaded workspace into use, and return the previous one."""
        old, self.loaded = self.loaded, workspace
        return old

    def add_functions(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        """Let expressions call functions of this process. Raise UsageError if another function has the name."""
        for name, function in functions.items():
            known = self.loaded.functions.get(name)
            if known is not None and known is not function:
                raise UsageError(
                    f"expressions already use another function {name!r}; give this function another name"
                )
        self.source.functions.update(functions)
        for name, function in functions.items():
            self.loaded.functions.register(name, function)

    def require_trust(self) -> None:
        """Raise UntrustedError unless the workspace is trusted."""
        if not self.trusted:
            raise refusal(self.path, self.loaded.judgement)

    def masked(self, value: T) -> T:
        """Return a value from a user with its secrets masked, because secrets are not stored.

        Raise UsageError if it is larger than a result may be.
        """
        check_size(value)
        return cast("T", self.bindings().secrets.masker.value(value))

    def declared(self) -> frozenset[tuple[str, str]]:
        """Return the workflows and versions that the files declare."""
        return frozenset(
            (piece.name, normal_version(piece.version))
            for piece in self.loaded.workflows
            if piece.version is not None
        )

    def bindings(self) -> BindingTable:
        return self.loaded.bindings

    def calendars(self) -> Calendars:
        return self.loaded.calendars

    def roles(self) -> Mapping[str, tuple[str, ...]]:
        return self.loaded.config.roles

    def problems(self) -> Mapping[str, list[ProblemInfo]]:
        """Return the problems of the files by workflow."""
        return self.loaded.by_workflow


def check_size(value: Any) -> None:
    """Raise UsageError if a state or an answer is larger than a result may be, or not JSON."""
    if value is UNSET:
        return
    try:
        size = len(jsonio.dumps(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"the value cannot be encoded as JSON: {error}") from error
    if size > jsonio.MAX_SIZE:
        limit = jsonio.MAX_SIZE // (1024 * 1024)
        raise UsageError(
            f"a state or an answer has at most {limit} MB, and this has {size / (1024 * 1024):.1f}; put large values "
            "into a file and give its path"
        )


async def read_files(
    path: Path,
    user: str | None = None,
    config_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Workspace:
    """Read the files of a workspace without an engine. Nothing of it is imported unless it is trusted.

    The trust and the settings are those of an engine of `user` (default: this user, with the settings in `environ`).
    """
    loader = Loader(here=True)
    environ = service_environ(user) if user is not None else environ
    source = Source(path, config_file, judge=partial(judge_workspace, user=user), environ=environ)
    try:
        workspace = await source.load(loader)
        await workspace.bindings.close()
        return workspace
    finally:
        await loader.close()
