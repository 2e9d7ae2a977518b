"""What a workflow is: nodes, limits, YAML, expressions, templates and graph checks."""

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
    TeamMember,
    TeamNode,
    TransformNode,
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
    "HITLNode",
    "Node",
    "ParallelNode",
    "RetryPolicy",
    "TeamMember",
    "TeamNode",
    "TransformNode",
    "WorkflowDefinition",
    "WorkflowNode",
]
