"""The keys of the workflow dialect, the common table of the reader and the JSON Schema."""

from __future__ import annotations

COMMON = frozenset(
    [
        "id",
        "type",
        "name",
        "description",
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
        ]
    ),
    "compute": frozenset(["handler", "tools", "inputs", "input_mapping", "constraints"]),
    "condition": frozenset({"condition", "branches"}),
    "parallel": frozenset(
        ["parallel_nodes", "join_strategy", "join_count", "min_success", "required", "join"]
    ),
    "transform": frozenset({"transform"}),
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
        "services",
        "batch_config",
        "error_handling",
        "llm_config",
        "profile",
        "tool_budget",
        "max_cost_tier",
        "config",
        "tags",
        "model",
        "temperature",
        "execution_target",
        "sandbox",
        "isolation",
        "cache",
        "timeout_per_member",
        "total_timeout",
        "position",
        "ui",
        "docs",
        "owner",
    ]
)
"""Keys that the engine does not act on and passes to the agent or handler, without a warning."""

WORKFLOW = frozenset(
    [
        "description",
        "version",
        "nodes",
        "schedule",
        "execution",
        "metadata",
        "migrations",
        "deprecated",
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
        "services",
        "batch_config",
        "error_handling",
        "llm_config",
        "profile",
        "tags",
        "vertical",
        "owner",
        "docs",
        "variables",
        "defaults",
        "inputs",
        "outputs",
        "context",
        "temporal_context",
        "max_recursion_depth",
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

MEMBER = frozenset(["id", "name", "role", "goal", "tools", "tool_budget", "description"])

TOP = frozenset({"workflows", "nodes", "name", "description", "version", "metadata", "schedule", "execution"})
