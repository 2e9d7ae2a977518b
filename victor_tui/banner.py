"""The lines above a screen that say what concerns all of it."""

from __future__ import annotations

from datetime import datetime, tzinfo

from victor_engine.api import EngineInfo, RequestInfo
from victor_tui.text import clean, countdown, full


def banner_text(engine: EngineInfo, answer: RequestInfo | None, now: datetime, zone: tzinfo | None) -> str:
    """What is to be said of the engine, and of one's own `answer` that can be taken back; empty if nothing."""
    lines = (_undo_words(answer, now), _storage(engine, zone), draining_words(engine, zone), _trouble(engine))
    return "\n".join(line for line in lines if line)


def _undo_words(request: RequestInfo | None, now: datetime) -> str:
    if request is None or request.settles_at is None:
        return ""
    outcome = str(request.outcome or "answered").replace("_", " ")
    left = countdown(request.settles_at, now)
    return f"↶ {outcome.capitalize()}: {clean(request.title)}. It counts in {left}; U takes it back."


def _storage(engine: EngineInfo, zone: tzinfo | None) -> str:
    if engine.storage is None:
        return ""
    info = engine.storage
    return clean(
        f"! {info.message}. Since {full(info.since, zone)} nothing is started or goes on,"
        f" {info.waiting} changes wait. It continues by itself."
    )


def draining_words(engine: EngineInfo, zone: tzinfo | None) -> str:
    """That the engine starts nothing, since when and by whom; empty if it does."""
    if engine.draining is None:
        return ""
    info = engine.draining
    note = f": {info.note}" if info.note else ""
    return clean(
        f"‖ Draining since {full(info.at, zone)} by {info.by}{note}. Nothing is started,"
        f" {engine.running} still running. F8 ends it."
    )


def _trouble(engine: EngineInfo) -> str:
    errors = [problem for problem in engine.problems if problem.severity == "error"]
    if errors:
        first = errors[0]
        place = f"{first.path}:{first.line}:{first.column}: " if first.path else ""
        more = f" (and {len(errors) - 1} more: see Versions)" if len(errors) > 1 else ""
        message = first.message.rstrip(".")
        remedy = f". {first.remedy}" if first.remedy else ""
        return clean(f"{place}{message}{remedy}{more}")
    if engine.mode == "readonly" and engine.beside is not None:
        return "This is a read-only view of the engine that runs. Open victor-tui without --read-only to act."
    if engine.mode == "readonly":
        return "No engine runs here: this is a read-only view. Start one with `victor scheduler start`."
    return "" if engine.trusted else "This workspace is not trusted: it is shown, and nothing in it runs."
