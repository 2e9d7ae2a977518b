"""A compiled graph: `invoke`, `stream`, and the state of its threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from victor_engine.api import EventInfo
from victor_engine.config.model import Binding, Config
from victor_engine.definition.content import checksum, definition_to_content
from victor_engine.definition.expressions.functions import FunctionRegistry
from victor_engine.definition.model import Node, WorkflowDefinition
from victor_engine.definition.stored_content import definition_from_content
from victor_engine.domain.statuses import FINAL_RUN_STATUSES, RunStatus
from victor_engine.errors import ConfigError, NotFoundError, StoreError, UsageError
from victor_engine.graph import threads
from victor_engine.graph.checkpoint import Checkpointer, Session, ThrowawayCheckpointer
from victor_engine.graph.errors import GraphRunError, ThreadBusyError
from victor_engine.graph.event_stream import EventTranslator
from victor_engine.graph.events import Complete, Error, GraphEvent
from victor_engine.ids import new_id
from victor_engine.runs.supervisor import RunSupervisor
from victor_engine.versioning import catalog
from victor_engine.work.bindings import BindingTable, BoundInvoker
from victor_engine.work.calls import Invoker
from victor_engine.work.invokers.state_function import StateInvoker, Where
from victor_engine.work.state_functions import StateSchema

if TYPE_CHECKING:
    from victor_engine.work.invokers.python import WorkerPool

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Work:
    """The function of a node, and where it is called: in the event loop, a thread or a worker process."""

    function: Callable[..., Any]
    where: Where


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked graph. `hidden` maps generated condition nodes to the nodes before them."""

    definition: WorkflowDefinition
    schema: StateSchema[Any]
    work: Mapping[str, Work]
    functions: FunctionRegistry
    hidden: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSnapshot(Generic[S]):
    """The state of a thread after its last committed node.

    `next` are the next nodes; empty if the run has succeeded. `status` is that of the run: succeeded, failed,
    cancelled, rejected, or running for a run that is active or was interrupted.
    """

    values: S
    next: tuple[str, ...]
    status: str
    thread_id: str
    run_id: str
    created_at: datetime
    nodes_done: int
    error: str | None = None


class FunctionBindings(BindingTable):
    """The bindings of a graph. Each node is bound to its function, without a configuration."""

    def __init__(self, plan: Plan, on_error: Callable[[str, str, BaseException], None]) -> None:
        super().__init__(Config(workspace=Path.cwd()))
        self._plan = plan
        self._on_error = on_error
        self._pools: dict[Path, WorkerPool] = {}

    def resolve(self, workflow: str, node: Node, role: str | None = None) -> BoundInvoker:
        work = self._plan.work.get(node.id)
        if work is None:
            raise ConfigError(
                f"the run started on another version of graph {workflow!r}: node {node.id!r} has no function any more"
            )
        invoker = StateInvoker(
            node.id, work.function, self._plan.schema, work.where, self._in_worker, self._on_error
        )
        binding = Binding(section="graph", name=node.id, kind="python", place=workflow)
        return BoundInvoker(invoker, binding, self.secrets)

    def _in_worker(self, binding: Binding, root: Path) -> Invoker:
        from victor_engine.work.invokers.python import PythonInvoker, WorkerPool

        pool = self._pools.get(root)
        if pool is None:
            pool = self._pools[root] = WorkerPool(root, self.secrets)
            self._closers.append(pool)
        return PythonInvoker(binding, pool, self.secrets)


@dataclass(slots=True)
class _Run:
    """A run that a caller waits for. `events` are its stored events, with None at the end."""

    session: Session
    runtime: RunSupervisor
    thread: threads.Thread
    thread_id: str
    events: asyncio.Queue[EventInfo | None] = field(default_factory=asyncio.Queue)


