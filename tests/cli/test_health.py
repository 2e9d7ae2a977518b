"""`victor scheduler status --check`: the findings of the state of an engine, as a pure rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from victor_engine.api import EngineInfo, PauseInfo, ScheduleInfo, ScheduleSpec, StorageInfo
from victor_engine.cli.health import Finding, findings_of, health
from victor_engine.cli.main import main

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def info(**given: Any) -> EngineInfo:
    return EngineInfo(
        "daemon", 1, 1, "ops", "host", "/state", "/ws", "0", NOW - timedelta(days=1), NOW, **given
    )


def victor(*words: str) -> int:
    try:
        return main(list(words))
    except SystemExit as end:
        return int(end.code or 0)


def kinds(found: list[Finding]) -> list[tuple[str, int]]:
    return [(each.kind, each.exit_code) for each in found]


def schedule(problem: str) -> ScheduleInfo:
    return ScheduleInfo(
        "nightly", ScheduleSpec("nightly", cron="0 1 * * *"), "file", None, "", None, problem=problem
    )


def test_an_engine_without_faults_is_healthy() -> None:
    assert (
        findings_of(info(next_fire=NOW - timedelta(minutes=1), oldest_request=NOW), [], timedelta(hours=1))
        == []
    )
    assert health([]).exit_code == 0


@pytest.mark.parametrize(
    ("given", "kind", "code", "message"),
    [
        ({"storage": StorageInfo(NOW, "the disk is full")}, "not recording", 8, "the disk is full"),
        ({"trusted": False, "untrusted": "w.yaml changed"}, "not trusted", 6, "w.yaml changed"),
        ({"limited": True}, "not permitted", 6, "needs the role viewer"),
        ({"next_fire": NOW - timedelta(minutes=6), "next_fire_schedule": "nightly"}, "schedules with problems", 14,
         "nightly was due at"),
        ({"open_requests": 2, "oldest_request": NOW - timedelta(hours=5)}, "oldest request too old", 15,
         "the oldest of 2 open requests is 5h00 old; the limit is 4h00"),
    ],
)  # fmt: skip
def test_each_fault_has_an_exit_code_of_its_own(
    given: dict[str, Any], kind: str, code: int, message: str
) -> None:
    found = findings_of(info(**given), [], timedelta(hours=4))
    assert kinds(found) == [(kind, code)]
    assert message in found[0].message


def test_the_most_urgent_fault_decides_the_exit_code() -> None:
    found = findings_of(
        info(storage=StorageInfo(NOW, "full"), oldest_request=NOW - timedelta(hours=5), open_requests=1),
        [schedule("its calendar cannot be read")],
        timedelta(hours=4),
    )
    assert [code for _, code in kinds(found)] == [8, 14, 15]
    assert "1 schedule cannot fire: nightly: its calendar cannot be read" in found[1].message
    assert health(found).exit_code == 8


def test_a_draining_engine_is_not_late() -> None:
    draining = PauseInfo(NOW, "ops", "")
    assert findings_of(info(next_fire=NOW - timedelta(hours=1), draining=draining), []) == []


def test_without_an_engine_the_check_ends_with_7(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "victor.yaml").touch()
    words = ["--workspace", str(tmp_path), "--state-dir", str(tmp_path / "s"), "scheduler", "status"]
    assert victor(*words, "--check") == 7
    assert "error: gone: no engine runs on" in capsys.readouterr().err
    assert victor(*words, "--max-request-age", "4h") == 2
    assert victor(*words, "--check", "--max-request-age", "soon") == 2
    assert "--max-request-age must be a duration" in capsys.readouterr().err
    assert victor(*words, "--check", "--timeout", "nan") == 2
    assert "--timeout must be a number of seconds from 0.1 to 60, not nan" in capsys.readouterr().err
