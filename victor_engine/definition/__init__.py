"""Definitions of workflows: nodes, limits, YAML, expressions, templates and checks of the graph."""

from victor_engine.definition.content import checksum, definition_to_content
from victor_engine.definition.expressions.expression import FunctionRegistry
from victor_engine.definition.limits import Constraints, RetryPolicy
from victor_engine.definition.loader import LoadResult, load_file, load_workflow_from_yaml
from victor_engine.definition.model import (
    AgentNode,
    Branch,
    Choice,
    ComputeNode,
    ConditionNode,
    FailNode,
    HITLNode,
    MapNode,
    Node,
    ParallelNode,
    SubWorkflowNode,
    SucceedNode,
    TeamMember,
    TeamNode,
    TransformNode,
    WaitNode,
    WorkflowDefinition,
    WorkflowNode,
)
from victor_engine.definition.stored_content import definition_from_content

__all__ = [
    "AgentNode",
    "Branch",
    "Choice",
    "ComputeNode",
    "ConditionNode",
    "Constraints",
    "FailNode",
    "FunctionRegistry",
    "HITLNode",
    "LoadResult",
    "MapNode",
    "Node",
    "ParallelNode",
    "RetryPolicy",
    "SubWorkflowNode",
    "SucceedNode",
    "TeamMember",
    "TeamNode",
    "TransformNode",
    "WaitNode",
    "WorkflowDefinition",
    "WorkflowNode",
    "checksum",
    "definition_from_content",
    "definition_to_content",
    "load_file",
    "load_workflow_from_yaml",
]
