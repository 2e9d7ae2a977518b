"""The JSON Schema (2020-12) of the dialect, for editors, from the same table as the reader.

`python -m victor_engine.definition.dialect_schema` prints it. The shipped `schema.json` is that text.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from victor_engine.definition import dialect_keys
from victor_engine.definition.inputs import NAMES
from victor_engine.definition.limits import BACKOFFS, MAX_RUNS_WITH_KEY, ON_CONFLICT
from victor_engine.definition.model import (
    ERROR_STRATEGIES,
    FALLBACKS,
    HITL_KINDS,
    JOIN_STRATEGIES,
    ON_INTERRUPT,
    ON_RETRY,
    ON_WAIT_TIMEOUT,
    REJECT_POLICIES,
    TEAM_FORMATIONS,
)

_DURATION = {"type": ["number", "string"], "description": "Seconds, or a duration such as 30s, 10m, 1h30m"}
_TEXTS = {"type": ["string", "array"], "items": {"type": ["string", "number", "boolean"]}}
_BREAKER = {
    "type": "object",
    "properties": {
        "failures": {"type": "integer", "minimum": 1},
        "failure_threshold": {"type": "integer", "minimum": 1},
        "reset_after": _DURATION,
        "reset_timeout": _DURATION,
    },
    "additionalProperties": False,
}
_SHAPES: dict[str, dict[str, Any]] = {
    "id": {"type": ["string", "integer"]},
    "next": {
        "type": ["string", "array", "object"],
        "description": "Node ids; for hitl, wait and workflow also outcome to node id",
    },
    "timeout": _DURATION,
    "timeout_seconds": _DURATION,
    "tools": _TEXTS,
    "context_keys": _TEXTS,
    "assignees": _TEXTS,
    "chain": _TEXTS,
    "reject_policy": {"enum": list(REJECT_POLICIES)},
    "reminders": {
        "type": ["array", "object", "string", "number"],
        "description": "Durations before the deadline, or {every: a duration}",
    },
    "remind_every": _DURATION,
    "undo_window": _DURATION,
    "allow_questions": {"type": "boolean"},
    "parallel_nodes": _TEXTS,
    "merge": {"type": "boolean"},
    "multiple": {"type": "boolean"},
    "allow_edit": {"type": "boolean"},
    "allow_self_approval": {"type": "boolean"},
    "require_comment": {"type": "boolean"},
    "tool_budget": {"type": "integer", "minimum": 0},
    "required_approvals": {"type": "integer", "minimum": 1},
    "on_interrupt": {"enum": list(ON_INTERRUPT)},
    "error_strategy": {"enum": list(ERROR_STRATEGIES)},
    "hitl_type": {"enum": list(HITL_KINDS)},
    "fallback": {"enum": list(FALLBACKS)},
    "on_timeout": {"enum": list(FALLBACKS)},
    "join_strategy": {"enum": list(JOIN_STRATEGIES)},
    "join": {"anyOf": [{"enum": list(JOIN_STRATEGIES)}, {"type": "integer", "minimum": 1}]},
    "join_count": {"type": "integer", "minimum": 1},
    "max_concurrent": {"type": "integer", "minimum": 1},
    "min_success": {"type": "integer", "minimum": 1},
    "required": {"type": "integer", "minimum": 1},
    "team_formation": {"enum": list(TEAM_FORMATIONS)},
    "formation": {"enum": list(TEAM_FORMATIONS)},
    "branches": {"type": "object", "additionalProperties": {"type": ["string", "null", "array"]}},
    "condition": {"type": ["string", "boolean", "number"]},
    "when": {"type": ["string", "boolean"]},
    "message": {"type": "string"},
    "error_type": {"type": "string"},
    "inputs": {"type": "object"},
    "env": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
    "cwd": {"type": "string", "description": "A directory, relative to that of the binding"},
    "stdin": {"type": "string"},
    "input_schema": {"type": "object"},
    "constraints": {"type": ["object", "array"]},
    "members": {"type": "array", "items": {"type": "object"}, "minItems": 1},
    "circuit_breaker_enabled": {"type": "boolean"},
    "circuit_breaker": _BREAKER,
    "retry_policy": {
        "type": ["object", "integer"],
        "properties": {
            name: {"enum": list(BACKOFFS)} if name == "backoff" else True
            for name in sorted(dialect_keys.RETRY)
        },
        "additionalProperties": False,
    },
}
_TYPE_SHAPES: dict[str, dict[str, Any]] = {
    "map": {
        "over": {
            "type": ["string", "array", "object"],
            "description": "A list, or an expression such as $ctx.hosts",
        },
        "as": {"type": "string"},
        "node": {"type": "string", "description": "The node that is executed for each item"},
        "key": {"type": "string", "description": "The part that identifies an item, such as host.name"},
        "min_success": {"type": "integer", "minimum": 0},
        "tolerate": {"type": "integer", "minimum": 0},
    },
    "team": {
        "min_success": {"anyOf": [{"enum": ["majority", "all"]}, {"type": "integer", "minimum": 1}]},
    },
    "wait": {
        "for": _DURATION,
        "seconds": _DURATION,
        "until": {
            "type": ["string", "integer"],
            "description": "An instant, a time of day such as 09:00, or $ctx.name",
        },
        "timezone": {"type": "string", "description": "IANA name"},
        "file": {"type": "string", "description": "Relative to the workspace"},
        "stable_for": _DURATION,
        "poll": _DURATION,
        "on_timeout": {"enum": list(ON_WAIT_TIMEOUT)},
        "http": {
            "type": ["object", "string"],
            "properties": {
                "url": {"type": "string"},
                "method": {"type": "string"},
                "headers": {"type": "object"},
                "status": {"type": ["integer", "string", "array"]},
                "json": {"type": "string", "description": "An expression over the answer's JSON"},
            },
            "required": ["url"],
            "additionalProperties": False,
        },
    },
    "workflow": {
        "workflow": {"type": "string"},
        "version": {"type": ["string", "number"], "description": "An exact version or a range"},
        "wait": {"type": "boolean"},
        "on_retry": {"enum": list(ON_RETRY)},
    },
}
"""The schemas of keys that belong to one type of node."""


def _node(node_type: str) -> dict[str, Any]:
    known = dialect_keys.COMMON | dialect_keys.BY_TYPE[node_type]
    shapes = _SHAPES | _TYPE_SHAPES.get(node_type, {})
    properties = {
        **dict.fromkeys(sorted(dialect_keys.PASSED_THROUGH | dialect_keys.HINTS.keys()), True),
        **{name: shapes.get(name, True) for name in sorted(known)},
        "type": {"const": node_type},
        "$ref": {"type": "string"},
    }
    required = {"agent": ["role"], "condition": ["condition"], "parallel": ["parallel_nodes"],
                "map": ["over", "node"],
                "transform": ["transform"], "team": ["members"], "workflow": ["workflow"],
                "fail": ["message"]}.get(node_type, [])  # fmt: skip
    schema: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    if node_type == "wait":
        schema["oneOf"] = [{"required": [kind]} for kind in ("for", "seconds", "until", "file", "http")]
    return schema


_DURATION = {"type": ["number", "string"]}
_EVERY = {
    "type": ["number", "string"],
    "description": "Seconds, a duration such as 4h, or days or weeks at a wall time: 2 weeks at 09:00",
}
_NAMES = {"type": ["string", "array"], "items": {"type": "string"}}
_MOMENT = {"type": "string"}

SCHEDULE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "cron": _NAMES,
        "every": _EVERY,
        "interval": _EVERY,
        "anchor": _MOMENT,
        "at": _MOMENT,
        "once": _MOMENT,
        "after": {
            "oneOf": [
                _NAMES,
                {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["workflows"],
                    "properties": {
                        "workflows": _NAMES,
                        "require": {"enum": ["all", "any", "complete"]},
                        "on": {"enum": ["success", "failure", "completion"]},
                        "within": _DURATION,
                        "period": {"enum": ["exact", "hour", "day", "week", "month", True, False]},
                        "take": {"type": ["string", "array", "object"]},
                    },
                },
            ]
        },
        "timezone": {"type": "string"},
        "tz": {"type": "string"},
        "version": {"type": ["string", "number"]},
        "initial_state": {"type": "object"},
        "state": {"type": "object"},
        "enabled": {"type": "boolean"},
        "catchup": {"enum": [True, False, "none", "all", "latest", "true", "false", "yes", "no"]},
        "catchup_window": _DURATION,
        "misfire_grace": _DURATION,
        "overlap": {"enum": ["skip", "buffer_one", "buffer_all", "cancel_running", "allow"]},
        "max_active_runs": {"type": "integer", "minimum": 1},
        "max_runs": {"type": "integer", "minimum": 1},
        "jitter": _DURATION,
        "start_date": _MOMENT,
        "end_date": _MOMENT,
        "priority": {"type": "integer"},
        "pause_after_failures": {"type": "integer", "minimum": 1},
        "exclude": _NAMES,
        "wait_for_previous": {"enum": ["success", False]},
        "on_excluded": {"enum": ["skip", "next_day", "previous_day"]},
        "expect": {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {
                "start_within": _DURATION,
                "finish_within": _DURATION,
                "finish_by": {"type": "string", "pattern": "^[0-2]?[0-9]:[0-5][0-9]$"},
            },
        },
        "description": {"type": "string"},
    },
}
"""The schema of a `schedule:` block, which `scheduling.declarations` reads."""


_VALUE_SHAPES: dict[str, Any] = {
    "description": {"type": "string"},
    "enum": {"type": "array"},
    "from": {"type": "string"},
    "required": {"type": ["boolean", "array"]},
    "type": {"anyOf": [{"enum": list(NAMES)}, {"type": "array", "items": {"enum": list(NAMES)}}]},
}


def _values(keys: frozenset[str], what: str) -> dict[str, Any]:
    """Return the schema of `inputs:` or `outputs:` of a workflow, which `definition.interface_reader` reads."""
    known = sorted(keys | dialect_keys.SCHEMA_KEYWORDS)
    entry = {
        "type": "object",
        "properties": {key: _VALUE_SHAPES.get(key, True) for key in known},
        "additionalProperties": False,
    }
    return {
        "description": f"A JSON Schema with type: object, or an entry for each {what}: its type, or a mapping",
        "anyOf": [
            {"type": "object", "properties": {"type": {"const": "object"}}, "required": ["type"]},
            {"type": "object", "additionalProperties": {"anyOf": [{"enum": list(NAMES)}, entry]}},
        ],
    }


_END_HANDLER: dict[str, Any] = {
    "type": ["array", "object"],
    "description": "A graph that is executed at the end of a run: a list of nodes, or nodes and timeout",
    "items": {"$ref": "#/$defs/node"},
    "properties": {
        "nodes": {"type": ["array", "object"], "items": {"$ref": "#/$defs/node"}},
        "start": {"type": "string"},
        "timeout": _DURATION,
        "timeout_seconds": _DURATION,
    },
    "required": ["nodes"],
    "additionalProperties": False,
}


def dialect_schema() -> dict[str, Any]:
    """Return the schema of a workflow file."""
    workflow: dict[str, Any] = dict.fromkeys(
        sorted(dialect_keys.WORKFLOW | dialect_keys.WORKFLOW_PASSED_THROUGH | dialect_keys.HINTS.keys()), True
    )
    workflow |= {
        "nodes": {"type": ["array", "object"], "items": {"$ref": "#/$defs/node"}},
        **dict.fromkeys(dialect_keys.END_HANDLERS, _END_HANDLER),
        "schedule": SCHEDULE,
        "execution": {
            "type": "object",
            "properties": dict.fromkeys(
                sorted(dialect_keys.EXECUTION | dialect_keys.WORKFLOW_PASSED_THROUGH), True
            ),
            "additionalProperties": False,
        },
        "inputs": _values(dialect_keys.INPUT, "input"),
        "outputs": _values(dialect_keys.OUTPUT, "output"),
        "migrations": {"type": "array", "items": {"type": "object"}},
        "description": {"type": "string"},
        "error_strategy": {"enum": list(ERROR_STRATEGIES)},
        "circuit_breaker_enabled": {"type": "boolean"},
        "circuit_breaker": _BREAKER,
        "concurrency": {
            "type": "object",
            "properties": {
                "key": {"type": "string", "description": "A text such as $ctx.customer"},
                "max": {"type": "integer", "minimum": 1, "maximum": MAX_RUNS_WITH_KEY},
                "on_conflict": {"enum": list(ON_CONFLICT)},
            },
            "additionalProperties": False,
        },
    }
    types = sorted(dialect_keys.BY_TYPE)
    top = dict.fromkeys(
        sorted(dialect_keys.TOP | dialect_keys.WORKFLOW | dialect_keys.WORKFLOW_PASSED_THROUGH), True
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "victor workflow file",
        "type": "object",
        "properties": {
            **top,
            **workflow,
            "workflows": {"type": "object", "additionalProperties": {"$ref": "#/$defs/workflow"}},
            **dict.fromkeys(sorted(dialect_keys.TOP_PASSED_THROUGH), True),
        },
        "anyOf": [{"required": ["workflows"]}, {"required": ["nodes"]}],
        "additionalProperties": False,
        "$defs": {
            "workflow": {
                "type": "object",
                "properties": workflow,
                "required": ["nodes"],
                "additionalProperties": False,
            },
            "node": {
                "type": "object",
                "properties": {"id": {"type": ["string", "integer"]}, "type": {"enum": types}},
                "anyOf": [{"required": ["$ref"]}, {"required": ["type"]}, {"required": ["role"]}],
                "allOf": [_of_type(node_type) for node_type in types],
            },
            **{f"{node_type}_node": _node(node_type) for node_type in types},
        },
    }


def _of_type(node_type: str) -> dict[str, Any]:
    """Return the rule that a node of a type has the keys of its type. A node that `$ref` includes can lack some."""
    own = {"properties": {"type": {"const": node_type}}, "required": ["type"], "not": {"required": ["$ref"]}}
    if node_type == "agent":  # a node with a role and without a type is an agent
        own = {
            "not": {
                "anyOf": [
                    {"required": ["$ref"]},
                    {"properties": {"type": {"not": {"const": "agent"}}}, "required": ["type"]},
                ]
            }
        }
    return {"if": own, "then": {"$ref": f"#/$defs/{node_type}_node"}}


def shipped_schema() -> dict[str, Any]:
    """Return the shipped schema."""
    text = (resources.files("victor_engine.definition") / "schema.json").read_text("utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


if __name__ == "__main__":
    print(json.dumps(dialect_schema(), indent=2))
