"""The model of a workflow: immutable nodes, limits and edges, which are validated when they are constructed.

The dataclasses have the keys of the YAML dialect. Durations are seconds as floats; None means no limit.
`extra` keeps the keys that the engine does not act on: it passes them to the agent or handler of the node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from victor_engine.definition.inputs import Inputs
from victor_engine.definition.limits import NO_CONSTRAINTS, CircuitBreaker, Constraints
from victor_engine.definition.limits import Concurrency as Concurrency
from victor_engine.definition.node_base import ON_INTERRUPT as ON_INTERRUPT
from victor_engine.definition.node_base import Node as Node
from victor_engine.definition.node_parts import Branch as Branch
from victor_engine.definition.node_parts import Choice as Choice
from victor_engine.definition.node_parts import EndHandler as EndHandler
from victor_engine.definition.node_parts import TeamMember as TeamMember
from victor_engine.definition.outputs import Outputs

DEFAULT_MAX_ITERATIONS = 1000
"""The maximum number of node executions of one run, if the author gives no limit."""

DEFAULT_MAP_CONCURRENT = 10
"""The number of items of a map that are executed at once, if the author gives none."""

JOIN_STRATEGIES = ("all", "any", "merge", "n_of_m")
TEAM_FORMATIONS = ("sequential", "parallel", "pipeline", "hierarchical", "consensus")
TEAM_MERGE_STRATEGIES = ("dict", "list")
TEAM_MERGE_MODES = ("team_wins", "state_wins", "graph_wins", "merge", "error", "strict", "none")
HITL_KINDS = ("approval", "confirmation", "choice", "input", "review", "override")
REJECT_POLICIES = ("any", "majority", "quorum")
FALLBACKS = ("abort", "continue", "skip", "retry", "reject", "approve", "escalate")
ERROR_STRATEGIES = ("continue", "stop", "retry")
ON_RETRY = ("continue", "restart")
ON_WAIT_TIMEOUT = ("fail", "continue")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentNode(Node):
    """Work of an agent role, with a goal (a template) and mapped inputs."""

    type: ClassVar[str] = "agent"

    role: str = ""
    goal: str = ""
    tools: tuple[str, ...] = ()
    tool_budget: int | None = None
    handler: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    input_mapping: Mapping[str, Any] = field(default_factory=dict)
    llm_config: Mapping[str, Any] = field(default_factory=dict)
    profile: str | None = None
    constraints: Constraints = NO_CONSTRAINTS
    env: Mapping[str, Any] = field(default_factory=dict)
    cwd: str | None = None
    stdin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeNode(Node):
    """Work of a handler or tool, with `inputs` that may contain `$ctx.name` references.

    `env`, `cwd` and `stdin` are for the process of a command. `stdin` replaces the payload; None keeps it.
    """

    type: ClassVar[str] = "compute"

    handler: str | None = None
    tools: tuple[str, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    input_mapping: Mapping[str, Any] = field(default_factory=dict)
    constraints: Constraints = NO_CONSTRAINTS
    env: Mapping[str, Any] = field(default_factory=dict)
    cwd: str | None = None
    stdin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionNode(Node):
    """A choice of branch: an expression, a dotted state key, or the name of a registered function."""

    type: ClassVar[str] = "condition"

    condition: str = ""
    branches: tuple[Branch, ...] = ()

    def targets(self) -> tuple[tuple[str, str, str], ...]:
        edges = [(b.target, b.key, "branch") for b in self.branches if b.target is not None]
        return tuple(edges) + Node.targets(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelNode(Node):
    """Several nodes that run in parallel, at most `max_concurrent` at once. `join_count` is the n of `n_of_m`."""

    type: ClassVar[str] = "parallel"

    parallel_nodes: tuple[str, ...] = ()
    join_strategy: str = "all"
    join_count: int | None = None
    max_concurrent: int | None = None

    def targets(self) -> tuple[tuple[str, str, str], ...]:
        return tuple((m, "", "member") for m in self.parallel_nodes) + Node.targets(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapNode(Node):
    """The node `node` for each item of a list, at most `max_concurrent` at once. The result is the list of results.

    `over` is a list, a map, or an expression; `item` is the name of the item in the state of `node`. `key` names the
    part of an item that identifies it, such as `host.name` (None: its index). `tolerate` items may fail, or all but
    `min_success`.
    """

    type: ClassVar[str] = "map"

    over: Any = None
    item: str = "item"
    node: str = ""
    key: str | None = None
    max_concurrent: int = DEFAULT_MAP_CONCURRENT
    tolerate: int = 0
    min_success: int | None = None

    def targets(self) -> tuple[tuple[str, str, str], ...]:
        return ((self.node, "", "member"), *Node.targets(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformNode(Node):
    """One or more assignments to the state, evaluated in order."""

    type: ClassVar[str] = "transform"

    transform: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HITLNode(Node):
    """A request to people. `outcomes` is the map form of `next`: outcome to node id.

    `reminders` are seconds before the deadline, `remind_every` the seconds between two reminders. An answer can
    be corrected for `undo_window` seconds. `chain` names people who are asked one after the other.
    """

    type: ClassVar[str] = "hitl"

    hitl_type: str = "approval"
    prompt: str = ""
    context_keys: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    multiple: bool = False
    default_value: Any = None
    has_default: bool = False
    input_schema: Mapping[str, Any] | None = None
    allow_edit: bool = False
    fallback: str = "abort"
    fallback_given: bool = False
    max_asks: int = 3
    escalate_to: str | None = None
    escalation: tuple[Mapping[str, Any], ...] = ()
    assignees: tuple[str, ...] = ()
    required_approvals: int = 1
    allow_self_approval: bool = True
    require_comment: bool = False
    reject_policy: str = "any"
    chain: tuple[str, ...] = ()
    reminders: tuple[float, ...] = ()
    remind_every: float | None = None
    undo_window: float | None = None
    allow_questions: bool = False
    priority: int = 0
    outcomes: Mapping[str, str] = field(default_factory=dict)

    def targets(self) -> tuple[tuple[str, str, str], ...]:
        edges = [(target, outcome, "outcome") for outcome, target in self.outcomes.items()]
        return tuple(edges) + Node.targets(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamNode(Node):
    """Several agents that work on one goal, in a formation.

    `min_success` is the number of members that must succeed, `majority`, or None for all.
    """

    type: ClassVar[str] = "team"

    goal: str = ""
    team_formation: str = "sequential"
    members: tuple[TeamMember, ...] = ()
    total_tool_budget: int | None = None
    min_success: int | str | None = None
    merge_strategy: str = "dict"
    merge_mode: str = "team_wins"
    inputs: Mapping[str, Any] = field(default_factory=dict)
    input_mapping: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitNode(Node):
    """A wait for a duration, for an instant, for a file, or for an expected HTTP response.

    Exactly one of `seconds`, `until`, `file` and `http` is given. `seconds` and `until` may be texts with
    `$ctx.name` or `{name}`, which are resolved when the run reaches the node. `timeout_seconds` is the longest
    wait by the wall clock; `on_timeout` is its consequence.
    """

    type: ClassVar[str] = "wait"

    seconds: float | str | None = None
    until: str | None = None
    timezone: str | None = None
    file: str | None = None
    stable_for: float | None = None
    http: Mapping[str, Any] | None = None
    poll: float = 5.0
    on_timeout: str = "fail"
    outcomes: Mapping[str, str] = field(default_factory=dict)

    def targets(self) -> tuple[tuple[str, str, str], ...]:
        edges = [(target, outcome, "outcome") for outcome, target in self.outcomes.items()]
        return tuple(edges) + Node.targets(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubWorkflowNode(Node):
    """A child run of another workflow, whose final state is the result of this node.

    `version` is an exact version, a range or None for the newest; it is resolved when the run reaches the node.
    With `wait: false` the child run is started and the walk continues at once. With `on_retry: continue`, another
    attempt continues the child of the attempt before it; with `restart` it starts another child.
    """

    type: ClassVar[str] = "workflow"

    workflow: str = ""
    version: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    input_mapping: Mapping[str, Any] = field(default_factory=dict)
    wait: bool = True
    on_retry: str = "continue"
    merge: bool = False
    outcomes: Mapping[str, str] = field(default_factory=dict)

    def targets(self) -> tuple[tuple[str, str, str], ...]:
        edges = [(target, outcome, "outcome") for outcome, target in self.outcomes.items()]
        return tuple(edges) + Node.targets(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailNode(Node):
    """Ends the run as failed, with an error of the author. `message` is a template."""

    type: ClassVar[str] = "fail"

    message: str = ""
    error_type: str = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SucceedNode(Node):
    """Ends the run as succeeded; other pending nodes are not executed."""

    type: ClassVar[str] = "succeed"


WorkflowNode = Node
NODE_TYPES: dict[str, type[Node]] = {
    cls.type: cls
    for cls in (
        AgentNode,
        ComputeNode,
        ConditionNode,
        ParallelNode,
        MapNode,
        TransformNode,
        HITLNode,
        TeamNode,
        WaitNode,
        SubWorkflowNode,
        FailNode,
        SucceedNode,
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowDefinition:
    """One definition of a workflow: the nodes in declared order, the start, the limits.

    `nodes` includes the nodes of `handlers`, after the others. `content` is the mapping of the dialect that it was read
    from, with `$ref` resolved. It is stored, shown, compared and read again (`definition_from_content`). For a
    definition that is built in Python, it is derived (`definition_to_content`). `metadata` has the free-form metadata
    of the file, and its `schedule` and `version`.
    """

    name: str
    description: str = ""
    version: str | None = None
    nodes: Mapping[str, Node] = field(default_factory=dict)
    handlers: Mapping[str, EndHandler] = field(default_factory=dict)
    start_node: str | None = None
    max_execution_timeout_seconds: float | None = None
    default_node_timeout_seconds: float | None = None
    max_iterations: int | None = None
    max_retries: int = 0
    circuit_breaker_enabled: bool | None = None
    circuit_breaker: CircuitBreaker | None = None
    concurrency: Concurrency | None = None
    schedule: Mapping[str, Any] | None = None
    inputs: Inputs | None = None
    outputs: Outputs | None = None
    migrations: tuple[Mapping[str, Any], ...] = ()
    deprecated: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    content: Mapping[str, Any] | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        for field_name in ("max_execution_timeout_seconds", "default_node_timeout_seconds"):
            value = getattr(self, field_name)
            if value is not None and not value > 0:
                raise ValueError(f"{self.name}: {field_name} must be greater than zero, not {value}")
        if self.max_iterations is not None and self.max_iterations < 1:
            raise ValueError(f"{self.name}: max_iterations must be at least 1")
        if self.max_retries < 0:
            raise ValueError(f"{self.name}: max_retries must not be negative")

    @property
    def start(self) -> str:
        """The id of the first node."""
        if self.start_node is not None:
            return self.start_node
        try:
            return next(iter(self.nodes))
        except StopIteration:
            raise ValueError(f"workflow {self.name!r} has no nodes") from None

    @property
    def iteration_limit(self) -> int:
        """The maximum number of node executions of one run."""
        return self.max_iterations if self.max_iterations is not None else DEFAULT_MAX_ITERATIONS

    def node(self, node_id: str) -> Node:
        """Return the node of an id. Raises KeyError if it does not exist."""
        return self.nodes[node_id]

    def breaker_for(self, node: Node) -> CircuitBreaker | None:
        """Return the circuit breaker of a node, or that of the workflow. Only nodes that do work have one."""
        if not isinstance(node, AgentNode | ComputeNode | TeamNode | SubWorkflowNode):
            return None
        if node.circuit_breaker_enabled is False:
            return None
        if node.circuit_breaker is not None:
            return node.circuit_breaker
        if node.circuit_breaker_enabled:
            return self.circuit_breaker or CircuitBreaker()
        if self.circuit_breaker_enabled is False:
            return None
        if self.circuit_breaker is None and self.circuit_breaker_enabled:
            return CircuitBreaker()
        return self.circuit_breaker

    def members(self) -> frozenset[str]:
        """Return the ids of the nodes that run only inside a parallel or map node."""
        return frozenset(
            target for node in self.nodes.values() for target, _, kind in node.targets() if kind == "member"
        )
