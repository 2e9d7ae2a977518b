"""The limits of nodes and workflows: retries, circuit breakers, constraints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BACKOFFS = ("fixed", "linear", "exponential")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The number and the delays of the attempts of a node that fails.

    `max_attempts` includes the first attempt. The delay before attempt n+1 is `initial_delay` (fixed),
    `initial_delay * n` (linear) or `initial_delay * multiplier ** (n - 1)` (exponential) in seconds, at most
    `max_delay`. `jitter` adds a random part of the delay, up to that fraction.
    """

    max_attempts: int = 1
    backoff: str = "exponential"
    initial_delay: float = 1.0
    max_delay: float = 300.0
    multiplier: float = 2.0
    jitter: float = 0.0
    retryable_errors: tuple[str, ...] = ()
    non_retryable_errors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts must be at least 1, not {self.max_attempts}")
        if self.backoff not in BACKOFFS:
            raise ValueError(f"backoff must be one of {', '.join(BACKOFFS)}, not {self.backoff!r}")
        if not (self.initial_delay >= 0 and self.max_delay >= 0 and self.jitter >= 0):
            raise ValueError("initial_delay, max_delay and jitter must not be negative")

    def delay_after(self, attempt: int) -> float:
        """Return the seconds to wait after failed attempt number `attempt` (1 is the first), without jitter."""
        if self.backoff == "fixed":
            delay = self.initial_delay
        elif self.backoff == "linear":
            delay = self.initial_delay * attempt
        else:
            try:
                delay = self.initial_delay * self.multiplier ** min(attempt - 1, 60)
            except OverflowError:
                return self.max_delay
        return min(delay, self.max_delay)


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreaker:
    """The circuit breaker of a node. It opens after `failures` failed attempts in a row, counted over all runs.

    After `reset_after` seconds one attempt is made: if it succeeds, the circuit breaker closes.
    """

    failures: int = 5
    reset_after: float = 60.0

    def __post_init__(self) -> None:
        if self.failures < 1:
            raise ValueError(f"circuit_breaker.failures must be at least 1, not {self.failures}")
        if not self.reset_after > 0:
            raise ValueError(f"circuit_breaker.reset_after must be greater than zero, not {self.reset_after}")


ON_CONFLICT = ("queue", "skip", "cancel_running")

MAX_RUNS_WITH_KEY = 10_000
"""The largest `max` of `concurrency`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """The maximum number of runs of a workflow with the same key. `key` is a text with `$ctx.name` references."""

    key: str = ""
    max: int = 1
    on_conflict: str = "queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """The permissions and limits of a node's work. None means not specified.

    A list in YAML (`constraints: [llm, write]`) names the forbidden kinds of work.
    """

    llm_allowed: bool | None = None
    network_allowed: bool | None = None
    write_allowed: bool | None = None
    filesystem_allowed: bool | None = None
    max_cost_tier: str | None = None
    timeout: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


NO_CONSTRAINTS = Constraints()
