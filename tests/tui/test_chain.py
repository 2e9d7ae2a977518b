"""The chain of schedules that come after each other, drawn."""

from __future__ import annotations

from victor_engine.api import After, ScheduleInfo, ScheduleSpec
from victor_tui.schedules.dependency_chain import MAX_LINES, Chain


def after(workflow: str, *upstream: str, **more: object) -> ScheduleInfo:
    how = After(workflows=upstream, **more) if upstream else None  # type: ignore[arg-type]
    spec = ScheduleSpec(workflow, cron=None if upstream else "@daily", after=how)
    return ScheduleInfo(id=workflow, spec=spec, origin="file", path=None, summary="", next_fire=None)


def drawn(of: str, *schedules: ScheduleInfo) -> list[str]:
    return Chain(schedules).draw(next(s for s in schedules if s.id == of))


def test_one_that_stands_alone_has_no_chain() -> None:
    assert drawn("a", after("a"), after("c", "b")) == []


def test_a_line() -> None:
    line = (after("a"), after("b", "a"), after("c", "b"))
    assert drawn("a", *line) == ["[a] ──▶ b ──▶ c"]
    assert drawn("b", *line) == ["a ──▶ [b] ──▶ c"]
    assert drawn("c", *line) == ["a ──▶ b ──▶ [c]"]


def test_a_join_and_a_fork() -> None:
    assert drawn(
        "report",
        after("report", "ingest", "extract"),
        after("publish", "report"),
        after("archive", "publish"),
        after("mail", "report", on="failure"),
    ) == [
        "ingest  ─┬─▶ [report] ─┬─▶ publish ──▶ archive",
        "extract ─┘             └─✗▶ mail",
    ]


def test_a_join_before_a_join() -> None:
    assert drawn(
        "end",
        after("end", "x", "c", require="any", on="completion"),
        after("x", "a", "b"),
    ) == [
        "a ─┬─▶ x ─┬─any─∗▶ [end]",
        "b ─┘      │",
        "c        ─┘",
    ]


def test_rings_and_broad_chains_end() -> None:
    ring = (after("a", "b"), after("b", "a"))
    assert all(len(line) < 120 for line in drawn("a", *ring))
    broad = drawn("a", after("a"), *(after(f"b{n}", "a") for n in range(30)))
    assert len(broad) == MAX_LINES
    assert broad[-1] == "… 19 more lines"


def test_names_are_data() -> None:
    assert "␛" in "".join(drawn("a", after("a", "x\x1b[2J")))
