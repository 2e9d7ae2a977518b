"""The differences between the files of a workspace and what is in force, for the state of an engine.

The files are compared with a plan only if one of them, the store or the loaded content has changed since the last time.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from victor_engine.api import DeploymentPlan, FilesInfo
from victor_engine.clock import Clock
from victor_engine.engine.loaded_workspace import Workspace
from victor_engine.errors import VictorError

EVERY = timedelta(seconds=10)
"""Minimum time between two looks at the files."""
SHARE = 0.01
"""Maximum share of the processor time that looks at the files of a large workspace take."""

Fingerprint = tuple[Any, ...]


class FileDifferences:
    """The last comparison, and the facts that it depends on."""

    def __init__(
        self,
        clock: Clock,
        loaded: Callable[[], Workspace],
        plan: Callable[[], Awaitable[DeploymentPlan]],
        start_task: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._clock = clock
        self._loaded = loaded
        self._plan = plan
        self._start_task = start_task
        self._known = FilesInfo()
        self._compared: Workspace | None = None
        self._seen: Fingerprint | None = None
        self._next: datetime | None = None
        self._busy = False

    def known(self, deployment: int, *, undone: bool) -> FilesInfo:
        """Return the last comparison, and look at the files in the background if it is time.

        `deployment` is the number of the last deployment, and `undone` whether it was an undo.
        """
        now = self._clock.now()
        if not self._busy and (self._next is None or now >= self._next):
            self._busy = True
            self._start_task(self._look(deployment, undone))
        return self._known

    async def _look(self, deployment: int, undone: bool) -> None:
        workspace, took = self._loaded(), 0.0
        try:
            files, took = await asyncio.to_thread(_timed_fingerprint, workspace)
            found = (deployment, files)
            if workspace is self._compared:
                if found == self._seen:
                    return
                same = False
            else:  # a load has deployed all files without an error, unless their deployment was undone
                same = not undone and all(problem.severity != "error" for problem in workspace.problems)
            self._known = FilesInfo() if same else _summary(await self._plan())
            self._compared, self._seen = workspace, found
        except VictorError:
            pass  # the files cannot be read, which the next command on them reports
        finally:
            self._next = self._clock.now() + max(EVERY, timedelta(seconds=took / SHARE))
            self._busy = False


def fingerprint(workspace: Workspace) -> Fingerprint:
    """Return the size and the times of each file that the content of a workspace depends on."""
    config = workspace.config
    paths = {os.fspath(path) for path in (config.workspace / "victor.yaml", *config.workflow_files())}
    paths |= {os.fspath(config.workspace / name) for name in workspace.judgement.content.files}
    paths |= {
        os.fspath(config.workspace / source.value)
        for source in config.calendars.values()
        if isinstance(source.value, str)
    }
    return tuple(sorted((path, *_times(path)) for path in paths))


def _timed_fingerprint(workspace: Workspace) -> tuple[Fingerprint, float]:
    """Return the fingerprint and the processor time in seconds that it took."""
    began = time.thread_time()
    found = fingerprint(workspace)
    return found, time.thread_time() - began


def _times(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0, 0
    return found.st_size, found.st_mtime_ns, found.st_ino


def _summary(plan: DeploymentPlan) -> FilesInfo:
    differing = tuple(each for each in plan.workflows if each.state != "in force")
    return FilesInfo(len(plan.changes), len(plan.errors), plan.undone, differing)
