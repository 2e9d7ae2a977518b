"""The text of the preview of a backfill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo

from textual.content import Content

from victor_engine.api import BackfillPreview, BackfillSpec
from victor_tui.text import duration, one_line, plain, plural, schedule_name

_LISTED = 8
"""Maximum number of schedules that the preview names."""


def _range(spec: BackfillSpec, zone: tzinfo | None) -> Content:
    first, last = spec.start.astimezone(zone), spec.end.astimezone(zone)
    return Content.styled(f"{first:%a %Y-%m-%d %H:%M} to {last:%a %Y-%m-%d %H:%M %Z}", "$text-muted")


def preview_of_one(spec: BackfillSpec, preview: BackfillPreview, zone: tzinfo | None) -> list[Content]:
    """Return the preview of one schedule: the runs and their estimated duration."""
    lines = [_range(spec, zone)]
    if preview.problem:
        return [*lines, Content.styled(f"✗ {plain(preview.problem)}", "$error")]

    def wall(instant: datetime | None) -> str:
        return "" if instant is None else f"{instant.astimezone(zone):%a %Y-%m-%d %H:%M %Z}"

    lines.append(
        Content.assemble(
            (plural(preview.count, "run"), "bold $success"),
            (f" of version {one_line(preview.version or '–', 40)}", ""),
        )
    )
    if preview.count == 1:
        lines.append(Content(f"of {wall(preview.first)}"))
    else:
        lines.append(Content(f"first {wall(preview.first)}, last {wall(preview.last)}"))
    aside = _aside(preview)
    if aside:
        lines.append(Content.styled(aside, "$warning"))
    if preview.typical_seconds is not None and preview.estimate_seconds is not None:
        each = duration(preview.typical_seconds)
        whole = duration(preview.estimate_seconds)
        lines.append(Content(f"usually {each} each: about {whole} in total, {spec.concurrency} at a time"))
    if preview.count > 2:
        sample = [f"{at.astimezone(zone):%d %b %H:%M}" for at in preview.sample]
        more = " …" if preview.count > len(sample) else ""
        lines.append(Content.styled(", ".join(sample) + more, "$text-muted"))
    return lines


def preview_of_several(
    found: Sequence[tuple[BackfillSpec, BackfillPreview]], workflows: Mapping[str, str], zone: tzinfo | None
) -> list[Content]:
    """Return the preview of several schedules. `workflows` maps ids of schedules to workflows."""
    total = sum(preview.count for _, preview in found if not preview.problem)
    lines = [_range(found[0][0], zone), Content.styled(plural(total, "run"), "bold $success")]
    for spec, preview in found[:_LISTED]:
        name = one_line(schedule_name(spec.schedule_id, workflows[spec.schedule_id]), 40)
        if preview.problem:
            lines.append(Content.styled(f"✗ {name}: {plain(preview.problem)}", "$error"))
        else:
            aside = _aside(preview)
            words = f"  {name}: {plural(preview.count, 'run')}" + (f" ({aside})" if aside else "")
            lines.append(Content(words))
    if len(found) > _LISTED:
        lines.append(Content.styled(f"and {len(found) - _LISTED} more", "$text-muted"))
    return lines


def _aside(preview: BackfillPreview) -> str:
    """Return the numbers of fires that the backfill leaves out, with the reasons."""
    words = []
    if preview.left_out:
        words.append(f"{preview.left_out:,} left out: they already ran")
    if preview.excluded:
        words.append(f"{preview.excluded:,} excluded by a calendar")
    return ", ".join(words)
