"""The events that `stream` yields while a graph runs. Distinguish them by class or by `type`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStart:
    """An attempt of a node starts. `attempt` counts from 1; `iteration` counts the visits of the node."""

    type: Literal["node_start"] = "node_start"
    node: str
    iteration: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeComplete:
    """A node has completed and is committed. `update` are its changes of the state."""

    type: Literal["node_complete"] = "node_complete"
    node: str
    iteration: int
    update: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeTaken:
    """The run goes from a node to another node or to END. `label` is the branch of a condition."""

    type: Literal["edge_taken"] = "edge_taken"
    source: str
    target: str
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The state after `node` is on disk. After a crash, the run continues from it."""

    type: Literal["checkpoint"] = "checkpoint"
    thread_id: str
    node: str
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """The run has succeeded. This is always the last event."""

    type: Literal["complete"] = "complete"
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """An attempt or the whole run failed.

    `retry` is True if a further attempt follows. `final` is True in the last event of a run that did not
    succeed, after which `stream` raises `GraphRunError`.
    """

    type: Literal["error"] = "error"
    node: str | None
    error_type: str
    message: str
    retry: bool = False
    final: bool = False


GraphEvent = NodeStart | NodeComplete | EdgeTaken | Checkpoint | Complete | Error
