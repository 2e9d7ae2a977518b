"""Examples of the types of the public names. mypy checks them; they are never executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

from victor_engine.definition import WorkflowDefinition
from victor_engine.graph import (
    Checkpointer,
    CompiledGraph,
    Complete,
    EdgeTaken,
    Error,
    NodeComplete,
    StateGraph,
    StateSnapshot,
    WorkflowBuilder,
    WorkflowFactory,
    workflow,
)


class State(TypedDict):
    n: int


@dataclass
class Order:
    amount: int


def whole(state: State) -> State:
    return {"n": state["n"] + 1}


async def part(state: State) -> dict[str, Any]:
    return {"n": 1}


def double(order: Order) -> Order:
    return Order(order.amount * 2)


async def typed() -> None:
    graph = StateGraph(State).add_node("whole", whole).add_node(part)
    graph.add_edge("whole", "part").add_conditional_edge(
        "part", lambda state: state["n"] > 1, {True: "whole"}
    )
    app = graph.compile(Checkpointer("runs.db"), max_iterations=5, timeout=1.5)
    assert_type(app, CompiledGraph[State])
    assert_type(await app.invoke({"n": 1}), State)
    assert_type(await app.get_state({"thread_id": "t"}), StateSnapshot[State])
    assert_type((await StateGraph(Order).add_node(double).compile().invoke(Order(1))).amount, int)
    async for event in app.stream({"n": 1}):
        if isinstance(event, NodeComplete):
            assert_type(event.update, Mapping[str, Any])
        elif event.type == "edge_taken":
            assert_type(event, EdgeTaken)
        elif isinstance(event, Error):
            assert_type(event.retry, bool)
        elif isinstance(event, Complete):
            assert_type(event.state, Mapping[str, Any])
    StateGraph(State).add_node("wrong", double)  # type: ignore[arg-type]
    await app.invoke(5)  # type: ignore[arg-type]


@workflow("built")
def built() -> WorkflowBuilder:
    return (
        WorkflowBuilder("built")
        .add_transform("a", "x = 1")
        .add_condition("b", lambda state: True, {True: None})
    )


assert_type(built, WorkflowFactory)
assert_type(built(), WorkflowDefinition)
