"""The command line on a real workspace: output, exit codes and stored changes."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.engine.support import ME, workspace
from tests.engine.test_engine import GATE
from tests.scheduling.test_loop import world
from victor_engine.cli.main import main
from victor_engine.identity import acting_as
from victor_engine.service.connect import open_engine
from victor_engine.service.paths import Paths

Capture = pytest.CaptureFixture[str]


class Victor:
    """The command `victor` on one workspace, with its last output."""

    def __init__(self, root: Path, capture: Capture) -> None:
        self.root = root
        self.capture = capture
        self.out = ""
        self.err = ""

    def __call__(self, *words: str) -> int:
        self.capture.readouterr()
        try:
            code = main(["--workspace", str(self.root), "--state-dir", str(self.root / ".state"), *words])
        except SystemExit as end:
            code = int(end.code or 0)
        self.out, self.err = self.capture.readouterr()
        return code


@pytest.fixture
def victor(tmp_path: Path, capsys: Capture) -> Victor:
    return Victor(workspace(tmp_path, GATE), capsys)


def configure(victor: Victor, settings: str) -> None:
    """Add settings to the bindings of the workflow."""
    (victor.root / "victor.yaml").write_text(dedent(GATE["victor.yaml"]) + settings)


def test_a_new_schedule_has_the_defaults_of_the_configuration(victor: Victor) -> None:
    """Those that an option or --set does not give, as in a `schedule:` block of a file."""
    configure(
        victor,
        "scheduler: {defaults: {timezone: Asia/Tokyo, catchup: true, max_active_runs: 2, catchup_window: 2h}}\n",
    )
    assert victor("scheduler", "add", "gate", "--cron", "0 9 * * *", "--json") == 0
    spec = json.loads(victor.out)["spec"]
    assert (spec["timezone"], spec["catchup"], spec["max_active_runs"]) == ("Asia/Tokyo", "all", 2)
    assert spec["catchup_window"] == 7200
    assert (
        victor("scheduler", "add", "gate", "--cron", "0 9 * * *", "--tz", "UTC", "--catchup", "no", "--json")
        == 0
    )
    spec = json.loads(victor.out)["spec"]
    assert (spec.get("timezone", "UTC"), spec.get("catchup", "none"), spec["max_active_runs"]) == (
        "UTC",
        "none",
        2,
    )


def test_without_an_engine_schedules_are_added_listed_and_removed(victor: Victor) -> None:
    assert victor("scheduler", "add", "gate", "--cron", "@daily", "--state", '{"topic": "x"}') == 0
    schedule = victor.out.split()[0]
    assert len(schedule) == 12
    assert victor("scheduler", "add", "gate", "--cron", "@daily", "--state", '{"topic": "x"}') == 0
    assert "exists already" in victor.out
    assert victor("scheduler", "list", "--json") == 0
    found = {s["id"]: s for s in json.loads(victor.out)}
    assert found[schedule]["spec"]["initial_state"] == {"topic": "x"}
    assert victor("scheduler", "status") == 7
    assert victor("scheduler", "pause", schedule[:6], "--note", "holiday") == 0
    assert victor("scheduler", "resume", schedule) == 0
    assert victor("scheduler", "remove", schedule) == 0
    assert victor("scheduler", "remove", schedule) == 4
    assert "does not exist" in victor.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["scheduler", "add", "gate", "--cron", "61 * * * *"], 2, "outside 0-59"),
        (["scheduler", "add", "gate", "--cron", "0 0 30 2 *"], 2, "never fire"),
        (
            ["scheduler", "add", "gate", "--cron", "@daily", "--tz", "Europe/Berlim"],
            2,
            "did you mean 'Europe/Berlin'",
        ),
        (["scheduler", "add", "gate"], 2, "exactly one of cron"),
        (["scheduler", "add", "gaet", "--cron", "@daily"], 4, "Did you mean 'gate'"),
        (["scheduler", "add", "gate", "--cron", "@daily", "--state", "{"], 2, "not valid JSON"),
        (["run", "gate", "--state", "[1]"], 2, "must be a JSON object"),
        (["run", "gate", "--state", '{"a": }'], 2, "column 7"),
        (["run", "gate", "--state", '{"a": NaN}'], 2, "NaN is not a JSON value"),
        (["run", "gate", "--state", "[" * 100_000], 2, "nothing was started"),
        (["run", "gate", "--state", '{"a": ' + "[" * 200 + "]" * 200 + "}"], 2, "more than 100 levels"),
        (["run", "gate", "--state", '{"a": ' + "9" * 5000 + "}"], 2, "nothing was started"),
        (["run", "nothing"], 4, "the workflow 'nothing' does not exist"),
        (["inbox", "answer", "zzz", "approve"], 4, "request"),
        (["runs", "show", "zzz"], 4, "run"),
        (["runz"], 2, "Did you mean 'run'"),
        (["scheduler", "stop"], 7, "no engine runs"),
    ],
)
def test_bad_input_is_one_clear_error_and_leaves_no_trace(
    victor: Victor, words: list[str], code: int, message: str
) -> None:
    assert victor("scheduler", "list", "--json") in (0, 8)
    assert victor("inbox", "claim", "none") == 4  # registers the workspace in the store
    assert victor("runs", "list", "--json") == 0
    assert victor("scheduler", "list", "--json") == 0
    before = victor.out
    assert victor(*words) == code
    assert message in victor.err
    assert victor.err.startswith("error: ")
    assert "Traceback" not in victor.err
    assert victor("scheduler", "list", "--json") == 0
    assert victor.out == before
    assert victor("runs", "list", "--json") == 0
    assert json.loads(victor.out) == []


def test_a_run_without_an_engine_is_followed_and_its_status_is_the_exit_code(victor: Victor) -> None:
    file = victor.root / "workflows/plain.yaml"
    file.write_text(
        "workflows:\n  plain:\n    nodes:\n"
        "      - {id: write, type: agent, role: writer, goal: 'about {topic}', next: [finish]}\n"
        "      - {id: finish, type: transform, transform: 'done = draft'}\n"
        "  bad:\n    nodes:\n      - {id: a, type: transform, transform: 'x = 1 / 0'}\n"
    )
    assert victor("run", "plain", "--state", '{"topic": "x"}') == 0
    assert "write | a line for the log" in victor.out
    assert "succeeded after" in victor.out
    assert victor("run", "bad") == 10
    assert "ZeroDivisionError" in victor.out
    assert victor("runs", "list", "--json") == 0
    newest, oldest = json.loads(victor.out)
    assert (newest["status"], oldest["status"]) == ("failed", "succeeded")
    assert victor("runs", "show", oldest["id"][:12]) == 0
    assert '"done": "ABOUT X"' in victor.out
    assert victor("runs", "log", oldest["id"]) == 0
    assert "a line for the log" in victor.out


def test_queries_write_nothing(victor: Victor) -> None:
    assert victor("scheduler", "add", "gate", "--cron", "@daily") == 0
    state = victor.root / ".state"

    def everything() -> dict[str, tuple[bytes, int]]:
        return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in state.rglob("*") if p.is_file()}

    before = everything()
    for words in (
        ["scheduler", "list"], ["scheduler", "status"], ["scheduler", "history"], ["inbox", "list"],
        ["inbox", "history"], ["runs", "list"], ["versions", "list"], ["versions", "show", "gate"],
        ["validate", str(victor.root)],
    ):  # fmt: skip
        assert victor(*words) in (0, 7)
    assert everything() == before


def test_validate_inside_and_outside_a_workspace_and_with_errors(victor: Victor, tmp_path: Path) -> None:
    assert victor("validate", str(victor.root / "workflows")) == 0
    alone = tmp_path / "alone.yaml"
    alone.write_text((victor.root / "workflows/gate.yaml").read_text())
    assert victor("validate", str(tmp_path / "nowhere.yaml")) == 2
    bad = victor.root / "workflows/bad.yaml"
    bad.write_text("workflows:\n  w:\n    nodes:\n      - {id: a, type: agent, role: painter, nxt: [b]}\n")
    assert victor("validate", str(bad)) == 3
    assert f"{bad}:4:" in victor.out
    assert "Did you mean 'next'" in victor.out
    bad.write_text("workflows:\n  w:\n    nodes:\n      - {id: a, type: agent, role: painter}\n")
    assert victor("validate", str(bad)) == 3
    assert f"{bad}:4:9: error" in victor.out
    assert "painter" in victor.out
    assert "agents:" in victor.out
    bad.write_text("workflows: [\n")
    assert victor("validate", str(bad)) == 3
    assert "not valid YAML" in victor.out


def test_versions_and_a_dry_run_of_a_migration(victor: Victor) -> None:
    file = victor.root / "workflows/two.yaml"
    file.write_text(
        "workflows:\n  gate:\n    version: 2.0.0\n    migrations:\n      - from: 1.0.0\n        to: 2.0.0\n"
        "        steps: [{type: rename_field, from: draft, to: text}]\n"
        "    nodes: [{id: a, type: transform, transform: 'x = 1'}]\n"
    )
    assert victor("versions", "deprecate", "gate", "1.0", "--message", "use 2.0.0") == 0
    assert victor("versions", "list", "--json") == 0
    (gate,) = json.loads(victor.out)
    assert [v["version"] for v in gate["versions"]] == ["2.0.0", "1.0.0"]
    assert gate["versions"][1]["deprecated"] == "use 2.0.0"
    assert victor("versions", "diff", "gate", "1.0.0", "2.0.0") == 0
    assert "- node write" in victor.out
    words = [
        "versions",
        "migrate",
        "gate",
        "1.0.0",
        "2.0.0",
        "--dry-run",
        "--json",
        "--state",
        '{"draft": 1}',
    ]
    assert victor(*words) == 0
    assert json.loads(victor.out)["after"] == {"text": 1}
    words[4] = "3.0.0"
    assert victor(*words) == 3
    assert "no migration leads from 1.0.0 to 3.0.0" in victor.err


def test_a_state_file_that_is_not_text_is_one_error(victor: Victor, tmp_path: Path) -> None:
    file = tmp_path / "state.bin"
    file.write_bytes(b"\xff\xfe")
    assert victor("run", "gate", "--state-file", str(file)) == 2
    assert "is not UTF-8 text (byte 0)" in victor.err


def test_a_state_directory_that_cannot_be_written_is_an_error_without_a_traceback(
    victor: Victor, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert (
        main(["--workspace", str(victor.root), "--state-dir", str(blocked / "x"), "inbox", "claim", "a"]) != 0
    )
    assert victor.capture.readouterr().err.startswith("error: ")


def test_a_next_fire_that_will_not_run_is_marked(victor: Victor) -> None:
    every_day = ", ".join(("mon", "tue", "wed", "thu", "fri", "sat", "sun"))
    configure(victor, f"calendars: {{wk: {{weekly: [{{days: [{every_day}]}}]}}}}\n")
    assert victor("scheduler", "add", "gate", "--cron", "@daily", "--set", "exclude=wk") == 0
    assert "(excluded by calendar wk" in victor.out
    excluded = victor.out.split()[0]
    assert victor("scheduler", "list") == 0
    assert "(excluded by calendar wk" in victor.out
    victor("scheduler", "status")
    assert "(excluded by calendar wk" in victor.out
    assert victor("scheduler", "remove", excluded) == 0
    assert victor("scheduler", "add", "gate", "--cron", "0 4 * * *") == 0
    assert victor("scheduler", "skip", victor.out.split()[0]) == 0
    assert victor("scheduler", "list") == 0
    assert "(skipped by an operator)" in victor.out
    victor("scheduler", "status")
    assert "(skipped by an operator)" in victor.out


def test_a_preview_of_an_expression_needs_no_workflow(victor: Victor) -> None:
    configure(victor, "scheduler: {defaults: {timezone: Asia/Tokyo}}\n")
    assert victor("scheduler", "add", "gate", "--cron", "@daily") == 0
    assert victor("scheduler", "preview", "0 9 * * *") == 0
    assert "Asia/Tokyo" in victor.out or "JST" in victor.out


def test_the_history_shows_zone_and_second_pass(victor: Victor) -> None:
    async def fire() -> None:
        async with world(victor.root / ".state", datetime(2026, 10, 24, 23, 45, tzinfo=UTC)) as w:
            await w.add(cron="30 * * * *", timezone="Europe/Berlin", overlap="allow")
            await w.add(every_seconds=7200.0, overlap="allow")
            for hour in range(4):
                await w.at(datetime(2026, 10, 25, hour, 30, tzinfo=UTC))

    (victor.root / ".state").mkdir(mode=0o700)
    asyncio.run(fire())
    assert victor("scheduler", "history") == 0
    assert "2026-10-25T02:30 Europe/Berlin  " in victor.out
    assert "2026-10-25T02:30 Europe/Berlin (second pass)  " in victor.out
    assert "2026-10-25T01:45:00Z  " in victor.out
    assert victor("scheduler", "history", "--json") == 0
    found = json.loads(victor.out)
    assert {(fire["timezone"], fire["fold"]) for fire in found} == {
        ("Europe/Berlin", 0), ("Europe/Berlin", 1), ("UTC", 0),
    }  # fmt: skip


def test_a_command_beside_a_stopped_daemon_uses_its_configuration(victor: Victor, tmp_path: Path) -> None:
    (victor.root / "workflows" / "nightly.yaml").write_text(
        "workflows:\n  nightly:\n    nodes: [{id: a, type: transform, transform: 'x = 1'}]\n"
        "    schedule: {cron: '0 2 * * *'}\n"
    )
    config = tmp_path / "production.yaml"
    config.write_text("scheduler: {defaults: {timezone: Asia/Tokyo, overlap: allow}}\n")

    async def daemon() -> None:
        paths = Paths(victor.root, victor.root / ".state")
        with acting_as(ME):
            engine = await open_engine(paths, mode="daemon", config_file=config)
            await engine.close()

    def spec() -> Any:
        assert victor("scheduler", "list", "--json") == 0
        (found,) = [each["spec"] for each in json.loads(victor.out) if each["spec"]["workflow"] == "nightly"]
        return found

    asyncio.run(daemon())
    before = spec()
    assert (before["timezone"], before["overlap"]) == ("Asia/Tokyo", "allow")
    assert victor("scheduler", "pause", "nightly") == 0
    assert spec() == before
    config.unlink()
    assert victor("scheduler", "resume", "nightly") != 0
    assert f"{config}: the engine was started with this configuration file" in victor.err
    assert "nothing was changed" in victor.err
    assert spec() == before


@pytest.mark.parametrize("later", [None, "UTC"])
def test_a_command_beside_a_stopped_daemon_uses_its_environment(
    victor: Victor, monkeypatch: pytest.MonkeyPatch, later: str | None
) -> None:
    (victor.root / "workflows" / "nightly.yaml").write_text(
        "workflows:\n  nightly:\n    nodes: [{id: a, type: transform, transform: 'x = 1'}]\n"
        "    schedule: {cron: '0 2 * * *'}\n"
    )
    name = "VICTOR_SCHEDULER_DEFAULTS_TIMEZONE"

    async def daemon() -> None:
        with acting_as(ME):
            engine = await open_engine(Paths(victor.root, victor.root / ".state"), mode="daemon")
            await engine.close()

    monkeypatch.setenv(name, "Asia/Tokyo")
    asyncio.run(daemon())
    if later is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, later)
    assert victor("plan") == 0
    assert "no changes" in victor.out
    assert victor("scheduler", "pause", "nightly") == 0
    assert victor("scheduler", "list", "--json") == 0
    zones = {each["spec"]["workflow"]: each["spec"]["timezone"] for each in json.loads(victor.out)}
    assert zones["nightly"] == "Asia/Tokyo"
    assert victor("scheduler", "status") == 7
    assert f"{name} of this process is not used: the last daemon of this state directory had" in victor.err
    monkeypatch.setenv(name, "Asia/Tokyo")
    assert victor("scheduler", "status") == 7
    assert "is not used" not in victor.err
