"""Graphs of functions: results, refusals, and errors of nodes."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
import gc
import itertools
import logging
import os
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest

from tests.graph import functions
from tests.graph.functions import Counter, Order
from victor_engine.definition import HITLNode, TransformNode
from victor_engine.errors import EngineLockedError, NotFoundError, StoreError, UsageError
from victor_engine.graph import (
    END,
    START,
    Checkpoint,
    Checkpointer,
    Complete,
    EdgeTaken,
    Error,
    GraphDefinitionError,
    GraphEvent,
    GraphRunError,
    MemoryCheckpointer,
    NodeComplete,
    NodeStart,
    RetryPolicy,
    StateGraph,
    ThreadBusyError,
)


async def bump(state: Counter) -> Counter:
    return {"n": state["n"] + 1}


def note(word: str) -> Callable[[Counter], Awaitable[Counter]]:
    async def write(state: Counter) -> Counter:
        return {"seen": [*state.get("seen", []), word]}

    return write


def chain(*words: str) -> StateGraph[Counter]:
    graph = StateGraph(Counter)
    for word in words:
        graph.add_node(word, note(word))
    graph.set_entry_point(words[0])
    for one, other in itertools.pairwise(words):
        graph.add_edge(one, other)
    return graph.set_finish_point(words[-1])


# --- what graphs compute -----------------------------------------------------------------------


async def test_chain_and_final_state() -> None:
    final = await chain("a", "b", "c").compile().invoke({"n": 1})
    assert final == {"n": 1, "seen": ["a", "b", "c"]}


async def test_a_cycle_until_the_condition_ends_it() -> None:
    graph = StateGraph(Counter)
    graph.add_node("bump", bump).set_entry_point("bump")
    graph.add_conditional_edge("bump", lambda state: state["n"] >= 5, {True: END, False: "bump"})
    assert await graph.compile().invoke({"n": 0}) == {"n": 5}


async def test_conditions_return_strings_numbers_enums_and_names_of_nodes() -> None:
    class Kind(enum.Enum):
        SMALL = "small"

    for returned, mapping in (
        ("b", {"b": "b"}),
        (2, {2: "b"}),
        (Kind.SMALL, {Kind.SMALL: "b"}),
        (None, {None: "b"}),
        ("b", ["b", "a"]),
    ):
        graph = chain("b")
        graph = StateGraph(Counter).add_node("a", note("a")).add_node("b", note("b")).add_edge(START, "a")
        graph.add_conditional_edges("a", lambda state, value=returned: value, mapping)  # type: ignore[misc]
        assert (await graph.compile().invoke({}))["seen"] == ["a", "b"]


async def test_a_state_that_is_changed_in_place_is_compared_with_a_copy() -> None:
    async def drop(state: dict[str, Any]) -> dict[str, Any]:
        del state["old"]
        state["deep"]["x"] = 2
        return state

    graph = StateGraph(dict).add_node("drop", drop).set_entry_point("drop")
    events = [event async for event in graph.compile().stream({"old": 1, "deep": {"x": 1}, "same": 0})]
    (done,) = (event for event in events if isinstance(event, NodeComplete))
    assert done.update == {"deep": {"x": 2}}
    assert events[-1] == Complete(state={"deep": {"x": 2}, "same": 0})


async def test_one_and_true_are_different_values() -> None:
    async def truth(state: dict[str, Any]) -> dict[str, Any]:
        return {"flag": True}

    graph = StateGraph(dict).add_node("truth", truth).set_entry_point("truth")
    assert (await graph.compile().invoke({"flag": 1}))["flag"] is True


async def test_dataclass_state_in_and_out() -> None:
    graph = StateGraph(Order).add_node("price", functions.price, run_in="thread").set_entry_point("price")
    final = await graph.compile().invoke(Order(amount=4))
    assert final == Order(amount=4, lines=["4 pieces"], total=6.0)
    assert (await graph.compile().invoke({"amount": 2})).total == 3.0


async def test_parallel_branches_get_the_state_before_and_merge_in_declared_order() -> None:
    async def left(state: dict[str, Any]) -> dict[str, Any]:
        assert "right" not in state
        return {"left": True, "last": "left"}

    async def right(state: dict[str, Any]) -> dict[str, Any]:
        assert "left" not in state
        return {"right": True, "last": "right"}

    async def both(state: dict[str, Any]) -> dict[str, Any]:
        return {"sum": state["left"] and state["right"]}

    graph = StateGraph(dict)
    graph.add_node(left).add_node(right).add_node(both)
    graph.add_parallel("fan", ["left", "right"]).add_edge("fan", "both").set_entry_point("fan")
    final = await graph.compile().invoke({})
    assert final == {"left": True, "right": True, "sum": True, "last": "right"}


async def test_several_edges_are_all_followed_and_join() -> None:
    graph = chain("a", "b", "d").add_node("c", note("c")).add_edge("a", "c").add_edge("c", "d")
    assert (await graph.compile().invoke({}))["seen"] == ["a", "b", "c", "d"]


async def test_a_node_of_the_model_between_functions() -> None:
    graph = StateGraph(Counter).add_node("a", bump).add_node(TransformNode(id="t", transform="n = n * 10"))
    graph.add_edge(START, "a").add_edge("a", "t")
    assert await graph.compile().invoke({"n": 1}) == {"n": 20}


# --- where functions run -----------------------------------------------------------------------


async def test_an_importable_function_runs_in_a_worker_process() -> None:
    graph = StateGraph(Counter).add_node("add", functions.add_one).set_entry_point("add")
    final = await graph.compile().invoke({"n": 1})
    assert final["n"] == 2
    assert final["pid"] != os.getpid()
    assert final["key"].endswith("/add/1")


async def test_a_dataclass_is_built_in_the_worker() -> None:
    graph = StateGraph(Order).add_node("price", functions.price).set_entry_point("price")
    assert (await graph.compile().invoke(Order(amount=4))).lines == ["4 pieces"]


async def test_a_function_that_cannot_be_imported_runs_in_this_process() -> None:
    pids: list[int] = []
    graph = StateGraph(Counter)

    def closure(state: Counter) -> Counter:
        pids.append(os.getpid())
        return {}

    graph.add_node(closure)
    graph.add_node("partial", functools.partial(lambda by, state: {"n": state["n"] + by}, 5))
    graph.add_edge(START, "closure").add_edge("closure", "partial")
    assert await graph.compile().invoke({"n": 1}) == {"n": 6}
    assert pids == [os.getpid()]


def test_an_impossible_run_in_is_refused() -> None:
    with pytest.raises(ValueError, match=r"node 'a'.*a worker process cannot import"):
        StateGraph(Counter).add_node("a", lambda state: {}, run_in="process")
    with pytest.raises(ValueError, match="is async, so it runs in the loop"):
        StateGraph(Counter).add_node("a", bump, run_in="thread")


@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        (functions.nothing, "ResultTypeError", "node 'a' returned None"),
        (functions.not_json, "ResultNotJSON", "node 'a' returned"),
        (functions.mistyped, "StateKeyError", "node 'a' returned 'm'"),
        (lambda state: 5, "ResultTypeError", "node 'a' returned a int"),
        (lambda state: {1: 2}, "StateKeyError", "the key 1"),
        (lambda state: {"n": float("nan")}, "ResultNotJSON", "a number that cannot be encoded as JSON"),
        (lambda state: {"n": object()}, "ResultNotJSON", "cannot be encoded as JSON"),
    ],
)
@pytest.mark.parametrize("where", ["auto", "thread"])
async def test_invalid_results_of_a_node_are_errors(
    function: Callable[[Counter], Any], kind: str, words: str, where: Any
) -> None:
    app = StateGraph(Counter).add_node("a", function, run_in=where).set_entry_point("a").compile()
    with pytest.raises(GraphRunError, match=words) as failed:
        await app.invoke({"n": 1})
    assert (failed.value.error_type, failed.value.node_id) == (kind, "a")


# --- limits and failures -----------------------------------------------------------------------


async def test_an_infinite_loop_is_limited_and_its_node_is_named() -> None:
    graph = chain("a", "b").add_edge("b", "a")
    with pytest.raises(GraphRunError, match=r"b would be node execution 4") as failed:
        await graph.compile(max_iterations=3).invoke({})
    assert (failed.value.error_type, failed.value.node_id) == ("IterationLimitError", "b")


async def test_the_exception_of_a_function_is_the_cause() -> None:
    async def fail(state: Counter) -> Counter:
        raise LookupError("no such thing")

    app = StateGraph(Counter).add_node("a", fail).set_entry_point("a").compile()
    with pytest.raises(GraphRunError, match="node 'a': no such thing") as failed:
        await app.invoke({})
    assert isinstance(failed.value.__cause__, LookupError)
    assert failed.value.error_type == "LookupError"


async def test_an_exception_in_a_worker_keeps_its_class() -> None:
    app = StateGraph(Counter).add_node("a", functions.fails).set_entry_point("a").compile()
    with pytest.raises(GraphRunError, match="no such thing") as failed:
        await app.invoke({})
    assert failed.value.error_type == "LookupError"


async def test_attempts_and_their_order_in_the_stream() -> None:
    tries: list[int] = []

    async def flaky(state: Counter) -> Counter:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("gone")
        return {"n": len(tries)}

    policy = RetryPolicy(max_attempts=3, initial_delay=0, retryable_errors=("ConnectionError",))
    app = StateGraph(Counter).add_node("a", flaky, retry=policy).set_entry_point("a").compile()
    events = [event async for event in app.stream({})]
    assert [event.type for event in events] == [
        "node_start", "error", "node_start", "error", "node_start", "node_complete", "edge_taken", "complete",
    ]  # fmt: skip
    assert [event.retry for event in events if isinstance(event, Error)] == [True, True]


async def test_an_error_that_is_not_retryable_is_tried_once() -> None:
    tries: list[int] = []

    async def wrong(state: Counter) -> Counter:
        tries.append(1)
        raise ValueError("wrong")

    policy = RetryPolicy(max_attempts=3, initial_delay=0, retryable_errors=("ConnectionError",))
    app = StateGraph(Counter).add_node("a", wrong, retry=policy).set_entry_point("a").compile()
    with pytest.raises(GraphRunError):
        await app.invoke({})
    assert len(tries) == 1


async def test_an_error_edge_leads_to_another_node() -> None:
    async def fail(state: Counter) -> Counter:
        raise LookupError("no such thing")

    async def mend(state: Any) -> Counter:
        return {"seen": [state["errors"]["a"]["message"]]}

    graph = (
        StateGraph(Counter).add_node("a", fail, on_error="mend").add_node("mend", mend).set_entry_point("a")
    )
    assert (await graph.compile().invoke({}))["seen"] == ["no such thing"]


async def test_a_time_limit_stops_an_async_function_and_a_worker() -> None:
    async def sleepy(state: Counter) -> Counter:
        await asyncio.Event().wait()
        return {}

    for function in (sleepy, functions.endless):
        app = StateGraph(Counter).add_node("a", function, timeout=0.2).set_entry_point("a").compile()
        with pytest.raises(GraphRunError) as failed:
            await app.invoke({})
        assert failed.value.error_type == "TimeoutError"


async def test_the_time_limit_of_the_whole_run() -> None:
    async def sleepy(state: Counter) -> Counter:
        await asyncio.Event().wait()
        return {}

    app = StateGraph(Counter).add_node("a", sleepy).set_entry_point("a").compile(timeout=0.1)
    with pytest.raises(GraphRunError) as failed:
        await app.invoke({})
    assert failed.value.error_type == "ExecutionTimeoutError"


async def test_a_condition_without_a_branch_names_its_node() -> None:
    graph = chain("a", "b")
    graph.add_conditional_edge("a", lambda state: "elsewhere", {"b": "b"})
    with pytest.raises(GraphRunError, match="'elsewhere'") as failed:
        await graph.compile().invoke({})
    assert (failed.value.error_type, failed.value.node_id) == ("NoBranchError", "a")


@pytest.mark.parametrize("where", ["loop", "thread"])
async def test_the_output_of_a_node_is_printed_and_logged(
    tmp_path: Path, where: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def speak(state: dict[str, Any]) -> dict[str, Any]:
        print("to be seen")
        return {"spoke": True}

    keeper = Checkpointer(tmp_path / "runs.db")
    app = StateGraph(dict).add_node("speak", speak, run_in=where).set_entry_point("speak").compile(keeper)
    assert await app.invoke({}, {"thread_id": "t"}) == {"spoke": True}
    assert capsys.readouterr().out == "to be seen\n"
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        assert connection.execute("SELECT stream, text FROM logs").fetchall() == [("stdout", "to be seen")]


# --- threads -----------------------------------------------------------------------------------


async def test_events_with_checkpoints(tmp_path: Path) -> None:
    app = chain("a", "b").compile(Checkpointer(tmp_path / "runs.db"))
    events = [event async for event in app.stream({"n": 1}, {"thread_id": "t"})]
    assert events == [
        NodeStart(node="a", iteration=1, attempt=1),
        NodeComplete(node="a", iteration=1, update={"seen": ["a"]}),
        Checkpoint(thread_id="t", node="a", state={"n": 1, "seen": ["a"]}),
        EdgeTaken(source="a", target="b"),
        NodeStart(node="b", iteration=1, attempt=1),
        NodeComplete(node="b", iteration=1, update={"seen": ["a", "b"]}),
        Checkpoint(thread_id="t", node="b", state={"n": 1, "seen": ["a", "b"]}),
        EdgeTaken(source="b", target=END),
        Complete(state={"n": 1, "seen": ["a", "b"]}),
    ]


async def test_a_failed_thread_continues_from_the_failed_node(tmp_path: Path) -> None:
    broken = True

    async def second(state: Counter) -> Counter:
        if broken:
            raise ConnectionError("gone")
        return {"n": 2}

    graph = chain("a").add_node("second", second).add_edge("a", "second")
    app = graph.compile(Checkpointer(tmp_path / "runs.db"))
    thread = {"configurable": {"thread_id": "t"}}
    with pytest.raises(GraphRunError):
        await app.invoke({}, thread)
    stands = await app.get_state(thread)
    assert (stands.next, stands.status, stands.values) == (("second",), "failed", {"seen": ["a"]})
    broken = False
    assert await app.invoke(None, thread) == {"seen": ["a"], "n": 2}
    assert (await app.get_state(thread)).next == ()
    assert await app.invoke(None, thread) == {"seen": ["a"], "n": 2}


async def test_a_cancelled_invoke_stops_the_run_and_can_continue(tmp_path: Path) -> None:
    at_work = asyncio.Event()
    ended: list[str] = []
    release = False

    async def slow(state: Counter) -> Counter:
        if release:
            return {"n": 7}
        at_work.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("slow")
        return {}

    graph = chain("a").add_node("slow", slow).add_edge("a", "slow")
    app = graph.compile(Checkpointer(tmp_path / "runs.db"))
    call = asyncio.ensure_future(app.invoke({}, {"thread_id": "t"}))
    await at_work.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ended == ["slow"]
    assert (await app.get_state({"thread_id": "t"})).status == "cancelled"
    release = True
    assert await app.invoke({}, {"thread_id": "t"}) == {"seen": ["a"], "n": 7}


async def test_leaving_a_stream_early_stops_the_run(tmp_path: Path) -> None:
    app = chain("a", "b", "c").compile(Checkpointer(tmp_path / "runs.db"))
    stream = app.stream({}, {"thread_id": "t"})
    async for event in stream:
        if isinstance(event, NodeComplete):
            break
    await stream.aclose()  # type: ignore[attr-defined]
    assert (await app.invoke(None, {"thread_id": "t"}))["seen"] == ["a", "b", "c"]


async def test_leaving_a_stream_at_the_end_of_the_run_keeps_its_status(tmp_path: Path) -> None:
    app = chain("a", "b", "c").compile(Checkpointer(tmp_path / "runs.db"))
    stream = app.stream({}, {"thread_id": "t"})
    async for event in stream:
        if isinstance(event, NodeComplete) and event.node == "c":
            break
    await stream.aclose()  # type: ignore[attr-defined]
    assert (await app.invoke(None, {"thread_id": "t"}))["seen"] == ["a", "b", "c"]


async def test_many_runs_at_once_on_one_graph_and_store(tmp_path: Path) -> None:
    met = asyncio.Barrier(5)

    async def meet(state: Counter) -> Counter:
        await met.wait()
        return {"n": state["n"] * 2}

    app = StateGraph(Counter).add_node("meet", meet).set_entry_point("meet")
    compiled = app.compile(Checkpointer(tmp_path / "runs.db"))
    results = await asyncio.gather(*(compiled.invoke({"n": i}, {"thread_id": f"t{i}"}) for i in range(5)))
    assert [result["n"] for result in results] == [0, 2, 4, 6, 8]


async def test_a_thread_runs_once_at_a_time() -> None:
    at_work, go = asyncio.Event(), asyncio.Event()

    async def wait(state: Counter) -> Counter:
        at_work.set()
        await go.wait()
        return {}

    app = StateGraph(Counter).add_node("wait", wait).set_entry_point("wait").compile(MemoryCheckpointer())
    first = asyncio.ensure_future(app.invoke({}, {"thread_id": "t"}))
    await at_work.wait()
    with pytest.raises(ThreadBusyError, match="'t'"):
        await app.invoke({}, {"thread_id": "t"})
    go.set()
    await first


async def test_two_graphs_share_a_store_and_not_their_threads(tmp_path: Path) -> None:
    checkpointer = Checkpointer(tmp_path / "runs.db")
    one = (
        StateGraph(Counter, name="one").add_node("a", note("one")).set_entry_point("a").compile(checkpointer)
    )
    two = (
        StateGraph(Counter, name="two").add_node("a", note("two")).set_entry_point("a").compile(checkpointer)
    )
    async with checkpointer:
        found = await asyncio.gather(one.invoke({}, {"thread_id": "t"}), two.invoke({}, {"thread_id": "t"}))
    assert [state["seen"] for state in found] == [["one"], ["two"]]


def test_one_checkpointer_in_several_loops_one_after_the_other(tmp_path: Path) -> None:
    app = chain("a").compile(Checkpointer(tmp_path / "runs.db"))
    asyncio.run(app.invoke({"n": 1}, {"thread_id": "t"}))
    assert asyncio.run(app.get_state({"thread_id": "t"})).values == {"n": 1, "seen": ["a"]}


async def test_a_file_is_open_in_one_process_at_a_time(tmp_path: Path) -> None:
    async with Checkpointer(tmp_path / "runs.db"):
        other = chain("a").compile(Checkpointer(tmp_path / "runs.db"))
        with pytest.raises(EngineLockedError, match=rf"open in another process.*{os.getpid()}"):
            await other.invoke({})
    assert (await other.invoke({}))["seen"] == ["a"]


async def test_the_database_of_an_engine_is_refused(tmp_path: Path) -> None:
    (tmp_path / "engine.lock").touch()
    with pytest.raises(UsageError, match="database of an engine"):
        await chain("a").compile(Checkpointer(tmp_path / "victor.db")).invoke({})


async def test_threads_need_a_checkpointer_and_an_initial_state(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="without a checkpointer"):
        await chain("a").compile().invoke({}, {"thread_id": "t"})
    app = chain("a").compile(Checkpointer(tmp_path / "runs.db"))
    with pytest.raises(NotFoundError, match="no thread 't'"):
        await app.invoke(None, {"thread_id": "t"})
    with pytest.raises(NotFoundError, match="no thread 't'"):
        await app.get_state({"thread_id": "t"})
    with pytest.raises(UsageError, match="config needs a thread"):
        await app.invoke(None)


@pytest.mark.parametrize("state", [{"m": 1}, {"n": object()}, {"n": float("inf")}, 5])
async def test_an_invalid_state_is_refused(state: Any) -> None:
    with pytest.raises(UsageError, match="state"):
        await chain("a").compile().invoke(state)


async def test_a_dataclass_state_is_checked_at_the_start() -> None:
    app = (
        StateGraph(Order)
        .add_node("price", functions.price, run_in="thread")
        .set_entry_point("price")
        .compile()
    )
    with pytest.raises(UsageError, match=r"not a valid Order.*amount"):
        await app.invoke({"total": 1.0})


# --- faults of graphs --------------------------------------------------------------------------


def built(change: Callable[[StateGraph[Counter]], object]) -> Callable[[], object]:
    def build() -> object:
        graph = chain("a", "b")
        change(graph)
        return graph.compile()

    return build


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: g.add_node("a", bump), "a node 'a' exists already"),
        (lambda g: g.add_edge("a", "c"), "an edge from 'a' leads to 'c'"),
        (lambda g: g.add_edge("c", "a"), "an edge starts at 'c'"),
        (lambda g: g.add_node("alone", bump), "no edge leads to 'alone'"),
        (lambda g: g.add_conditional_edge("a", bool, {True: "c"}), "leads to 'c'"),
        (lambda g: g.add_conditional_edge("a", bool, {}), "has no targets"),
        (lambda g: g.add_conditional_edge("c", bool, {True: "a"}), "a condition comes after 'c'"),
        (lambda g: g.add_conditional_edge("a", bump, {True: "b"}), "is async"),
        (lambda g: g.add_parallel("p", ["b", "x"]), "leads to 'x'"),
        (lambda g: g.set_entry_point("b"), "entry point is already 'a'"),
        (lambda g: g.add_node("c", bump, on_error="nowhere").add_edge("b", "c"), "leads to 'nowhere'"),
        (lambda g: g.add_node(HITLNode(id="ask", prompt="?")).add_edge("b", "ask"), "'ask' is a hitl node"),
        (lambda g: g.add_node(END, bump), "cannot be the name of a node"),
        (lambda g: g.add_node("c", bump, timeout=-1), "c: the timeout must be greater than zero"),
    ],
)
def test_errors_are_named(change: Callable[[StateGraph[Counter]], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        built(change)()


def test_a_graph_needs_nodes_and_an_entry_point() -> None:
    with pytest.raises(GraphDefinitionError, match="has no nodes"):
        StateGraph(Counter).compile()
    with pytest.raises(GraphDefinitionError, match="no entry point"):
        StateGraph(Counter).add_node("a", bump).compile()
    with pytest.raises(ValueError, match="max_iterations"):
        chain("a").compile(max_iterations=0)


def test_a_reducer_is_refused_and_not_ignored() -> None:
    class Summed(TypedDict):
        total: Annotated[int, max]

    with pytest.raises(TypeError, match=r"Summed.total has a reducer"):
        StateGraph(Summed)
    with pytest.raises(TypeError, match="a TypedDict, a dataclass or dict"):
        StateGraph(int)


def test_the_types_of_the_state_are_checked() -> None:
    app = chain("a").compile()
    final: Counter = asyncio.run(app.invoke({"n": 1}))
    loose: Mapping[str, object] = final
    assert loose["n"] == 1


# --- when it cannot go on ----------------------------------------------------------------------


async def test_a_stream_ends_with_the_failure_and_raises_it() -> None:
    async def fail(state: Counter) -> Counter:
        raise LookupError("no such thing")

    app = StateGraph(Counter).add_node("a", fail).set_entry_point("a").compile()
    told: list[GraphEvent] = []

    async def follow() -> None:
        async for event in app.stream({}):
            told.append(event)

    with pytest.raises(GraphRunError, match="no such thing"):
        await follow()
    assert [event.type for event in told] == ["node_start", "error", "error"]
    last = told[-1]
    assert isinstance(last, Error)
    assert (last.final, last.node, last.error_type) == (True, "a", "LookupError")


async def test_a_run_with_a_lost_store_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"

    async def overtaken(state: Counter) -> Counter:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("UPDATE meta SET value = value + 1 WHERE key = 'epoch'")
        return {"n": 1}

    graph = chain("a").add_node("overtaken", overtaken).add_edge("a", "overtaken")
    app = graph.compile(Checkpointer(path))
    with pytest.raises(StoreError, match="to continue from its last committed node"):
        await app.invoke({}, {"thread_id": "t"})
    assert (await app.get_state({"thread_id": "t"})).next == ("overtaken",)


async def test_log_records_of_a_function_belong_to_its_attempt(tmp_path: Path) -> None:
    async def speak(state: Counter) -> Counter:
        logging.getLogger(__name__).info("in the loop")
        return {}

    checkpointer = Checkpointer(tmp_path / "runs.db")
    await StateGraph(Counter).add_node("a", speak).set_entry_point("a").compile(checkpointer).invoke({})
    with contextlib.closing(sqlite3.connect(tmp_path / "runs.db")) as connection:
        assert [text for (text,) in connection.execute("SELECT text FROM logs")] == [
            f"INFO {__name__}: in the loop"
        ]


def test_a_graph_without_a_checkpointer_leaves_no_files() -> None:
    before = set(threading.enumerate())
    app = chain("a").compile()
    asyncio.run(app.invoke({}))
    folder = app._checkpointer.path.parent
    assert list(folder.iterdir()) == []
    del app
    gc.collect()
    assert not folder.exists()
    assert set(threading.enumerate()) <= before
