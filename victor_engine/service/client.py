"""The console port over the socket: what a second console and the command line speak."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from victor_engine.api import (
    Answer,
    DefinitionInfo,
    EngineInfo,
    EventInfo,
    EventQuery,
    FireInfo,
    LogLine,
    MigrationPreview,
    ProblemInfo,
    RequestInfo,
    RequestQuery,
    RunDetail,
    RunInfo,
    RunQuery,
    ScheduleAdded,
    ScheduleInfo,
    SchedulePreview,
    ScheduleSpec,
    TrustInfo,
    VersionInfo,
    WorkflowInfo,
)
from victor_engine.errors import EngineUnavailableError, UsageError, VictorError
from victor_engine.identity import local_actor
from victor_engine.service import protocol
from victor_engine.service.identity import Claims

GREETING_SECONDS = 10.0
"""How long the engine may take to say hello."""


class Client:
    """`api.Port` over a Unix socket. A lost connection raises EngineUnavailableError everywhere, at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: Path) -> None:
        self._reader = reader
        self._writer = writer
        self._path = path
        self._ids = itertools.count(1)
        self._pending: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._streams: dict[int, asyncio.Queue[protocol.FromServer | None]] = {}
        self._lost: str | None = None
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, path: Path, via: str = "api") -> Client:
        """Connect and exchange hellos. EngineUnavailableError if nobody listens or another protocol is spoken."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(path), limit=protocol.MAX_MESSAGE)
        except OSError as error:
            raise EngineUnavailableError(
                f"{path}: the engine cannot be reached: {error.strerror or error}"
            ) from error
        client = cls(reader, writer, path)
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                await client._greet(via)
        except TimeoutError:
            writer.close()
            raise EngineUnavailableError(f"{path}: the engine does not answer") from None
        except BaseException:
            writer.close()
            raise
        client._task = asyncio.create_task(client._read(), name="victor-client")
        return client

    async def _greet(self, via: str) -> None:
        message = await self._message()
        if message is None:
            raise EngineUnavailableError(f"{self._path}: the engine closed the connection")
        if message.error is not None:
            raise VictorError.from_wire(message.error)
        if message.hello is None or message.hello.protocol != protocol.PROTOCOL:
            theirs = message.hello.protocol if message.hello is not None else "?"
            raise EngineUnavailableError(
                f"the engine speaks protocol {theirs}, this client {protocol.PROTOCOL}; use the one that was "
                "installed with the engine, or restart the engine"
            )
        me = local_actor(via)
        claims = Claims(via=via, tty=me.tty, remote=me.remote)
        self._writer.write(
            protocol.line({"hello": protocol.Hello(protocol=protocol.PROTOCOL, claims=claims)})
        )
        await self._writer.drain()

    async def _message(self) -> protocol.FromServer | None:
        try:
            text = await self._reader.readline()
        except (ConnectionError, ValueError):
            return None
        if not text.endswith(b"\n"):
            return None
        return protocol.decode_server(text)

    async def _read(self) -> None:
        try:
            while (message := await self._message()) is not None:
                self._deliver(message)
        except msgspec.DecodeError as error:
            self._lost = f"{self._path}: the engine sent what is no message: {error}"
        finally:
            self._lose(self._lost or "the engine has gone away")

    def _deliver(self, message: protocol.FromServer) -> None:
        if message.sub is not None:
            self._deliver_event(message.sub, message)
        elif message.id in self._streams:
            if message.error is not None:
                self._streams[message.id].put_nowait(message)
        elif message.id is not None:
            future = self._pending.pop(message.id, None)
            if future is not None and not future.done():
                if message.error is not None:
                    future.set_exception(VictorError.from_wire(message.error))
                else:
                    future.set_result(message.result)
        elif message.error is not None:
            self._lose(str(message.error.get("message", "the engine refused the connection")))

    def _deliver_event(self, number: int, message: protocol.FromServer) -> None:
        queue = self._streams.get(number)
        if queue is None:
            return
        if message.event is None or queue.qsize() < protocol.QUEUED_EVENTS:
            queue.put_nowait(message)
            return
        # Whoever reads this feed is far behind: the store keeps the rest for it.
        del self._streams[number]
        queue.put_nowait(protocol.FromServer(sub=number, gap=True))
        self._writer.write(protocol.line({"cancel": number}))

    def _lose(self, reason: str) -> None:
        if self._lost is None:
            self._lost = reason
        for future in self._pending.values():
            if not future.done():
                future.set_exception(EngineUnavailableError(self._lost))
                future.exception()
        self._pending.clear()
        for queue in self._streams.values():
            queue.put_nowait(None)

    async def _send(self, message: dict[str, Any]) -> None:
        if self._lost is not None:
            raise EngineUnavailableError(self._lost)
        name = message["method"]
        try:
            text = protocol.line(message)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{name}: cannot be sent: {error}") from error
        if len(text) > protocol.MAX_MESSAGE:
            raise UsageError(f"{name}: what is to be sent is larger than 64 MB")
        self._writer.write(text)
        try:
            await self._writer.drain()
        except ConnectionError as error:
            self._lose("the engine has gone away")
            raise EngineUnavailableError(self._lost or "the engine has gone away") from error

    async def _request(self, method: str, params: dict[str, Any]) -> tuple[int, msgspec.Raw]:
        number = next(self._ids)
        future: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        self._pending[number] = future
        try:
            await self._send({"id": number, "method": method, "params": params})
            return number, await future
        except asyncio.CancelledError:
            if self._lost is None:
                self._writer.write(protocol.line({"cancel": number}))
            raise
        finally:
            self._pending.pop(number, None)

    async def _call(self, name: str, **params: Any) -> Any:
        _, raw = await self._request(name, params)
        try:
            return protocol.result(protocol.methods()[name], raw)
        except msgspec.DecodeError as error:
            raise UsageError(f"{name}: the engine's answer cannot be read: {error}") from error

    async def subscribe(self, after: int) -> AsyncIterator[EventInfo]:
        """Events above `after`; a gap is filled from the store, an engine that goes away is an error."""
        last = after
        while True:
            number = next(self._ids)
            queue: asyncio.Queue[protocol.FromServer | None] = asyncio.Queue()
            self._streams[number] = queue
            try:
                await self._send({"id": number, "method": "subscribe", "params": {"after": last}})
                while True:
                    message = await queue.get()
                    if message is None:
                        raise EngineUnavailableError(self._lost or "the engine has gone away")
                    if message.error is not None:
                        raise VictorError.from_wire(message.error)
                    if message.event is None:
                        break
                    last = message.event.seq
                    yield message.event
            finally:
                self._streams.pop(number, None)
                if self._lost is None:
                    self._writer.write(protocol.line({"cancel": number}))

    async def close(self) -> None:
        self._lost = self._lost or "the connection is closed"
        self._writer.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self._writer.wait_closed()
        except (ConnectionError, OSError):
            return

    # --- the port ------------------------------------------------------------------------------

    async def engine(self) -> EngineInfo:
        return await self._call("engine")  # type: ignore[no-any-return]

    async def trust_info(self) -> TrustInfo:
        return await self._call("trust_info")  # type: ignore[no-any-return]

    async def schedules(self) -> list[ScheduleInfo]:
        return await self._call("schedules")  # type: ignore[no-any-return]

    async def schedule(self, schedule_id: str) -> ScheduleInfo:
        return await self._call("schedule", schedule_id=schedule_id)  # type: ignore[no-any-return]

    async def fires(
        self, schedule_id: str | None = None, limit: int = 100, workflow: str | None = None
    ) -> list[FireInfo]:
        return await self._call("fires", schedule_id=schedule_id, limit=limit, workflow=workflow)  # type: ignore[no-any-return]

    async def preview_schedule(
        self, spec: ScheduleSpec, count: int = 10, after: datetime | None = None
    ) -> SchedulePreview:
        return await self._call("preview_schedule", spec=spec, count=count, after=after)  # type: ignore[no-any-return]

    async def runs(self, query: RunQuery) -> list[RunInfo]:
        return await self._call("runs", query=query)  # type: ignore[no-any-return]

    async def run(self, run_id: str) -> RunDetail:
        return await self._call("run", run_id=run_id)  # type: ignore[no-any-return]

    async def run_log(
        self, run_id: str, after: int = 0, limit: int = 2000, node_id: str | None = None
    ) -> list[LogLine]:
        return await self._call("run_log", run_id=run_id, after=after, limit=limit, node_id=node_id)  # type: ignore[no-any-return]

    async def requests(self, query: RequestQuery) -> list[RequestInfo]:
        return await self._call("requests", query=query)  # type: ignore[no-any-return]

    async def request(self, request_id: str) -> RequestInfo:
        return await self._call("request", request_id=request_id)  # type: ignore[no-any-return]

    async def events(self, query: EventQuery) -> list[EventInfo]:
        return await self._call("events", query=query)  # type: ignore[no-any-return]

    async def workflows(self) -> list[WorkflowInfo]:
        return await self._call("workflows")  # type: ignore[no-any-return]

    async def definition(self, workflow: str, version: str | None = None) -> DefinitionInfo:
        return await self._call("definition", workflow=workflow, version=version)  # type: ignore[no-any-return]

    async def preview_migration(
        self, workflow: str, from_version: str, to_version: str, state: dict[str, Any]
    ) -> MigrationPreview:
        return await self._call(  # type: ignore[no-any-return]
            "preview_migration",
            workflow=workflow,
            from_version=from_version,
            to_version=to_version,
            state=state,
        )

    async def start_run(
        self, workflow: str, version: str | None = None, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo:
        return await self._call("start_run", workflow=workflow, version=version, state=state, note=note)  # type: ignore[no-any-return]

    async def cancel_run(self, run_id: str, note: str = "") -> RunInfo:
        return await self._call("cancel_run", run_id=run_id, note=note)  # type: ignore[no-any-return]

    async def pause_run(self, run_id: str, note: str = "") -> RunInfo:
        return await self._call("pause_run", run_id=run_id, note=note)  # type: ignore[no-any-return]

    async def resume_run(self, run_id: str, note: str = "") -> RunInfo:
        return await self._call("resume_run", run_id=run_id, note=note)  # type: ignore[no-any-return]

    async def retry_run(self, run_id: str, note: str = "") -> RunInfo:
        return await self._call("retry_run", run_id=run_id, note=note)  # type: ignore[no-any-return]

    async def add_schedule(self, spec: ScheduleSpec, note: str = "") -> ScheduleAdded:
        return await self._call("add_schedule", spec=spec, note=note)  # type: ignore[no-any-return]

    async def edit_schedule(self, schedule_id: str, spec: ScheduleSpec, note: str = "") -> ScheduleInfo:
        return await self._call("edit_schedule", schedule_id=schedule_id, spec=spec, note=note)  # type: ignore[no-any-return]

    async def remove_schedule(self, schedule_id: str, note: str = "") -> None:
        await self._call("remove_schedule", schedule_id=schedule_id, note=note)

    async def trigger_schedule(
        self, schedule_id: str, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo:
        return await self._call("trigger_schedule", schedule_id=schedule_id, state=state, note=note)  # type: ignore[no-any-return]

    async def pause_schedule(
        self, schedule_id: str, note: str = "", until: datetime | None = None
    ) -> ScheduleInfo:
        return await self._call("pause_schedule", schedule_id=schedule_id, note=note, until=until)  # type: ignore[no-any-return]

    async def resume_schedule(self, schedule_id: str, note: str = "") -> ScheduleInfo:
        return await self._call("resume_schedule", schedule_id=schedule_id, note=note)  # type: ignore[no-any-return]

    async def skip_next(self, schedule_id: str, note: str = "") -> ScheduleInfo:
        return await self._call("skip_next", schedule_id=schedule_id, note=note)  # type: ignore[no-any-return]

    async def answer(self, request_id: str, revision: int, answer: Answer) -> RequestInfo:
        return await self._call("answer", request_id=request_id, revision=revision, answer=answer)  # type: ignore[no-any-return]

    async def claim(self, request_id: str) -> RequestInfo:
        return await self._call("claim", request_id=request_id)  # type: ignore[no-any-return]

    async def release(self, request_id: str) -> RequestInfo:
        return await self._call("release", request_id=request_id)  # type: ignore[no-any-return]

    async def deprecate(
        self, workflow: str, version: str, message: str, successor: str | None = None
    ) -> VersionInfo:
        return await self._call(  # type: ignore[no-any-return]
            "deprecate", workflow=workflow, version=version, message=message, successor=successor
        )

    async def reload(self) -> list[ProblemInfo]:
        return await self._call("reload")  # type: ignore[no-any-return]

    async def trust(self) -> TrustInfo:
        return await self._call("trust")  # type: ignore[no-any-return]

    async def stop_engine(self) -> None:
        await self._call("stop_engine")
