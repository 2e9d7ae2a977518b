"""The texts about a schedule: the cells of its row, its preview, and an explanation."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

from rich.table import Table
from rich.text import Text

from victor_engine.api import BackfillInfo, Expect, Explanation, FireInfo, ScheduleInfo
from victor_tui.schedules.dependency_chain import Chain
from victor_tui.text import clean, duration, full, moment, plural, relative, schedule_name
from victor_tui.theme import Tone, fire_mark, run_mark
from victor_tui.widgets.columns import Cell
from victor_tui.widgets.preview import Facts

BARS = "▁▂▃▄▅▆▇█"
BREACH = "⚑"
"""The sign of a missed expectation."""
_BREACH_SHOWN = timedelta(days=1)
"""Time for which a breach marks the row. The preview shows it longer."""
_TONES: dict[str, tuple[str, Tone]] = {
    "good": ("✓", "ok"),
    "warn": ("!", "warn"),
    "bad": ("✗", "bad"),
    "plain": ("·", "plain"),
}


# --- cells -----------------------------------------------------------------------------------------


def workflow_cell(schedule: ScheduleInfo, now: datetime) -> Cell:
    return schedule.spec.workflow, "head"


def state_cell(schedule: ScheduleInfo, now: datetime) -> Cell:
    glyph, word, tone = _state(schedule)
    if breached_lately(schedule, now):
        return f"{BREACH} {word}", "bad"
    return f"{glyph} {word}", tone


def _state(schedule: ScheduleInfo) -> tuple[str, str, Tone]:
    if schedule.problem:
        return "✗", "error", "bad"
    if schedule.paused:
        return "‖", "paused", "warn"
    if not schedule.spec.enabled:
        return "‖", "off", "dim"
    if schedule.backfill is not None:
        return "+", "backfill", "busy"
    if schedule.active_runs:
        return "●", f"{schedule.active_runs} active", "busy"
    return ("◦", "after", "dim") if schedule.spec.after else ("✓", "armed", "ok")


def state_words(schedule: ScheduleInfo, now: datetime) -> str:
    """Return the state as words for a filter."""
    return _state(schedule)[1] + (" breached" if breached_lately(schedule, now) else "")


def breached_lately(schedule: ScheduleInfo, now: datetime) -> bool:
    return schedule.last_breach is not None and now - schedule.last_breach.at < _BREACH_SHOWN


def outcome_of(fire: FireInfo) -> tuple[str, str, Tone]:
    """Return glyph, word and tone of a fire: the status of its run, or its outcome."""
    mark = run_mark(fire.run_status) if fire.run_status else fire_mark(fire.outcome)
    return mark.glyph, mark.word, mark.tone


def last_cell(schedule: ScheduleInfo, now: datetime) -> Cell:
    if schedule.last_fire is None:
        return "– never", "dim"
    glyph, word, tone = outcome_of(schedule.last_fire)
    return f"{glyph} {word}", tone


def recent_cell(schedule: ScheduleInfo, now: datetime, width: int = 10) -> list[Cell]:
    """Return the last fires, oldest first: bars for durations of successful runs, glyphs for all others."""
    fires = list(reversed(schedule.recent[:width]))
    longest = max((fire.run_seconds or 0.0 for fire in fires), default=0.0) or 1.0
    cells: list[Cell] = [(" " * (width - len(fires)), "plain")]
    for fire in fires:
        glyph, _, tone = outcome_of(fire)
        if fire.run_status == "succeeded" and fire.run_seconds is not None:
            glyph = BARS[min(len(BARS) - 1, int(fire.run_seconds / longest * (len(BARS) - 1)))]
        cells.append((glyph, tone))
    return cells


def version_cell(schedule: ScheduleInfo, now: datetime) -> Cell:
    version = schedule.resolved_version or "–"
    return (f"{version} !", "warn") if schedule.deprecated else (version, "dim")


# --- words -----------------------------------------------------------------------------------------


def policy_words(schedule: ScheduleInfo) -> str:
    spec = schedule.spec
    words = [f"overlap {spec.overlap.replace('_', ' ')}"]
    if spec.catchup != "none":
        words.append(f"catch-up {spec.catchup}")
    if spec.max_active_runs != 1:
        words.append(f"at most {spec.max_active_runs} active")
    if spec.wait_for_previous is not None:
        words.append("waits for the success of the previous run")
    if spec.jitter:
        words.append(f"jitter {duration(spec.jitter)}")
    if spec.exclude:
        moved = "" if spec.on_excluded == "skip" else f" (moves to the {spec.on_excluded.replace('_', ' ')})"
        words.append(f"not in {', '.join(spec.exclude)}{moved}")
    if spec.max_runs is not None:
        words.append(f"{plural(spec.max_runs, 'run')} at most")
    return ", ".join(words)


def expect_words(expect: Expect) -> str:
    """Return an expectation as words: `starts within 5m 00s, has succeeded by 07:30`."""
    words = []
    if expect.start_within is not None:
        words.append(f"starts within {duration(expect.start_within)}")
    if expect.finish_within is not None:
        words.append(f"finishes within {duration(expect.finish_within)}")
    if expect.finish_by is not None:
        words.append(f"has succeeded by {expect.finish_by}")
    return ", ".join(words)


def backfill_words(backfill: BackfillInfo) -> str:
    """Return the progress of a backfill: `7 of 20 done, 1 failed, 2 running`."""
    done = backfill.succeeded + backfill.failed
    words = f"{done:,} of {backfill.total:,} done"
    if backfill.failed:
        words += f", {backfill.failed:,} failed"
    if backfill.running:
        words += f", {backfill.running:,} running"
    return words


# --- preview ---------------------------------------------------------------------------------------


def schedule_facts(
    facts: Facts, schedule: ScheduleInfo, chain: Chain, now: datetime, zone: tzinfo | None
) -> Facts:
    """Return the preview of a schedule: problems, next fire, settings, dependencies and recent fires."""
    spec = schedule.spec
    facts.title(schedule_name(schedule.id, spec.workflow))
    _problems(facts, schedule, now, zone)
    if schedule.next_fire:
        skipped = " (will be skipped)" if schedule.skip_next else ""
        facts.fact("next", f"{full(schedule.next_fire, zone)}, {relative(schedule.next_fire, now)}{skipped}")
        there = full(schedule.next_fire, _zone(spec.timezone))
        if there != full(schedule.next_fire, zone):
            facts.fact("", there, "dim")
    if schedule.next_excluded:
        facts.fact("excluded", f"the next fire, by {schedule.next_excluded}", "warn")
    if schedule.next_moved is not None:
        moved = schedule.next_moved
        origin = full(moved.origin, zone)
        facts.fact("moved", f"the next fire, from {origin}, which {moved.reason} excludes", "warn")
    facts.fact("when", schedule.summary)
    facts.fact("spec", f"{spec.cron}  ({spec.timezone})" if spec.cron else "")
    _waits_for(facts, schedule, now)
    facts.fact("workflow", f"{spec.workflow} {spec.version or 'latest'} → {schedule.resolved_version or '–'}")
    facts.fact("expects", expect_words(spec.expect) if spec.expect else "")
    facts.fact("policy", policy_words(schedule))
    facts.fact("declared", schedule.path or f"not in a file ({schedule.origin})")
    if schedule.overridden:
        facts.fact("overridden", ", ".join(schedule.overridden) + " differ from the file", "warn")
    facts.fact("runs", f"{schedule.runs_started:,} started, {schedule.active_runs} active")
    facts.fact("about", spec.description)
    drawing = chain.draw(schedule)
    if drawing:
        facts.heading("Chain" + (" (─✗▶ on failure, ─∗▶ on any end)" if _special(drawing) else ""))
        for line in drawing:
            facts.line((line, "plain"))
    facts.heading("Recent fires")
    if not schedule.recent:
        facts.text("none yet", "dim")
    for fire in schedule.recent[:12]:
        glyph, word, tone = outcome_of(fire)
        took = f" {duration(fire.run_seconds)}" if fire.run_seconds is not None else ""
        facts.line(
            (f"{moment(fire.nominal, now, zone):<13}", "dim"),
            (f"{'second pass ' if fire.fold else ''}{glyph} {word}{took}", tone),
            (f"  {fire.reason}", "plain" if not fire.run_id else "dim"),
        )
    return facts


def _problems(facts: Facts, schedule: ScheduleInfo, now: datetime, zone: tzinfo | None) -> None:
    if schedule.problem:
        facts.text(f"✗ cannot fire: {schedule.problem}", "bad")
    if schedule.paused:
        until = f" until {full(schedule.paused.until, zone)}" if schedule.paused.until else ""
        ago = relative(schedule.paused.at, now)
        note = f": {schedule.paused.note}" if schedule.paused.note else ""
        facts.text(f"‖ paused by {schedule.paused.by} {ago}{until}{note}", "warn")
    if schedule.last_breach is not None:
        breach = schedule.last_breach
        tone = "bad" if breached_lately(schedule, now) else "warn"
        facts.text(f"{BREACH} {breach.local.replace('T', ' ')}: {breach.text}", tone)
        if schedule.breaches > 1:
            facts.text(f"  {schedule.breaches} missed expectations in 7 days", tone)
    if schedule.failures:
        limit = schedule.spec.pause_after_failures
        more = f"; paused after {limit}" if limit is not None and not schedule.paused else ""
        facts.text(f"✗ {plural(schedule.failures, 'failed run')} in a row{more}", "bad")
    if schedule.backfill is not None:
        backfill = schedule.backfill
        facts.text(
            f"+ backfill {backfill.id} {backfill.status}: {backfill_words(backfill)} (b: details)",
            "busy" if backfill.status == "running" else "warn",
        )
        if backfill.problem:
            facts.text(f"  {backfill.problem}", "bad")
    if schedule.deprecated:
        facts.text(f"! {schedule.resolved_version} is deprecated: {schedule.deprecated}", "warn")


def _waits_for(facts: Facts, schedule: ScheduleInfo, now: datetime) -> None:
    for state in schedule.upstream:
        glyph, tone = ("✓", "ok") if state.met else ("◌", "warn")
        ago = f", {relative(state.at, now)}" if state.at else ""
        facts.fact("waits for", f"{glyph} {state.workflow}: {state.text}{ago}", tone)


def _special(drawing: list[str]) -> bool:
    return any("✗▶" in line or "∗▶" in line for line in drawing)


def _zone(name: str) -> tzinfo | None:
    """Return a zone by name, or None, the zone of the machine, if it does not exist."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return None


# --- explanations ----------------------------------------------------------------------------------


def explained(facts: Facts, explanation: Explanation, now: datetime, zone: tzinfo | None) -> Facts:
    """Return the headline and lines of an explanation, with times in `zone`."""
    headline = explanation.headline
    facts.title(headline[:1].upper() + headline[1:])
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(no_wrap=True, style=facts.style("dim"))
    grid.add_column(overflow="fold")
    for line in explanation.lines:
        glyph, tone = _TONES.get(line.tone, _TONES["plain"])
        at = "" if line.at is None else stamp(line.at, now, zone)
        style = facts.style(tone)
        grid.add_row(Text(glyph, style=style), Text(at), Text(clean(line.text), style=style))
    return facts.block(Text("")).block(grid)


def stamp(instant: datetime, now: datetime, zone: tzinfo | None) -> str:
    """Return weekday, day and time, with the year if it is not the current year."""
    local, here = instant.astimezone(zone), now.astimezone(zone)
    year = f" {local:%Y}" if local.year != here.year else ""
    return f"{local:%a %d %b}{year} {local:%H:%M}"
