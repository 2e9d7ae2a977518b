"""The keys of the workflow dialect, the common table of the reader and the JSON Schema."""

from __future__ import annotations

PROCESS = ("env", "cwd", "stdin")
"""The keys of a node for the process of its command."""

COMMON = frozenset(
    [
        "id",
        "type",
        "name",
        "description",
        "when",
        "next",
        "timeout",
        "timeout_seconds",
        "retry_policy",
        "retry",
        "output",
        "merge",
        "on_error",
        "on_interrupt",
        "error_strategy",
        "circuit_breaker_enabled",
        "circuit_breaker",
        "metadata",
    ]
)

BY_TYPE: dict[str, frozenset[str]] = {
    "agent": frozenset(
        [
            "role",
            "goal",
            "tools",
            "tool_budget",
            "handler",
            "inputs",
            "input_mapping",
            "llm_config",
            "profile",
            "constraints",
            "allowed_tools",
            *PROCESS,
        ]
    ),
    "compute": frozenset(["handler", "tools", "inputs", "input_mapping", "constraints", *PROCESS]),
    "condition": frozenset({"condition", "branches"}),
    "parallel": frozenset(
        ["parallel_nodes", "join_strategy", "join_count", "min_success", "required", "join", "max_concurrent"]
    ),
    "map": frozenset(["over", "as", "node", "key", "max_concurrent", "min_success", "tolerate"]),
    "transform": frozenset({"transform"}),
    "fail": frozenset({"message", "error_type"}),
    "succeed": frozenset(),
    "hitl": frozenset(
        [
            "hitl_type",
            "prompt",
            "context_keys",
            "choices",
            "options",
            "multiple",
            "default_value",
            "input_schema",
            "allow_edit",
            "fallback",
            "on_timeout",
            "max_asks",
            "escalate_to",
            "escalation",
            "assignees",
            "required_approvals",
            "allow_self_approval",
            "require_comment",
            "reject_policy",
            "chain",
            "reminders",
            "remind_every",
            "allow_questions",
            "priority",
            "undo_window",
        ]
    ),
    "team": frozenset(
        [
            "goal",
            "team_formation",
            "formation",
            "members",
            "total_tool_budget",
            "min_success",
            "merge_strategy",
            "merge_mode",
            "inputs",
            "input_mapping",
        ]
    ),
    "wait": frozenset(
        [
            "for",
            "seconds",
            "until",
            "timezone",
            "file",
            "stable_for",
            "http",
            "poll",
            "on_timeout",
        ]
    ),
    "workflow": frozenset(["workflow", "version", "inputs", "input_mapping", "wait", "on_retry"]),
}

WAIT_HTTP = frozenset(["url", "method", "headers", "status", "json"])

PASSED_THROUGH = frozenset(
    [
        "llm_config",
        "profile",
        "tool_budget",
        "config",
        "tags",
        "model",
        "temperature",
        "position",
        "ui",
        "docs",
        "owner",
    ]
)
"""Keys that the engine does not act on and passes to the agent or handler, without a warning."""

HINTS = {
    "batch_config": "Use a parallel node",
    "cache": "The work itself can keep results",
    "services": "Start services outside the workflow",
    "error_handling": "Use retry_policy, on_error or error_strategy",
    "max_cost_tier": "Choose the model in the binding",
    "timeout_per_member": "Use timeout of the team, or of the binding of the member",
    "total_timeout": "Use timeout of the node, or max_execution_timeout_seconds of the workflow",
    "max_recursion_depth": "Child runs can be nested 16 deep",
}
"""Keys that the engine passes on with a warning, because it does not act on them; the remedy of each."""

REFUSED = {
    "sandbox": "Run the command in a container or under systemd-run in its binding, or write constraints: "
    "{network_allowed: false}",
    "isolation": "Run the command in a container or under systemd-run in its binding, or write constraints: "
    "{network_allowed: false}",
    "execution_target": "Name the program that reaches the other machine, such as ssh, in the command of its binding",
}
"""Keys that request protection that the engine does not provide. New content must not have them; the remedy of each."""

RESERVED_IDS = ("human", "errors", "end", "END", "__end__", "__start__", "ctx", "state")
"""Ids that new nodes must not have, because they have another meaning: `human` and `errors` are records of the engine,
`end` ends a branch, `ctx` and `state` are the whole state in expressions."""

END_HANDLERS = ("on_failure", "on_cancel", "finally")
"""The graphs of a workflow that are executed at the end of a run, in the order of their execution."""

END_HANDLER = frozenset({"nodes", "start", "timeout", "timeout_seconds"})

CONCURRENCY = frozenset({"key", "max", "on_conflict"})

WORKFLOW = frozenset(
    [
        "concurrency",
        *END_HANDLERS,
        "description",
        "version",
        "nodes",
        "schedule",
        "execution",
        "metadata",
        "migrations",
        "deprecated",
        "tests",
        "inputs",
        "outputs",
        "start",
        "start_node",
        "entry_point",
        "max_execution_timeout_seconds",
        "max_timeout_seconds",
        "default_node_timeout_seconds",
        "default_node_timeout",
        "max_iterations",
        "max_retries",
        "error_strategy",
        "circuit_breaker_enabled",
        "circuit_breaker",
        "name",
    ]
)

WORKFLOW_PASSED_THROUGH = frozenset(
    [
        "llm_config",
        "profile",
        "tags",
        "vertical",
        "owner",
        "docs",
        "variables",
        "defaults",
        "context",
        "temporal_context",
    ]
)

EXECUTION = frozenset(
    [
        "max_timeout_seconds",
        "max_execution_timeout_seconds",
        "default_node_timeout",
        "default_node_timeout_seconds",
        "max_iterations",
        "max_retries",
        "error_strategy",
        "circuit_breaker_enabled",
        "circuit_breaker",
    ]
)

INPUT = frozenset({"type", "default", "enum", "required", "description"})
"""The keys of an input in the short form of `inputs:`."""

OUTPUT = frozenset({"type", "enum", "required", "description", "from"})
"""The keys of an output in the short form of `outputs:`."""

SCHEMA_KEYWORDS = frozenset(
    [
        "title",
        "examples",
        "const",
        "format",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "items",
        "prefixItems",
        "contains",
        "minItems",
        "maxItems",
        "uniqueItems",
        "properties",
        "patternProperties",
        "additionalProperties",
        "propertyNames",
        "minProperties",
        "maxProperties",
        "dependentRequired",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "then",
        "else",
        "writeOnly",
    ]
)
"""The keywords of JSON Schema that an input or output in the short form can have besides `INPUT` or `OUTPUT`."""

TEST = frozenset({"state", "mocks", "status", "path", "outputs"})

BREAKER = frozenset(["failures", "failure_threshold", "reset_after", "reset_timeout"])

RETRY = frozenset(
    [
        "max_attempts",
        "backoff",
        "initial_delay",
        "max_delay",
        "multiplier",
        "jitter",
        "retryable_errors",
        "non_retryable_errors",
    ]
)

MEMBER = frozenset(["id", "name", "role", "goal", "tools", "tool_budget"])
MEMBER_PASSED_THROUGH = PASSED_THROUGH | {"description", "backstory", "expertise"}

TOP = frozenset({"workflows", "nodes", "name", "description", "version", "metadata", "schedule", "execution"})
TOP_PASSED_THROUGH = frozenset({"imports", "includes", "x-common"})
"""Keys of a file with `workflows:` that the engine does not act on."""
