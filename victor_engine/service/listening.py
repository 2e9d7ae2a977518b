"""The socket of an engine while it runs: its place by the configuration, its permissions, and its record."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from victor_engine import __version__
from victor_engine.api import ProblemInfo
from victor_engine.errors import VictorError
from victor_engine.identity import user_name
from victor_engine.service import endpoint, engine_record, runtime_directory
from victor_engine.service.endpoint import Endpoint
from victor_engine.service.engine_lock import EngineLock
from victor_engine.service.engine_record import EngineRecord
from victor_engine.service.guard import Guard
from victor_engine.service.paths import Paths
from victor_engine.service.server import PortServer

if TYPE_CHECKING:
    from victor_engine.engine import Engine

log = logging.getLogger(__name__)


class Listener:
    """The server of an engine, which follows its configuration. `close` removes its socket and its records."""

    def __init__(self, engine: Engine, paths: Paths, lock: EngineLock) -> None:
        self._engine = engine
        self._paths = paths
        self._lock = lock
        self._endpoint: Endpoint | None = None
        self._records: list[Path] = []
        guard = Guard(engine, engine.rights, engine.clock, lambda: engine.workspace.assignees)
        self._server = PortServer(engine, paths.socket_path, engine.clock, gate=guard)
        self._server.on_call = lambda seconds: engine.measures.call(seconds)

    async def start(self) -> None:
        """Listen. Raise ConfigError if the configured socket cannot be used."""
        await self._listen(endpoint.plan(self._paths, self._engine.workspace.config))

    async def reloaded(self) -> None:
        """Listen as the configuration says after a reload. If that fails, keep the socket and report the reason."""
        try:
            wanted = endpoint.plan(self._paths, self._engine.workspace.config)
            if wanted != self._endpoint:
                await self._listen(wanted)
            self._report()
        except (VictorError, OSError) as error:
            message = f"the engine keeps its socket {self._server.path}: {error}"
            self._engine.socket_problems = (ProblemInfo("error", message, path=str(self._server.path)),)

    async def close(self) -> None:
        await self._server.close()
        for path in self._records:
            engine_record.remove(path)
        if self._endpoint is not None and self._endpoint.shared and not self._endpoint.configured:
            engine_record.remove_folder(self._endpoint.path.parent)

    async def _listen(self, wanted: Endpoint) -> None:
        same = self._endpoint is not None and self._endpoint.path == wanted.path
        wanted.prepare(occupied=same)
        await self._server.move(wanted.path, wanted.mode, wanted.group)
        self._endpoint = wanted
        self._lock.set_socket(wanted.path)
        self._engine.socket = str(wanted.path)
        self._report()
        self._record(wanted)

    def _report(self) -> None:
        found = endpoint.problems(self._paths, self._engine.workspace.config)
        self._engine.socket_problems = tuple(found)

    def _record(self, listening: Endpoint) -> None:
        """Write the records by which other users find the engine.

        Without a runtime directory that this user can write, the engine has a record only beside a configured socket.
        """
        folder = runtime_directory.usable(self._engine.workspace_path)
        wanted = [] if folder is None else [folder / engine_record.FILE]
        if listening.configured:
            wanted.append(engine_record.beside(listening.path))
        for path in set(self._records) - set(wanted):
            engine_record.remove(path)
        self._records = wanted
        for path in wanted:
            try:
                runtime_directory.make(path.parent)
                engine_record.write(path, self._description(listening))
            except OSError as error:
                log.warning("%s cannot be written: %s; other users will not find this engine", path, error)

    def _description(self, listening: Endpoint) -> EngineRecord:
        return EngineRecord(
            workspace=str(self._engine.workspace_path.resolve()),
            pid=os.getpid(),
            user=user_name(os.geteuid()),
            uid=os.geteuid(),
            socket=str(listening.path),
            state_dir=str(self._engine.state_dir.resolve()),
            started=self._engine.started_at,
            version=__version__,
        )