class CompiledGraph(Generic[S]):
    """A graph that is ready to run, from `StateGraph.compile`.

    It can run many threads concurrently, in one event loop at a time.
    """

    def __init__(self, plan: Plan, checkpointer: Checkpointer | None, max_concurrent_runs: int) -> None:
        content = definition_to_content(plan.definition)
        self.definition = definition_from_content(plan.definition.name, content)
        self.checksum = checksum(content)
        self._content = content
        self._plan = plan
        self._checkpointer = checkpointer or ThrowawayCheckpointer()
        self._limit = max_concurrent_runs
        self._raised: dict[
            str, tuple[str, BaseException]
        ] = {}  # by run: the node and the exception of the last error

    @property
    def name(self) -> str:
        return self.definition.name

    async def __aenter__(self) -> CompiledGraph[S]:
        """Keep the store open, and worker processes alive, inside the block."""
        await self._checkpointer.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._checkpointer.leave()

    # --- running -------------------------------------------------------------------------------

    async def invoke(
        self, state: S | Mapping[str, Any] | None = None, config: Mapping[str, Any] | None = None
    ) -> S:
        """Run the graph and return the final state.

        With a checkpointer, `config={"thread_id": …}` names the thread. If the last run of the thread did not
        succeed, it continues from its last committed node when `state` is None or the same state; otherwise a
        new run starts with `state`. A cancelled call stops the run and keeps its committed nodes, so that the
        thread can continue.

        Raise GraphRunError if the run fails, ThreadBusyError if the thread is running or has an interrupted run
        with another state, UsageError for an invalid state, and NotFoundError if `state` is None and the thread
        does not exist.
        """
        async with self._running(state, config) as run:
            if run is not None and await self._ended(run) != "succeeded":
                raise await self._failure(run)
            return await self._final(run, config)

    async def stream(
        self, state: S | Mapping[str, Any] | None = None, config: Mapping[str, Any] | None = None
    ) -> AsyncIterator[GraphEvent]:
        """Run the graph like `invoke`, and yield events when they are committed; see `graph.events`.

        The last event is `complete`, or a final `error` followed by GraphRunError. If the caller leaves the loop
        early, the run stops as with a cancelled call.
        """
        async with self._running(state, config) as run:
            if run is None:
                yield Complete(state=cast("Mapping[str, Any]", await self._final(None, config)))
                return
            translator = EventTranslator(
                self._plan.definition, self._plan.hidden, run.thread_id, self._checkpointer.durable
            )
            translator.state = await run.session.store.read(lambda c: threads.state_of(c, run.thread.key))
            status = ""
            while event := await run.events.get():
                if event.kind == "run.finished":
                    status = str(event.data.get("status"))
                    continue
                for translated in await translator.events(run.session.store, run.thread.key, event):
                    yield translated
            if status == "succeeded":
                yield Complete(state=cast("Mapping[str, Any]", await self._final(run, config)))
                return
            failure = await self._failure(run)
            yield Error(
                node=failure.node_id, error_type=failure.error_type, message=failure.message, final=True
            )
            raise failure

    async def get_state(self, config: Mapping[str, Any]) -> StateSnapshot[S]:
        """Return the state of a thread. Raise NotFoundError if the thread does not exist."""
        thread_id = self._thread_id(config, needed=True)
        async with self._checkpointer.opened() as session:
            thread = await session.store.read(lambda c: threads.find(c, self.name, thread_id))
            if thread is None:
                raise NotFoundError(f"graph {self.name!r} has no thread {thread_id!r}")
            values = await session.store.read(lambda c: threads.state_of(c, thread.key))
        return StateSnapshot(
            values=self._plan.schema.build(values),
            next=() if thread.status in (RunStatus.SUCCEEDED, RunStatus.REJECTED) else thread.next,
            status=thread.status,
            thread_id=thread_id,
            run_id=thread.run_id,
            created_at=thread.created_at,
            nodes_done=thread.nodes_done,
            error=thread.error.message if thread.error is not None else None,
        )

    # --- runs ----------------------------------------------------------------------------------

    def _thread_id(self, config: Mapping[str, Any] | None, *, needed: bool = False) -> str:
        given: Any = config or {}
        if isinstance(given.get("configurable"), Mapping):
            given = {**given, **given["configurable"]}
        thread_id = given.get("thread_id")
        if thread_id is None:
            if needed:
                raise UsageError('config needs a thread: {"thread_id": "…"}')
            return ""
        if not isinstance(thread_id, str) or not thread_id:
            raise UsageError(f"thread_id must be a non-empty string, not {thread_id!r}")
        if not self._checkpointer.durable:
            raise UsageError(
                f"graph {self.name!r} was compiled without a checkpointer, so thread {thread_id!r} would be "
                "lost; use compile(checkpointer=Checkpointer(path))"
            )
        return thread_id

    @asynccontextmanager
    async def _running(
        self, state: S | Mapping[str, Any] | None, config: Mapping[str, Any] | None
    ) -> AsyncIterator[_Run | None]:
        """Start or continue a run; yield None if the run of the thread has succeeded and `state` is None."""
        thread_id = self._thread_id(config, needed=state is None)
        given = None if state is None else self._plan.schema.initial(state)
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(self._checkpointer.opened())
            thread_id = thread_id or new_id(session.clock.now())
            mark = (self.name, thread_id)
            if mark in session.busy:
                raise ThreadBusyError(
                    f"thread {thread_id!r} of graph {self.name!r} is already running; wait for it, or use another id"
                )
            session.busy.add(mark)
            stack.callback(session.busy.discard, mark)
            runtime = await self._runtime(session)
            found = await session.store.write(
                lambda tx: threads.begin(tx, self.definition, self._content, self.checksum, thread_id, given)
            )
            if found.status == RunStatus.SUCCEEDED:
                yield None
                return
            run = _Run(session, runtime, found, thread_id)
            session.watches[found.run_id] = run.events.put_nowait
            stack.callback(session.watches.pop, found.run_id, None)
            stack.callback(self._raised.pop, found.run_id, None)
            await threads.resume(runtime, found)
            live = runtime.slots.live.get(found.key)
            if live is not None:
                # However its task ends, the caller must not wait for a run that is not executed any more.
                live.task.add_done_callback(lambda _: run.events.put_nowait(None))
            else:
                run.events.put_nowait(None)
            try:
                yield run
            finally:
                if live is not None and not live.task.done():
                    await threads.stop(runtime, found, live.task)

    async def _runtime(self, session: Session) -> RunSupervisor:
        runtime = session.runtimes.get(id(self))
        if runtime is None:
            bindings = FunctionBindings(self._plan, self._keep_raised)
            runtime = session.runtimes[id(self)] = RunSupervisor(
                session.store,
                session.clock,
                load_definition=catalog.load_definition,
                bindings=lambda: bindings,
                functions=lambda: self._plan.functions,
                max_concurrent_runs=self._limit,
            )
            session.closers.append(bindings.close)
            await runtime.start(recover=False)
        return runtime

    def _keep_raised(self, run_id: str, node_id: str, error: BaseException) -> None:
        self._raised[run_id] = (node_id, error)

    async def _ended(self, run: _Run) -> str:
        status = ""
        while event := await run.events.get():
            if event.kind == "run.finished":
                status = str(event.data.get("status"))
        return status

    async def _final(self, run: _Run | None, config: Mapping[str, Any] | None) -> S:
        if run is None:
            return (await self.get_state(config or {})).values
        values = await run.session.store.read(lambda c: threads.state_of(c, run.thread.key))
        final: S = self._plan.schema.build(values)
        return final

    async def _failure(self, run: _Run) -> GraphRunError:
        """Return the error for a run that did not succeed, with the exception of the function as its cause."""
        thread = await run.session.store.read(lambda c: threads.find(c, self.name, run.thread_id))
        assert thread is not None
        if thread.status not in FINAL_RUN_STATUSES - {RunStatus.SUCCEEDED}:
            raise StoreError(
                f"thread {run.thread_id!r} of graph {self.name!r} was interrupted, because its store "
                f"{self._checkpointer.path} cannot be written; invoke it again to continue from its last "
                "committed node"
            )
        info = thread.error
        message = info.message if info is not None else f"the run was {thread.status}"
        where = info.node_id if info is not None else None
        if where is not None and where not in message:
            message = f"node {where!r}: {message}"
        failure = GraphRunError(
            message,
            status=thread.status,
            error_type=info.type if info is not None else "",
            node_id=self._plan.hidden.get(where, where) if where is not None else None,
            run_id=thread.run_id,
            thread_id=run.thread_id,
        )
        node_id, raised = self._raised.get(thread.run_id, ("", None))
        failure.__cause__ = raised if node_id == where else None
        return failure
