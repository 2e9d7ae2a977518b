"""Workflows in Python: graphs of functions on a state, and a builder of definitions.

Both use the runtime and the store of workflows from files.
"""

from victor_engine.definition.limits import RetryPolicy
from victor_engine.graph.builder import WorkflowBuilder, WorkflowFactory, register_workflow, workflow
from victor_engine.graph.checkpoint import Checkpointer, MemoryCheckpointer
from victor_engine.graph.compiled import CompiledGraph, StateSnapshot
from victor_engine.graph.errors import GraphDefinitionError, GraphRunError, ThreadBusyError
from victor_engine.graph.events import (
    Checkpoint,
    Complete,
    EdgeTaken,
    Error,
    GraphEvent,
    NodeComplete,
    NodeStart,
)
from victor_engine.graph.stategraph import END, START, StateGraph
from victor_engine.work.state_functions import idempotency


def idempotency_key() -> str | None:
    """Return, in the function of a node, a key that is the same in each attempt of this execution."""
    return idempotency.get()


__all__ = [
    "END",
    "START",
    "Checkpoint",
    "Checkpointer",
    "CompiledGraph",
    "Complete",
    "EdgeTaken",
    "Error",
    "GraphDefinitionError",
    "GraphEvent",
    "GraphRunError",
    "MemoryCheckpointer",
    "NodeComplete",
    "NodeStart",
    "RetryPolicy",
    "StateGraph",
    "StateSnapshot",
    "ThreadBusyError",
    "WorkflowBuilder",
    "WorkflowFactory",
    "idempotency_key",
    "register_workflow",
    "workflow",
]
