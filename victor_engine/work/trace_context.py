"""The identifiers of traces (W3C Trace Context). They follow from the run and the attempt, also after a restart."""

from __future__ import annotations

import hashlib

TRACEPARENT = "traceparent"
"""The HTTP header. A command gets the same value in the environment variable `TRACEPARENT`."""


def trace_id(run_id: str) -> int:
    """Return the trace of a run."""
    return _number(run_id, 16)


def run_span_id(run_id: str) -> int:
    """Return the span of a run."""
    return _number(f"{run_id}/", 8)


def attempt_span_id(run_id: str, key: str, iteration: int, number: int) -> int:
    """Return the span of an attempt. `key` names the node, with its member or item."""
    return _number(f"{run_id}/{key}/{iteration}/{number}", 8)


def traceparent(run_id: str, key: str, iteration: int, number: int) -> str:
    """Return the context that the work of an attempt hands on. The trace is sampled."""
    return f"00-{trace_id(run_id):032x}-{attempt_span_id(run_id, key, iteration, number):016x}-01"


def _number(text: str, size: int) -> int:
    # Zero is not a valid identifier.
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size]) or 1
