"""The base of all node types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from victor_engine.definition.limits import CircuitBreaker, RetryPolicy
from victor_engine.reserved import is_reserved

ON_INTERRUPT = ("retry", "ask", "fail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The base of all node types.

    `next` lists the successors in declared order; a node without one ends its branch. `output` is the state key
    of the whole result (None: the node's id). With `merge`, the keys of a result that is a JSON object are also
    written to the state.
    """

    type: ClassVar[str] = ""

    id: str
    name: str = ""
    description: str = ""
    when: str | None = None
    next: tuple[str, ...] = ()
    timeout_seconds: float | None = None
    retry_policy: RetryPolicy | None = None
    output: str | None = None
    merge: bool = True
    on_error: str | None = None
    on_interrupt: str = "retry"
    error_strategy: str | None = None
    circuit_breaker_enabled: bool | None = None
    circuit_breaker: CircuitBreaker | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id or not isinstance(self.id, str):
            raise ValueError("a node needs an id")
        if self.timeout_seconds is not None and not self.timeout_seconds > 0:
            raise ValueError(f"{self.id}: the timeout must be greater than zero, not {self.timeout_seconds}")
        if self.on_interrupt not in ON_INTERRUPT:
            raise ValueError(f"{self.id}: on_interrupt must be one of {', '.join(ON_INTERRUPT)}")

    @property
    def output_key(self) -> str:
        """The state key of the whole result; never a reserved key."""
        for key in (self.output, self.id):
            if key and not is_reserved(key):
                return key
        return f"output_{self.id}"

    @property
    def title(self) -> str:
        """The name of the node, or its id without a name."""
        return self.name or self.id

    def targets(self) -> tuple[tuple[str, str, str], ...]:
        """Return all edges out of this node as (target, label, kind); see `GraphEdge`."""
        edges = [(target, "", "next") for target in self.next]
        if self.on_error:
            edges.append((self.on_error, "error", "error"))
        return tuple(edges)
