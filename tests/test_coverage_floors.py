"""A package whose coverage falls below its floor is named, and missing floors are not passed over."""

from __future__ import annotations

from typing import Any

from tests.coverage_floors import NOT_MEASURED, failures, floors_of, percentages


def module(covered: int, lines: int) -> dict[str, Any]:
    return {"summary": {"covered_lines": covered, "num_statements": lines}}


REPORT = {
    "files": {
        "victor_engine/clock.py": module(9, 10),
        "victor_engine/runs/control.py": module(50, 100),
        "victor_engine/runs/deeper/slots.py": module(100, 100),
        "victor_engine/runs/empty.py": module(0, 0),
    }
}


def test_lines_are_counted_by_package() -> None:
    assert percentages(REPORT) == {"victor_engine": 90.0, "victor_engine.runs": 75.0}


def test_a_package_below_its_floor_a_new_one_and_a_removed_one_are_named() -> None:
    found = percentages(REPORT)
    assert failures(found, floors_of(found)) == []
    wrong = failures(found, {"victor_engine.runs": 76, "victor_engine.gone": 1})
    assert [line.split(":")[0] for line in wrong] == [
        "victor_engine.runs",
        "victor_engine",
        "victor_engine.gone",
    ]
    assert "75.0 % of the lines are covered, the floor is 76 %" in wrong[0]


def test_an_empty_table_is_a_failure_that_says_how_to_measure() -> None:
    assert failures(percentages(REPORT), {}) == [NOT_MEASURED]
