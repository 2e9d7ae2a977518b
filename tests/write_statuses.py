"""Generate `docs/statuses.md` from the enumerations and the tables: ``python -m tests.write_statuses``."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from victor_engine.domain import statuses, transitions
from victor_engine.domain.statuses import BackfillStatus, RequestStatus, RunStatus, ScheduleStatus
from victor_engine.domain.transitions import (
    BACKFILL_TRANSITIONS,
    REQUEST_NEEDS,
    REQUEST_TRANSITIONS,
    RUN_TRANSITIONS,
    SCHEDULE_TRANSITIONS,
    BackfillCommand,
    RequestCommand,
    RunCommand,
    ScheduleCommand,
)

PAGE = Path(__file__).parents[1] / "docs" / "statuses.md"


def sentences(source: Path) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """Yield name, docstring, and value and sentence of each member, for each enumeration."""
    for node in ast.parse(source.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            members = []
            for value, said in zip(node.body, node.body[1:], strict=False):
                if isinstance(value, ast.Assign) and isinstance(said, ast.Expr):
                    members.append((ast.literal_eval(value.value), ast.literal_eval(said.value)))
            if members:
                yield node.name, ast.get_docstring(node) or "", members


def commands(
    thing: str,
    known: type[StrEnum],
    given: type[StrEnum],
    transitions: Mapping[Any, Mapping[Any, StrEnum]],
) -> list[str]:
    """Return the lines of the table of commands by status."""
    lines = [
        f"## Commands on a {thing}",
        "",
        "The status that a command leads to. In a status without an entry the command is a conflict",
        "(exit code 5) and changes nothing.",
        "",
        "| status | " + " | ".join(given) + " |",
        "|---|" + "---|" * len(given),
    ]
    for status in known:
        cells = [transitions[command].get(status, "") for command in given]
        lines.append(f"| `{status}` | " + " | ".join(f"`{cell}`" if cell else "" for cell in cells) + " |")
    return lines


def page() -> str:
    """Return the text of the page."""
    lines = [
        "# Statuses",
        "",
        "Generated from `victor_engine/domain`. To generate it again: `python -m tests.write_statuses`.",
        "",
    ]
    for module in (statuses, transitions):
        for name, doc, members in sentences(Path(str(module.__file__))):
            lines += [f"## {name}", "", " ".join(doc.split()), "", "| value | meaning |", "|---|---|"]
            lines += [f"| `{value}` | {' '.join(said.split())} |" for value, said in members]
            lines.append("")
    lines += commands("run", RunStatus, RunCommand, RUN_TRANSITIONS)
    lines += ["", *commands("request", RequestStatus, RequestCommand, REQUEST_TRANSITIONS)]
    lines += ["", "A command that is accepted in a status is refused if the request", ""]
    lines += [f"* `{command}`: {reason}." for command, (_, reason) in REQUEST_NEEDS.items()]
    lines += ["", *commands("schedule", ScheduleStatus, ScheduleCommand, SCHEDULE_TRANSITIONS)]
    lines += ["", *commands("backfill", BackfillStatus, BackfillCommand, BACKFILL_TRANSITIONS)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
