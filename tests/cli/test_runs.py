"""`victor runs`: commands on several runs, with a result for each and one exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_cli import Capture, Victor
from tests.contract.test_run_control import FLAKY
from tests.engine.support import workspace


@pytest.fixture
def victor(tmp_path: Path, capsys: Capture) -> Victor:
    return Victor(workspace(tmp_path, FLAKY), capsys)


def broken(victor: Victor, *parts: int) -> list[str]:
    """Start runs that fail, and return their ids in the order of their parts."""
    for part in parts:
        assert victor("run", "flaky", "--state", json.dumps({"part": part, "broken": True})) == 10
    assert victor("runs", "list", "--json") == 0
    return [run["id"] for run in reversed(json.loads(victor.out))]


def shown(victor: Victor, run_id: str) -> Any:
    assert victor("runs", "show", run_id, "--json") == 0
    return json.loads(victor.out)


def test_dead_letters_are_listed_by_cause_and_discarded_in_bulk(victor: Victor) -> None:
    ids = broken(victor, 1, 2, 3)
    assert victor("runs", "dead") == 0
    heads, row = victor.out.splitlines()
    assert heads.split() == ["CAUSE", "RUNS", "WORKFLOW", "NODE", "ERROR", "LAST", "MESSAGE"]
    cause = row.split()[0]
    assert row.split()[1:5] == ["3", "flaky", "check", "Broken"]
    assert victor("runs", "dead", cause[:5], "--limit", "2") == 0
    assert victor.out.splitlines()[-3:] == [ids[2], ids[1], "and 1 more (--limit)"]
    assert victor("runs", "dead", "--json") == 0
    (group,) = json.loads(victor.out)
    assert (group["cause"], group["count"], len(group["run_ids"])) == (cause, 3, 3)
    assert victor("runs", "list", "--cause", cause[:4], "--limit", "2", "--json") == 0
    assert [run["id"] for run in json.loads(victor.out)] == [ids[2], ids[1]]
    assert victor("runs", "discard", ids[0], "zzz", ids[0]) == 4
    assert victor.out.splitlines() == [f"{ids[0]}: failed", "1 done, 1 failed"]
    assert "zzz: run 'zzz' does not exist" in victor.err
    assert victor("runs", "discard", "--cause", cause, "--note", "known", "--json") == 0
    results = json.loads(victor.out)
    assert [(result["ok"], result["run"]["id"]) for result in results] == [(True, ids[2]), (True, ids[1])]
    assert victor("runs", "discard", ids[1]) == 5
    assert victor.err.startswith(f"error: run {ids[1]} has already been discarded")
    assert victor("runs", "discard", ids[1], "zzz") == 1
    assert victor("runs", "dead") == 0
    assert (victor.out, victor.err) == ("", "no dead letters\n")


def test_redrive_with_one_key_changed(victor: Victor) -> None:
    ids = broken(victor, 1, 2)
    assert victor("runs", "redrive", *ids, "--from", "take", "--unset", "broken", "--set", "part=9") == 0
    assert victor.out.splitlines() == [f"{ids[0]}: queued", f"{ids[1]}: queued", "2 done"]
    found = shown(victor, ids[0])
    assert found["state"]["part"] == 9
    assert "broken" not in found["state"]
    assert found["attempts"][-1]["node_id"] == "@edit"
    assert victor("runs", "redrive", ids[0]) == 5
    assert "is queued" in victor.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["redrive"], 2, "give run ids or --cause CAUSE"),
        (["redrive", "{run}", "--cause", "x"], 2, "not both"),
        (["redrive", "--cause", "x"], 4, "the cause 'x'"),
        (["redrive", "{run}", "--from", "chekc"], 2, "choose one of: take, check, out"),
        (["redrive", "{run}", "--set", "part"], 2, "is not key=value"),
        (["redrive", "{run}", "--unset", "nothing"], 2, "has no key 'nothing'"),
        (["redrive", "{run}", "--state", "[1]"], 2, "must be a JSON object"),
        (["redrive", "{run}", "--state", "{}", "--set", "a=1"], 2, "not both"),
        (["redrive", "{run}", "--from", "out", "--rewind"], 2, "has never reached out"),
        (["redrive", "{run}", "--rewind", "--set", "a=1"], 2, "cannot be combined"),
        (["redrive", "{run}", "--version", "7.0.0"], 4, "has no version 7.0.0"),
        (["redrive", "{run}", "--if-revision", "0"], 5, "has changed since you read it"),
        (["rerun", "{run}", "--version", "7.0.0"], 4, "has no version 7.0.0"),
        (["override", "{run}", "check"], 2, "the override is empty"),
        (["override", "{run}", "check", "--timeout", "5"], 5, "will not have another attempt"),
        (["cancel"], 2, "give run ids"),
        (["cancel", "{run}"], 5, "is failed"),
        (["dead", "nothing"], 4, "the cause 'nothing'"),
        (["list", "--status", "nonsense"], 2, "use one of queued, running"),
    ],
)
def test_bad_input_is_one_clear_error_and_changes_nothing(
    victor: Victor, words: list[str], code: int, message: str
) -> None:
    (run_id,) = broken(victor, 1)
    before = shown(victor, run_id)
    assert victor("runs", *[word.format(run=run_id) if word == "{run}" else word for word in words]) == code
    assert message in victor.err
    assert victor.err.startswith("error: ")
    assert shown(victor, run_id) == before


def test_runs_are_listed_by_a_status_or_a_group_of_statuses(victor: Victor) -> None:
    (run_id,) = broken(victor, 1)
    for status, listed in (("failed", True), ("done", True), ("active", False), ("queued", False)):
        assert victor("runs", "list", "--status", status) == 0
        assert (run_id in victor.out) == listed


def test_a_rerun_names_the_earlier_run(victor: Victor) -> None:
    (old,) = broken(victor, 4)
    assert victor("runs", "rerun", old, "--state", '{"part": 5}', "--note", "mended") == 0
    new = victor.out.split(":")[0]
    assert victor.out == f"{new}: queued, rerun of {old}\n"
    assert victor("runs", "show", new) == 0
    assert f"rerun of {old}" in victor.out
    assert victor("runs", "cancel", new, "--json") == 0
    (result,) = json.loads(victor.out)
    assert (result["given"], result["run"]["status"]) == (new, "cancelled")
    assert victor("runs", "show", old) == 0
    assert "dead letter; redrive or discard it" in victor.out


def test_runs_are_compared_and_counted(victor: Victor) -> None:
    (bad,) = broken(victor, 4)
    assert victor("run", "flaky", "--state", '{"part": 5}') == 0
    assert victor("runs", "list", "--status", "succeeded", "--json") == 0
    good = json.loads(victor.out)[0]["id"]
    assert victor("runs", "compare", bad, good) == 0
    lines = victor.out.splitlines()
    assert any(line.split() == ["outcome", "failed", "succeeded"] for line in lines)
    assert any(line.startswith("check") and "failed" in line and "succeeded" in line for line in lines)
    assert "  ~ part: 4 -> 5" in lines
    assert "  - broken = true" in lines
    assert victor("runs", "compare", bad, good, "--json") == 0
    assert json.loads(victor.out)["left"]["run"]["id"] == bad
    assert victor("runs", "compare", bad, "nothing") == 4
    assert victor("runs", "stats", "--workflow", "flaky", "--after", "yesterday") == 0
    assert "success rate 50.0 %: 1 succeeded, 1 failed" in victor.out
    assert re.search(r"^failed 1 times: \w+ in check$", victor.out, re.M)
    assert victor("runs", "stats", "--json") == 0
    assert json.loads(victor.out)["success_rate"] == 0.5
    assert victor("runs", "stats", "--workflow", "nothing") == 0
    assert victor.out == "no runs\n"
    assert victor("runs", "stats", "--after", "whenever") == 2
