"""`victor versions` on a real workspace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_cli import Victor
from tests.engine.support import engine_on, question, workspace
from tests.versioning.test_moving import RENAME, RENAMED, V1, file

FILES = {"workflows/a.yaml": file("1.0.0", V1), "workflows/b.yaml": file("2.0.0", RENAMED, RENAME)}


@pytest.fixture
def victor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Victor:
    return Victor(workspace(tmp_path, FILES), capsys)


async def _wait(root: Path) -> str:
    async with engine_on(root) as engine:
        run = await engine.start_run("w", "1.0.0")
        await question(engine, run.id)
        return run.id


async def _load(root: Path) -> None:
    async with engine_on(root):
        pass


def waiting_run(victor: Victor) -> str:
    import asyncio

    return asyncio.run(_wait(victor.root))


def test_the_lifecycle_of_a_version(victor: Victor) -> None:
    assert victor("versions", "alias", "w", "stable", "1.0.0", "--split", "2.0.0", "10") == 0
    assert victor.out == "w stable -> 1.0.0 90% / 2.0.0 10%; rollback: 1.0.0\n"
    assert victor("versions", "list", "w") == 0
    assert "ramping (10%)" in victor.out
    assert victor("versions", "promote", "w", "stable", "--note", "good") == 0
    assert victor.out == "w stable -> 2.0.0; rollback: 1.0.0\n"
    assert victor("versions", "alias", "w", "stable", "--json") == 0
    assert json.loads(victor.out)[0]["sides"][0]["version"] == "2.0.0"
    assert victor("versions", "rollback", "w", "stable") == 0
    assert victor.out == "w stable -> 1.0.0\n"
    assert victor("versions", "rollback", "w", "stable") == 5
    assert victor("versions", "alias", "w", "stable", "2.0.0") == 0
    assert victor("versions", "deprecate", "w", "1.0", "--message", "old", "--successor", "2.0.0",
                  "--removal", "2027-01-31") == 0  # fmt: skip
    assert "old; use 2.0.0; to be removed 2027-01-31" in victor.out
    assert victor("versions", "list", "--deprecated") == 0
    assert victor.out.count("\n") == 2
    assert victor("versions", "remove", "w", "1.0.0") == 0
    assert victor("run", "w", "--version", "1.0.0") == 5
    assert "is removed, and new runs cannot start on it: old" in victor.err
    assert victor("versions", "restore", "w", "1.0.0") == 0
    assert victor("versions", "diff", "w", "1.0.0", "stable") == 0
    assert victor.out == "nodes:\n  ~ node ok is renamed to approve\n"
    assert victor("versions", "alias", "w", "stable", "--remove") == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["alias", "w", "v1", "1.0.0"], 2, "cannot name an alias"),
        (["alias", "w", "stable", "--split", "2.0.0", "10"], 2, "keeps the rest"),
        (["alias", "w", "stable", "1.0.0", "--remove"], 2, "nothing else"),
        (["promote", "w", "stable"], 4, "no alias 'stable'"),
        (["remove", "w", "9.0.0"], 4, "w has no version 9.0.0"),
        (["deprecate", "w", "1.0.0", "--message", "x", "--removal", "soon"], 2, "is not a date"),
        (["migrate", "w", "1.0.0", "2.0.0"], 2, "--dry-run"),
        (["migrate", "w", "1.0.0", "2.0.0", "--apply", "--state", "{}"], 2, "--state needs --dry-run"),
        (["migrate", "w", "2.0.0", "1.0.0", "--dry-run", "--state", "[1]"], 2, "must be a JSON object"),
    ],
)
def test_invalid_arguments_are_refused(victor: Victor, words: list[str], code: int, message: str) -> None:
    assert victor("versions", *words) == code
    assert message in victor.err


def test_a_migration_is_shown_applied_and_undone(victor: Victor) -> None:
    run_id = waiting_run(victor)
    assert victor("versions", "migrate", "w", "1.0.0", "2.0.0", "--dry-run", "--run", run_id) == 0
    assert "1 runs would be migrated to w 2.0.0" in victor.out
    assert "rename node ok to approve: is at ok, which is now approve" in victor.out
    assert "+ region = eu" in victor.out
    assert victor("versions", "migrate", "w", "1.0.0", "2.0.0", "--apply", "--json", "--note", "n") == 0
    assert json.loads(victor.out)["runs"][0]["outcome"] == "migrated"
    assert victor("versions", "migrate", "w", "1.0.0", "2.0.0", "--apply", "--run", run_id) == 5
    assert "is already on 2.0.0" in victor.out
    assert victor("versions", "history", "w") == 0
    assert "1.0.0->2.0.0" in victor.out
    assert victor("versions", "undo", run_id) == 0
    assert victor.out == f"{run_id} is back on w 1.0.0\n"
    assert victor("versions", "undo", run_id) == 5
    assert victor("versions", "migrate", "w", "1.0.0", "2.0.0", "--apply") == 0
    batch = victor.err.split("--batch ")[1].split()[0]
    assert victor("versions", "history", "w") == 0
    assert batch in victor.out
    assert victor("versions", "undo") == victor("versions", "undo", run_id, "--batch", batch) == 2
    assert victor("versions", "undo", "--batch", batch) == 0
    assert victor.out == "1 runs are back on w 1.0.0, 0 refused\n"
    assert victor("versions", "undo", "--batch", batch) == 5
    assert victor("versions", "migrate", "w", "1.0.0", "2.0.0", "--dry-run", "--state", '{"a": 1}') == 0
    assert '"region": "eu"' in victor.out


def test_unused_versions_are_listed_and_deleted(victor: Victor) -> None:
    import asyncio

    path = victor.root / "workflows" / "a.yaml"
    waiting_run(victor)
    for version in ("0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0"):
        path.write_text(file(version, V1))
        asyncio.run(_load(victor.root))
    path.write_text(file("1.0.0", V1))
    assert victor("versions", "alias", "w", "old", "0.1.0") == 0
    assert victor("scheduler", "add", "w", "--cron", "@daily", "--version", "<0.3.0") == 0, victor.err
    assert victor("versions", "prune", "w", "--json") == 0
    report = json.loads(victor.out)
    found = {each["version"]: each.get("reason", "") for each in report["versions"]}
    assert found["1.0.0"] in ("runs have used it", "it is in force", "a file of the workspace declares it")
    assert found["0.1.0"] == "alias old points at it, or did so"
    assert "schedule" in found["0.2.0"]
    ready = [each["version"] for each in report["versions"] if each["outcome"] == "ready"]
    assert ready == ["0.3.0", "0.4.0"]
    assert found["0.5.0"] == "it was registered last"

    assert victor("versions", "alias", "w", "late", "0.4.0") == 0
    assert victor("versions", "prune", "--plan", report["plan"], "--note", "old") == 5
    assert "w 0.3.0  deleted" in victor.out
    assert "w 0.4.0  kept: " in victor.out
    assert victor("versions", "list", "w") == 0
    assert "0.4.0" in victor.out
    assert "0.3.0" not in victor.out
    assert victor("versions", "prune", "w", "--plan", report["plan"]) == 2
    assert victor("versions", "prune", "nothing") == 4


def test_the_version_before_the_last_deployment_is_kept(victor: Victor) -> None:
    import asyncio

    (victor.root / "workflows" / "b.yaml").unlink()
    for version in ("1.0.0", "2.0.0", "3.0.0", "4.0.0"):
        (victor.root / "workflows" / "a.yaml").write_text(file(version, V1))
        asyncio.run(_load(victor.root))
    assert victor("versions", "prune", "--json") == 0
    found = {each["version"]: each.get("reason", "") for each in json.loads(victor.out)["versions"]}
    undo = "`victor deploy --undo` brings it back"
    assert found == {"1.0.0": "", "2.0.0": "", "3.0.0": undo, "4.0.0": "it is in force"}


def test_validate_warns_of_a_version_that_its_file_deprecates(victor: Victor, tmp_path: Path) -> None:
    assert victor("versions", "deprecate", "w", "1.0.0", "--message", "reads the old feed") == 0
    text = file("1.0.0", V1, more="deprecated: {message: reads the old feed, successor: 2.0.0}")
    (tmp_path / "old.yaml").write_text(text)
    assert victor("validate", str(tmp_path / "old.yaml")) == 0
    assert "w 1.0.0 is deprecated: reads the old feed; use 2.0.0" in victor.out


def test_validate_warns_of_a_version_that_is_deprecated_in_the_store_and_writes_nothing(
    victor: Victor, tmp_path: Path
) -> None:
    path = victor.root / "workflows" / "again.yaml"
    path.write_text(file("1.0", V1))
    assert victor("validate", str(path)) == 0
    assert "deprecated" not in victor.out
    assert victor("versions", "deprecate", "w", "1.0.0", "--message", "reads the old feed", "--successor",
                  "2.0.0", "--removal", "2027-01-31") == 0  # fmt: skip
    state = {found: found.stat().st_mtime_ns for found in tmp_path.rglob("*")}
    assert victor("validate", str(path)) == 0
    warning = "again.yaml:3:5: warning: w 1.0 is deprecated: reads the old feed; use 2.0.0; to be removed 2027-01-31"
    assert warning in victor.out
    assert {found: found.stat().st_mtime_ns for found in tmp_path.rglob("*")} == state
    assert victor("versions", "remove", "w", "1.0.0") == 0
    assert victor("validate", str(path)) == 0
    assert "w 1.0 is removed, and no runs can start on it: reads the old feed; use 2.0.0" in victor.out


def test_validate_warns_if_the_store_cannot_be_read(victor: Victor, tmp_path: Path) -> None:
    path = victor.root / "workflows" / "again.yaml"
    path.write_text(file("1.0.0", V1))
    assert victor("versions", "deprecate", "w", "1.0.0", "--message", "old") == 0
    database = next(tmp_path.rglob("victor.db"))
    for each in database.parent.glob("victor.db*"):
        each.unlink()
    database.write_text("no database at all, and longer than a header would be" * 20)
    assert victor("validate", str(path)) == 0
    assert "w 1.0.0 may be deprecated: " in victor.out
    assert "cannot read" in victor.out


def test_errors_of_migrations_have_their_location(victor: Victor, tmp_path: Path) -> None:
    text = """workflows:
  w:
    version: 2.0.0
    migrations:
      - from: 1.0.0
        breaking: true
        steps:
          - {type: rename_feild, from: a, to: b}
          - {type: rename_field, from: a, to: a.b}
      - from: 1.1.0
        steps:
          - {type: rename_node, from: old, to: aproove}
          - {type: add_edge, from: ok, to: nowhere}
      - {from: 2.0.0, to: 1.1.0}
      - {from: nope}
      - {from: 1.1.0, breaking: true}
    nodes:
      - {id: approve, type: hitl, hitl_type: approval, prompt: "Ship?", next: [ok]}
      - {id: ok, type: transform, transform: "a = 1"}
"""
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    assert victor("validate", str(path)) == 3
    errors = {line.removeprefix(f"{path}:").split(":", 1)[0]: line for line in victor.out.splitlines()}
    for line, words in {
        "8": "Did you mean 'rename_field'?",
        "9": "one contains the other",
        "12": "no node 'aproove'. Did you mean 'approve'?",
        "13": "no edge from 'ok' to 'nowhere'",
        "14": "leads to an older version",
        "15": "Invalid version string: nope",
        "16": "a different migration 1.1.0->2.0.0 exists already",
    }.items():
        assert words in errors[line]
