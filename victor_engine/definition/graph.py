"""The graph of a definition, as it is drawn, and its reachable nodes."""

from __future__ import annotations

from victor_engine.api import GraphEdge, GraphInfo, GraphNode
from victor_engine.definition.model import (
    AgentNode,
    ComputeNode,
    ConditionNode,
    FailNode,
    HITLNode,
    MapNode,
    Node,
    ParallelNode,
    SubWorkflowNode,
    TeamNode,
    TransformNode,
    WaitNode,
    WorkflowDefinition,
)
from victor_engine.durations import duration_text


def reaches(definition: WorkflowDefinition, start: str) -> frozenset[str]:
    """Return all nodes that can follow `start`. They include `start` only if it is on a loop."""
    seen: set[str] = set()
    todo = [target for target, _, _ in definition.nodes[start].targets()]
    while todo:
        node_id = todo.pop()
        if node_id in seen or node_id not in definition.nodes:
            continue
        seen.add(node_id)
        todo.extend(target for target, _, _ in definition.nodes[node_id].targets())
    return frozenset(seen)


def detail(node: Node) -> str:
    """Return one line about the work of a node."""
    if isinstance(node, AgentNode):
        return node.role
    if isinstance(node, ComputeNode):
        return node.handler or ", ".join(node.tools)
    if isinstance(node, ConditionNode):
        return node.condition.strip()
    if isinstance(node, ParallelNode):
        count = f"{node.join_count} of " if node.join_strategy == "n_of_m" else ""
        return f"{node.join_strategy}: {count}{len(node.parallel_nodes)}"
    if isinstance(node, MapNode):
        over = node.over if isinstance(node.over, str) else f"{len(node.over or ())} items"
        return f"{node.node} for {over}, {node.max_concurrent} at once"
    if isinstance(node, HITLNode):
        return node.hitl_type
    if isinstance(node, TeamNode):
        return f"{node.team_formation}: {', '.join(member.role or member.id for member in node.members)}"
    if isinstance(node, TransformNode):
        lines = node.transform.strip().splitlines()
        return (lines[0] + (" …" if len(lines) > 1 else "")) if lines else ""
    if isinstance(node, WaitNode):
        return wait_text(node)
    if isinstance(node, FailNode):
        return node.message
    if isinstance(node, SubWorkflowNode):
        mode = "" if node.wait else ", no wait"
        return f"{node.workflow} {node.version or 'latest'}{mode}"
    return ""


def wait_text(node: WaitNode) -> str:
    """Return the condition of a wait node as its author wrote it: `10 m`, `until 09:00`, `file x.csv`."""
    if node.seconds is not None:
        return node.seconds if isinstance(node.seconds, str) else duration_text(node.seconds)
    if node.until is not None:
        return f"until {node.until}"
    if node.file is not None:
        return f"file {node.file}"
    return f"{(node.http or {}).get('method', 'GET')} {(node.http or {}).get('url', '')}"


def handler_of(definition: WorkflowDefinition) -> dict[str, str]:
    """Return the end handler of each node that is in one."""
    return {node: key for key, handler in definition.handlers.items() for node in handler.nodes}


def graph_info(definition: WorkflowDefinition) -> GraphInfo:
    """Return the graph as it is drawn: nodes in declared order, edges with their labels and kinds."""
    of = handler_of(definition)
    return GraphInfo(
        start=definition.start,
        nodes=tuple(
            GraphNode(
                id=node.id, type=node.type, name=node.name, detail=detail(node), handler=of.get(node.id, "")
            )
            for node in definition.nodes.values()
        ),
        edges=tuple(
            GraphEdge(source=node.id, target=target, label=label, kind=kind)
            for node in definition.nodes.values()
            for target, label, kind in node.targets()
        ),
    )


def reachable(definition: WorkflowDefinition) -> frozenset[str]:
    """Return all nodes that a run can reach, in its body or in a handler of its end."""
    starts = (definition.start, *(handler.start for handler in definition.handlers.values()))
    return frozenset(starts).union(*(reaches(definition, start) for start in starts))
