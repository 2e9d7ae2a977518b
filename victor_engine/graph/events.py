"""What `stream` tells while a graph runs. Tell them apart by class, or by `type`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStart:
    """An attempt at a node begins. `attempt` counts from 1; `iteration` the visits to the node."""

    type: Literal["node_start"] = "node_start"
    node: str
    iteration: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeComplete:
    """A node is done and committed; `update` is what it changed of the state."""

    type: Literal["node_complete"] = "node_complete"
    node: str
    iteration: int
    update: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeTaken:
    """The walk goes from a node to another (or to END); `label` is the branch of a condition."""

    type: Literal["edge_taken"] = "edge_taken"
    source: str
    target: str
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The state after `node` is on disk: a process that dies now goes on from here."""

    type: Literal["checkpoint"] = "checkpoint"
    thread_id: str
    node: str
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """The run has succeeded; always the last event."""

    type: Literal["complete"] = "complete"
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """An attempt or the whole run failed.

    `retry` says that the node is tried again; the last event of a run that did not succeed has
    `final` set, and `stream` then raises `GraphRunError`.
    """

    type: Literal["error"] = "error"
    node: str | None
    error_type: str
    message: str
    retry: bool = False
    final: bool = False


GraphEvent = NodeStart | NodeComplete | EdgeTaken | Checkpoint | Complete | Error
