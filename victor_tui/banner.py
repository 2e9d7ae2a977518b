"""The text of the banner above a screen."""

from __future__ import annotations

from datetime import datetime, tzinfo

from victor_engine.api import EngineInfo, RequestInfo, settling_text
from victor_tui.text import clean, full


def banner_text(engine: EngineInfo, answer: RequestInfo | None, now: datetime, zone: tzinfo | None) -> str:
    """Return the text about the engine and about an `answer` that can be undone; empty if there is none."""
    lines = (_undo_text(answer, now), _storage(engine, zone), draining_words(engine, zone), _problem(engine))
    return "\n".join(line for line in lines if line)


def _undo_text(request: RequestInfo | None, now: datetime) -> str:
    if request is None or request.settles_at is None:
        return ""
    outcome = str(request.outcome or "answered").replace("_", " ")
    when = settling_text(request.settles_at, now).capitalize()
    return f"↶ {outcome.capitalize()}: {clean(request.title)}. {when}; u undoes it."


def _storage(engine: EngineInfo, zone: tzinfo | None) -> str:
    if engine.storage is None:
        return ""
    info = engine.storage
    waiting = f"; changes that wait: {info.waiting:,}" if info.waiting else ""
    return clean(
        f"! {info.message}. Since {full(info.since, zone)} all runs are suspended{waiting}."
        " The engine continues on its own."
    )


def draining_words(engine: EngineInfo, zone: tzinfo | None) -> str:
    """Return the text about draining: since when, by whom, and why; empty if the engine does not drain."""
    if engine.draining is None:
        return ""
    info = engine.draining
    note = f": {info.note}" if info.note else ""
    return clean(
        f"‖ Draining since {full(info.at, zone)} by {info.by}{note}. No new runs start,"
        f" {engine.running} still running. F8 stops draining."
    )


def _problem(engine: EngineInfo) -> str:
    errors = [problem for problem in engine.problems if problem.severity == "error"]
    if errors:
        first = errors[0]
        location = f"{first.path}:{first.line}:{first.column}: " if first.path else ""
        more = f" (and {len(errors) - 1} more: see Versions)" if len(errors) > 1 else ""
        message = first.message.rstrip(".")
        remedy = f". {first.remedy}" if first.remedy else ""
        return clean(f"{location}{message}{remedy}{more}")
    if engine.mode == "readonly" and engine.beside is not None:
        return "Read-only view of the running engine. Open victor-tui without --read-only to make changes."
    if engine.mode == "readonly":
        return "Read-only view: no engine is running. Start one with `victor scheduler start`."
    return "" if engine.trusted else "This workspace is not trusted: its content is shown but not executed."
