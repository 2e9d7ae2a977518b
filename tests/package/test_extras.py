"""Features of extras whose packages are not installed: they say the command that installs them, and do no harm.

`victor mcp` is tested in tests/process/test_mcp.py, notifications in tests/engine/test_notify.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import victor_words
from tests.docs.guides import ROOT
from tests.engine.support import engine_on, workspace
from tests.service.engines import daemon

pytestmark = pytest.mark.process

BLOCKED = {
    "calendars": ("icalendar", "recurring_ical_events"),
    "metrics": ("prometheus_client",),
    "tracing": ("opentelemetry",),
    "watch": ("watchfiles",),
    "web": ("starlette", "uvicorn"),
}
"""The packages of each extra that the processes of the test do not find."""

HIDE = """\
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in {names} else find(name, *rest)
"""
FILES = {
    "victor.yaml": "calendars: {days: calendars/days.ics}\n",
    "calendars/days.ics": """\
        BEGIN:VCALENDAR
        VERSION:2.0
        PRODID:x
        BEGIN:VEVENT
        UID:1
        DTSTART;VALUE=DATE:20200101
        SUMMARY:a day in the past
        END:VEVENT
        END:VCALENDAR
        """,
    "w.yaml": """\
        workflows:
          declared:
            schedule: {every: 1s, exclude: days}
            nodes: [{id: x, type: transform, transform: "a = 1"}]
          of_a_file:
            schedule: {every: 1s, exclude: calendars/days.ics}
            nodes: [{id: x, type: transform, transform: "a = 1"}]
        """,
}


def install(extra: str) -> str:
    return f"pip install 'victor-tui[{extra}]'"


def block(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the packages from the child processes, as if they were not installed."""
    folder.mkdir()
    names = {name for packages in BLOCKED.values() for name in packages}
    (folder / "sitecustomize.py").write_text(HIDE.format(names=names))
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{os.environ.get('PYTHONPATH', '')}")


def victor(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(victor_words(root, *words), capture_output=True, text=True, timeout=60)


def listed(root: Path, *words: str) -> Any:
    done = victor(root, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_a_schedule_whose_calendar_needs_a_missing_package_skips_its_fires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VICTOR_RUNTIME", str(tmp_path / "run"))
    (tmp_path / "run").mkdir(mode=0o755)
    settings = (
        f"watch: apply\nmetrics: {{textfile: {tmp_path}/metrics}}\ntracing: {{file: {tmp_path}/traces}}\n"
    )
    (tmp_path / "settings.yaml").write_text(settings)
    root = workspace(tmp_path, FILES)
    async with engine_on(root) as engine:  # it deploys the schedules while the packages are installed
        assert engine.workspace.problems == []
    block(tmp_path / "blocked", monkeypatch)

    checked = victor(root, "validate")
    assert (checked.returncode, checked.stdout.count(install("calendars"))) == (3, 2)

    with daemon(tmp_path, root, root / ".state", "--config", str(tmp_path / "settings.yaml")):
        schedules = {each["id"]: each["spec"]["workflow"] for each in listed(root, "scheduler", "list")}
        skipped: set[str] = set()
        limit = time.monotonic() + 60
        while skipped != set(schedules):
            assert time.monotonic() < limit
            fires = listed(root, "scheduler", "history")
            assert {fire["outcome"] for fire in fires} <= {"skipped"}
            assert all(install("calendars") in fire["reason"] for fire in fires)
            skipped = {fire["schedule_id"] for fire in fires}
        assert set(schedules.values()) == {"declared", "of_a_file"}
        assert listed(root, "runs", "list") == []
        said = victor(root, "scheduler", "status").stderr
        assert all(install(extra) in said for extra in ("watch", "metrics", "tracing"))
        served = victor(root, "api")
        assert (served.returncode, install("web") in served.stderr) == (3, True)


def test_the_guide_lists_each_extra() -> None:
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    guide = (ROOT / "docs" / "guides" / "install.md").read_text()
    listed = set(re.findall(r"^\| `(\w+)` \|", guide, re.M))
    assert listed == extras - {"test", "lint", "bench"}
    assert listed == {*BLOCKED, "mcp", "notify"}, "a test shows the message without the packages"
