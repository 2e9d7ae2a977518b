"""`victor scheduler`: explain, preview, edit, backfill, drain, and commands on several schedules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_cli import Capture, Victor
from tests.engine.support import workspace
from tests.engine.test_engine import GATE

FILES = {
    **GATE,
    "victor.yaml": GATE["victor.yaml"].rstrip()
    + """
        calendars:
          holidays: {dates: ["01-01", {date: 2030-05-01, name: May Day}]}
          broken: gone.ics
        """,
}


@pytest.fixture
def victor(tmp_path: Path, capsys: Capture) -> Victor:
    return Victor(workspace(tmp_path, FILES), capsys)


def added(victor: Victor, *words: str) -> str:
    assert victor("scheduler", "add", "gate", *words, "--json") == 0, victor.err
    found: str = json.loads(victor.out)["id"]
    return found


def test_explain(victor: Victor) -> None:
    schedule = added(victor, "--cron", "0 3 * * *", "--tz", "Europe/Berlin")
    assert victor("scheduler", "explain", schedule) == 0
    assert "it fires next at" in victor.out
    assert "no engine runs on this state directory" in victor.out
    assert victor("scheduler", "explain", schedule, "--at", "yesterday 03:00") == 0
    assert "it did not exist" in victor.out
    assert victor("scheduler", "explain", schedule, "--at", "2040-01-01", "--json") == 0
    assert json.loads(victor.out)["headline"].startswith("it will fire then")
    assert victor("scheduler", "explain", schedule, "--at", "sometime") == 2
    assert "Write 02:30" in victor.err


def test_a_preview_shows_clock_changes_and_calendars(victor: Victor) -> None:
    schedule = added(victor, "--cron", "30 7 * * *", "--tz", "Europe/Berlin", "--set", "exclude=[holidays]")
    assert victor("scheduler", "preview", schedule, "-n", "3", "--after", "2030-03-30") == 0
    assert "+0200" in victor.out
    assert "clock change" in victor.out
    assert victor("scheduler", "preview", schedule, "-n", "2", "--after", "2030-04-30 12:00") == 0
    assert "excluded by calendar holidays: May Day" in victor.out
    assert victor("scheduler", "preview", "--cron", "0 0 31 2 *") == 2
    assert "never fire" in victor.err


def test_an_edit_prints_its_changes_and_keeps_the_other_settings(victor: Victor) -> None:
    schedule = added(victor, "--cron", "@daily", "--catchup", "all")
    change = ["scheduler", "edit", schedule, "--cron", "30 7 * * *", "--tz", "Europe/Berlin"]
    assert victor(*change, "--set", "jitter=5m", "--yes") == 0
    assert 'cron: "@daily" -> "30 7 * * *"' in victor.out
    assert victor("scheduler", "list", "--json") == 0
    spec = {s["id"]: s for s in json.loads(victor.out)}[schedule]["spec"]
    assert (spec["cron"], spec["timezone"], spec["jitter"], spec["catchup"]) == (
        "30 7 * * *", "Europe/Berlin", 300.0, "all",
    )  # fmt: skip
    assert victor("scheduler", "edit", schedule, "--every", "4h", "--set", "jitter=null", "--yes") == 0
    assert victor("scheduler", "edit", schedule, "--set", "jittr=5m", "--yes") == 2
    assert "Did you mean 'jitter'" in victor.err
    assert victor("scheduler", "edit", schedule) == 2
    assert victor("scheduler", "edit", schedule, "--every", "0", "--yes") == 2


def test_a_command_on_several_schedules_prints_a_line_for_each(victor: Victor) -> None:
    one, two = added(victor, "--cron", "@daily"), added(victor, "--cron", "@hourly")
    assert victor("scheduler", "pause", one, "nope", two, "--until", "+2d", "--note", "freeze") == 4
    assert victor.out.count("paused until") == 2
    assert "nope: schedule 'nope' does not exist" in victor.err
    assert victor("scheduler", "resume", one, two, "--json") == 0
    assert [item["ok"] for item in json.loads(victor.out)] == [True, True]
    assert victor("scheduler", "pause", one, "--until", "yesterday") == 2
    assert "has passed" in victor.err


def test_a_schedule_after_another_workflow(victor: Victor) -> None:
    assert victor("scheduler", "add", "gate", "--after", "gate") == 2
    assert "cannot depend on itself" in victor.err
    assert victor("scheduler", "add", "gate", "--after", "gaet") == 2
    assert "Did you mean 'gate'" in victor.err


def test_backfill(victor: Victor) -> None:
    schedule = added(victor, "--cron", "0 6 * * *")
    start = ["scheduler", "backfill", "start", schedule]
    assert victor(*start, "--range", "2026-01-01..2026-01-07", "--dry-run") == 0
    assert "7 fires, oldest first" in victor.out
    assert (
        victor(*start, "--range", "2026-01-01..2026-01-07", "--dry-run", "--json", "--order", "newest") == 0
    )
    assert json.loads(victor.out)["count"] == 7
    assert victor(*start, "--from", "2026-01-03", "--to", "2026-01-01", "--dry-run") == 2
    assert "before it starts" in victor.err
    assert victor(*start, "--range", "2026-01-01..2026-01-07", "--yes") == 7
    assert "no engine" in victor.err.lower()
    every = added(victor, "--cron", "* * * * *")
    assert (
        victor("scheduler", "backfill", "start", every, "--range", "2016-01-01..2025-12-31", "--dry-run") == 2
    )
    assert "has 5,260,320 fires" in victor.err
    assert victor("scheduler", "backfill", "list") == 0
    assert victor("scheduler", "backfill", "cancel", "99") == 4


def test_draining_is_stored_and_shown(victor: Victor) -> None:
    assert victor("scheduler", "drain", "--note", "upgrade") == 0
    assert victor("scheduler", "status") == 7
    assert "draining since" in victor.out
    assert "upgrade" in victor.out
    assert victor("scheduler", "undrain") == 0
    assert victor("scheduler", "undrain") == 5


def test_the_list_of_calendars_shows_errors(victor: Victor) -> None:
    added(victor, "--cron", "@daily", "--set", "exclude=holidays")
    assert victor("scheduler", "calendars") == 3
    assert "holidays" in victor.out
    assert "gone.ics: cannot read the calendar: No such file" in victor.out


def test_errors_of_a_schedule_block_have_their_location(victor: Victor) -> None:
    (victor.root / "bad.yaml").write_text(
        "workflows:\n  w:\n    schedule:\n      cron: '@daily'\n      timezone: Europe/Berlim\n      jittr: 5m\n"
        "    nodes: [{id: a, type: transform, transform: x = 1}]\n"
        "  v:\n    schedule: {cron: '@daily',\n               exclude: [holidais]}\n"
        "    nodes: [{id: a, type: transform, transform: x = 1}]\n"
        "  u:\n    schedule: {after: nothing}\n    nodes: [{id: a, type: transform, transform: x = 1}]\n"
    )
    assert victor("validate", str(victor.root / "bad.yaml")) == 3
    assert "bad.yaml:5:7: " in victor.out
    assert "bad.yaml:6:7: " in victor.out
    assert "bad.yaml:10:16: " in victor.out
    assert "Did you mean 'holidays'" in victor.out
    assert victor("scheduler", "add", "gate", "--cron", "@daily") == 0
    assert victor("scheduler", "status") == 7
    assert {s["workflow"] for s in _specs(victor)} == {"gate"}, "a workflow with an error is left out whole"


def _specs(victor: Victor) -> list[dict[str, str]]:
    assert victor("scheduler", "list", "--json") == 0
    return sorted((s["spec"] for s in json.loads(victor.out)), key=lambda spec: str(spec["workflow"]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cron", "61 * * * *"], "minute '61': 61 is outside 0-59"),
        (["--cron", "0 0 30 2 *"], "no calendar has such a day"),
        (["--cron", "@daily", "--every", "5m"], "exactly one of cron, every, at and after; cron and every are"),
        (["--cron", "@daily", "--tz", "Europe/Berlim"], "--timezone: the time zone 'Europe/Berlim' does not exist; did"),
        (["--cron", "@daily", "--start-date", "2027-02-02", "--end-date", "2027-02-01"], "is not after start_date"),
        (["--every", "0"], "--every: '0' is less than a second"),
        (["--cron", "@daily", "--max-active-runs", "0"], "--max-active-runs: must be at least 1"),
        (["--cron", "@daily", "--set", "exclude=holiday"], "holiday"),
        (["--cron", "@daily", "--set", "exclude=broken"], "gone.ics"),
        (["--cron", "@daily", "--set", "exclude=none.ics"], "none.ics"),
        (["--cron", "@daily", "--set", "exclude=text.ics"], "text.ics"),
        (["--after", "gate"], "gate cannot depend on itself"),
    ],
)  # fmt: skip
def test_an_invalid_schedule_is_refused_with_its_reason(
    victor: Victor, words: list[str], message: str
) -> None:
    (victor.root / "text.ics").write_text("hello", encoding="utf-8")
    assert victor("scheduler", "add", "gate", *words) in (2, 4)
    assert message in victor.err
    added(victor, "--cron", "@yearly")
    assert victor("scheduler", "list", "--json") == 0
    assert len(json.loads(victor.out)) == 2  # and the one of its file


def test_schedules_with_the_same_times_and_other_policies_differ(victor: Victor) -> None:
    assert victor("scheduler", "add", "gate", "--cron", "@daily") == 0
    schedule = victor.out.split()[0]
    assert victor("scheduler", "add", "gate", "--cron", "@daily", "--overlap", "allow") == 5
    assert 'overlap: "skip" -> "allow"' in victor.err
    assert f"victor scheduler edit {schedule}" in victor.err


def test_an_expression_is_previewed_without_a_schedule(victor: Victor) -> None:
    assert victor("scheduler", "add", "gate", "--cron", "@daily") == 0
    assert victor("scheduler", "preview", "0 9 * * 1-5", "--tz", "Europe/Berlin") == 0
    assert "at 09:00 on weekdays (Europe/Berlin)" in victor.out
    assert victor("scheduler", "preview", "*/5 * * *") == 2
    assert "the expression has 4 fields, not five" in victor.err
