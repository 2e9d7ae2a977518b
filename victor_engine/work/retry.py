"""The retry policy: whether and when a failed attempt is retried."""

from __future__ import annotations

from datetime import timedelta

from victor_engine.clock import LONGEST
from victor_engine.definition.limits import RetryPolicy
from victor_engine.definition.model import Node
from victor_engine.errors import NodeError, VictorError

DEFAULT_RETRY = RetryPolicy(max_attempts=3)
"""The policy of `error_strategy: retry` if the author gives none."""


def _names(error: VictorError) -> frozenset[str]:
    """Return the lower-case words by which a policy may name this error."""
    if not isinstance(error, NodeError):
        return frozenset({type(error).__name__.lower()})
    names = {error.error_type, *error.bases}
    names |= {name.rsplit(".", 1)[-1] for name in names}
    names |= {name.removesuffix("Error") for name in names if name != "Error"}
    found = {name.lower() for name in names}
    if error.process_exit_code is not None:
        code = str(error.process_exit_code)
        found |= {code, f"exit {code}", f"exit:{code}", f"exit_code:{code}"}
    if error.http_status is not None:
        status = str(error.http_status)
        found |= {status, f"http {status}", f"http:{status}", f"{status[0]}xx"}
    return frozenset(found)


def matches(error: VictorError, words: tuple[str, ...]) -> bool:
    """Return whether a word of a policy names the error: class names and bases, with or without
    `Error`; the type reported by a command; an exit code; an HTTP status or its class (`5xx`)."""
    names = _names(error)
    return any(
        word.strip().lower() in names or word.strip().lower().removesuffix("error") in names for word in words
    )


def delay_before_retry(
    node: Node, error: VictorError, failed: int, chance: float, most: float | None = None
) -> timedelta | None:
    """Return the delay after failed attempt number `failed`; None if the node has finally failed.

    `chance` in [0, 1) is the random number of the jitter. `Retry-After` of a server lengthens the delay, up to
    `max_delay` of the policy and up to `most` seconds.
    """
    policy = node.retry_policy
    if policy is None:
        if node.error_strategy != "retry":
            return None
        policy = DEFAULT_RETRY
    if failed >= policy.max_attempts:
        return None
    if policy.non_retryable_errors and matches(error, policy.non_retryable_errors):
        return None
    if policy.retryable_errors:
        if not matches(error, policy.retryable_errors):
            return None
    elif not isinstance(error, NodeError) or error.retryable is False:
        return None
    seconds = policy.delay_after(failed) * (1 + policy.jitter * chance)
    asked = requested_delay(error.retry_after) if isinstance(error, NodeError) else None
    if asked is not None:
        seconds = max(seconds, min(asked, policy.max_delay, LONGEST if most is None else most))
    return timedelta(seconds=min(seconds, LONGEST))


def requested_delay(value: object) -> float | None:
    """Return the delay in seconds that a server or a program requests, or None if it is not a valid number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    return float(min(value, LONGEST))
