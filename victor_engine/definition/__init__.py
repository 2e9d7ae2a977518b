"""Definitions of workflows: nodes, limits, YAML, expressions, templates and checks of the graph."""

from victor_engine.definition.content import definition_to_content
from victor_engine.definition.expressions.expression import FunctionRegistry
from victor_engine.definition.loader import (
    LoadResult,
    checksum,
    definition_from_content,
    load_file,
    load_workflow_from_yaml,
)
from victor_engine.definition.model import (
    AgentNode,
    Branch,
    Choice,
    ComputeNode,
    ConditionNode,
    Constraints,
    HITLNode,
    Node,
    ParallelNode,
    RetryPolicy,
    SubWorkflowNode,
    TeamMember,
    TeamNode,
    TransformNode,
    WaitNode,
    WorkflowDefinition,
    WorkflowNode,
)

__all__ = [
    "AgentNode",
    "Branch",
    "Choice",
    "ComputeNode",
    "ConditionNode",
    "Constraints",
    "FunctionRegistry",
    "HITLNode",
    "LoadResult",
    "Node",
    "ParallelNode",
    "RetryPolicy",
    "SubWorkflowNode",
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
