"""The parts of nodes: branches, choices and team members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One branch of a condition. `key` is its source text, `boolean` the YAML boolean of the key, if any.

    A target of None ends the branch.
    """

    key: str
    target: str | None
    boolean: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of the answers that a person can select."""

    value: Any
    label: str
    description: str = ""
    style: str = ""


DEFAULT_HANDLER_SECONDS = 600.0
"""The time limit of an end handler, if the author gives none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndHandler:
    """A graph that is executed at the end of a run: its first node, its nodes, and its limit of active time."""

    start: str
    nodes: tuple[str, ...]
    timeout_seconds: float = DEFAULT_HANDLER_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamMember:
    """One agent of a team."""

    id: str
    role: str = ""
    goal: str = ""
    tools: tuple[str, ...] = ()
    tool_budget: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
