"""The preview of the Versions screen: rollouts, differences, graphs, migrations and notices."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, tzinfo
from difflib import unified_diff

from rich.table import Table
from rich.text import Text

from victor_engine.api import AliasInfo, AliasSide, DefinitionDiff, GraphInfo, MigrationEdge, VersionInfo
from victor_tui.text import clean, duration, full, plural
from victor_tui.theme import Tone
from victor_tui.widgets.graph import outline
from victor_tui.widgets.preview import Facts

STATUS: dict[str, tuple[str, Tone]] = {
    "current": ("✓ current", "ok"),
    "ramping": ("◐ ramping", "busy"),
    "draining": ("◌ draining", "wait"),
    "drained": ("· drained", "dim"),
    "unused": ("· unused", "dim"),
    "deprecated": ("! deprecated", "warn"),
    "removed": ("✗ removed", "bad"),
}
SIGNS: dict[str, tuple[str, Tone]] = {"added": ("+", "ok"), "removed": ("-", "bad"), "changed": ("~", "warn")}


def status_of(info: VersionInfo) -> tuple[str, Tone]:
    """Return the status of a version, with its number of runs or its percentage."""
    text, tone = STATUS[info.status]
    if info.status == "draining":
        return f"{text} {info.active_runs}", tone
    if info.status == "ramping" and info.share is not None:
        return f"{text} {info.share}%", tone
    return text, tone


def notice_facts(facts: Facts, info: VersionInfo) -> Facts:
    """Add the deprecation or removal of a version, its successor, and the date of removal."""
    if info.removed is not None:
        facts.text(f"✗ removed, new runs cannot start: {info.removed}", "bad")
    if info.deprecated is not None:
        successor = f" → {info.successor}" if info.successor else ""
        by = f" (by {info.deprecated_by})" if info.deprecated_by else ""
        facts.text(f"! {info.deprecated}{successor}{by}", "warn")
    if info.removal_at is not None and info.removed is None:
        facts.text(f"! will be removed on {info.removal_at:%Y-%m-%d}", "warn")
    return facts


def alias_facts(facts: Facts, aliases: Iterable[AliasInfo], zone: tzinfo | None) -> Facts:
    """Add the versions of each alias, side by side, with the outcomes of their runs."""
    for info in aliases:
        facts.heading(f"Alias {info.name}")
        grid = Table.grid(padding=(0, 2))
        for _ in range(len(info.sides) + 1):
            grid.add_column(no_wrap=True)
        rows: list[tuple[str, list[tuple[str, Tone]]]] = [
            ("version", [(side.version, "head") for side in info.sides]),
            ("share", [(f"{side.weight}%", "plain") for side in info.sides]),
            ("runs", [(f"{side.runs:,}, {side.active:,} active", "plain") for side in info.sides]),
            ("success", [_success(side) for side in info.sides]),
            ("p50", [(_p50(side), "plain") for side in info.sides]),
        ]
        for label, cells in rows:
            texts = [Text(clean(text), style=facts.style(tone)) for text, tone in cells]
            grid.add_row(Text(label, style=facts.style("dim")), *texts)
        facts.block(grid)
        back = f" · b rolls back to {info.rolls_back_to}" if info.rolls_back_to else ""
        by = f"since {full(info.since, zone)} by {info.set_by}"
        facts.text(f"{by}, {plural(info.schedules, 'schedule')}{back}", "dim")
        facts.text(info.note, "dim") if info.note else None
    return facts


def _success(side: AliasSide) -> tuple[str, Tone]:
    if side.success_rate is None:
        return "-", "dim"
    bad = side.failed > 0
    return f"{side.success_rate:.1%} ({side.failed} failed)" if bad else "100%", "warn" if bad else "ok"


def _p50(side: AliasSide) -> str:
    return "-" if side.p50_seconds is None else duration(side.p50_seconds)


def migration_facts(facts: Facts, edges: Iterable[MigrationEdge], version: str) -> Facts:
    """Add the migration graph, with the migrations of `version` marked."""
    found = list(edges)
    if not found:
        return facts
    facts.heading("Migrations")
    for edge in found:
        here = version in (edge.from_version, edge.to_version)
        arrow = "⇠" if edge.reverse else "→"
        facts.line(
            ("● " if here else "  ", "busy"),
            (f"{edge.from_version} {arrow} {edge.to_version}  ", "head" if here else "dim"),
            ("breaking  " if edge.breaking else "", "warn"),
            (edge.description, "dim"),
        )
        if here and edge.to_version == version:
            for step in edge.steps:
                facts.line((f"    {step}", "plain"))
    return facts


def diff_facts(facts: Facts, found: DefinitionDiff, before: str, after: str) -> Facts:
    """Add the differences of two definitions by section, both graphs side by side, and the diff of the text."""
    facts.title(f"{found.workflow} {found.old} → {found.workflow} {found.new}")
    lines = list(unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3))[2:]
    if not found.lines and not lines:
        return facts.text("The two definitions are identical.", "dim")
    for section in dict.fromkeys(line.section for line in found.lines):
        facts.heading(section.capitalize())
        for line in found.lines:
            if line.section == section:
                facts.line((line.text, SIGNS[line.kind][1]))
    facts.heading("Graphs")
    facts.block(_graphs(facts, found))
    facts.heading("Text")
    added, removed = (sum(line.startswith(sign) for line in lines) for sign in "+-")
    facts.line((f"+{added} ", "ok"), (f"-{removed} lines", "bad"))
    tones: dict[str, Tone] = {"+": "ok", "-": "bad", "@": "busy"}
    for text in lines:
        facts.line((text, tones.get(text[:1], "plain")))
    return facts


def _graphs(facts: Facts, found: DefinitionDiff) -> Table:
    """Return two outlines. Changed nodes have a sign, so that they are visible without colours."""
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    old = _outlined(facts, found.old_graph, found.marks, "removed")
    new = _outlined(facts, found.new_graph, found.marks, "added")
    grid.add_row(Text(found.old, style=facts.style("dim")), Text(found.new, style=facts.style("dim")))
    blank = Text("")
    for index in range(max(len(old), len(new))):
        grid.add_row(old[index] if index < len(old) else blank, new[index] if index < len(new) else blank)
    return grid


def _outlined(facts: Facts, graph: GraphInfo, marks: dict[str, str], here: str) -> list[Text]:
    lines = []
    for row in outline(graph):
        mark = marks.get(row.node_id)
        sign, tone = SIGNS[mark] if mark in (here, "changed") and not row.reference else (" ", "plain")
        text = Text()
        text.append(f"{sign} ", style=facts.style(tone))
        text.append(row.lead, style=facts.style("dim"))
        if row.label:
            text.append(f"{clean(row.label)} ", style=facts.style("dim"))
        name = clean(row.node_id)
        shown = f"{'↺' if row.back else '→'} {name}" if row.reference else name
        text.append(shown, style=facts.style("dim" if row.reference else tone))
        lines.append(text)
    return lines


def notices(versions: Iterable[VersionInfo]) -> list[VersionInfo]:
    """Return the versions with a notice: used versions first, then by date of removal."""
    found = [info for info in versions if info.deprecated is not None or info.removed is not None]
    far = datetime.max.replace(tzinfo=None)

    def order(info: VersionInfo) -> tuple[bool, datetime, str, str]:
        at = info.removal_at.replace(tzinfo=None) if info.removal_at is not None else far
        return not (info.schedules or info.active_runs), at, info.workflow, info.version

    return sorted(found, key=order)


def notices_facts(facts: Facts, found: list[VersionInfo]) -> Facts:
    """Add all deprecation notices, with the number of schedules and active runs that use the versions."""
    facts.title(f"{plural(len(found), 'notice')}")
    if not found:
        return facts.text("No version is deprecated or removed.", "dim")
    for info in found:
        facts.heading(f"{info.workflow} {info.version}")
        used = info.schedules or info.active_runs
        facts.line(
            (f"{plural(info.schedules, 'schedule')}, {plural(info.active_runs, 'active run')} still use it",
             "wait" if used else "dim")
        )  # fmt: skip
        notice_facts(facts, info)
    return facts
