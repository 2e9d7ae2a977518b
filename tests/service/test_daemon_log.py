"""The lines of the log of a daemon."""

from __future__ import annotations

import json
import logging
import sys

from victor_engine.service.daemon_log import as_json, as_text


def record(message: str, *, error: bool = False) -> logging.LogRecord:
    try:
        raise ValueError("a\nb")
    except ValueError:
        info = sys.exc_info() if error else None
    made = logging.LogRecord("victor_engine.x", logging.WARNING, __file__, 1, message, (), info)
    made.created = 1_772_442_000.25
    return made


def test_no_message_looks_like_a_record_of_its_own() -> None:
    forged = "failed\n2026-03-02T09:00:00.000Z info all is well\x1b[2J"
    first, second = as_text(record(forged)).split("\n")
    assert first == "2026-03-02T09:00:00.250Z warning failed"
    assert second.startswith("    2026-03-02T09:00:00.000Z info all is well␛")
    assert "\n" not in as_json(record(forged))
    assert json.loads(as_json(record(forged)))["message"] == forged


def test_an_error_has_its_stack() -> None:
    assert "\n    ValueError: a\n    b" in as_text(record("it failed", error=True))
    assert json.loads(as_json(record("it failed", error=True)))["trace"].endswith("ValueError: a\nb")
