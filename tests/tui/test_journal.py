"""The shell commands that the console shows for its own actions."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import Any

import click
import pytest

from victor_engine.api import Answer
from victor_engine.cli.main import cli
from victor_tui.inverses import described, inverse
from victor_tui.journal import Done

AT = datetime(2026, 3, 10, 14, 5, tzinfo=UTC)
ACTIONS: list[tuple[str, dict[str, Any], str]] = [
    ("start_run", {"workflow": "w", "version": "^1", "state": {"a": [1]}, "note": "a b"},
     """victor run w --version '^1' --state '{"a": [1]}' --note 'a b'"""),
    ("redrive_run",
     {"run_id": "k1", "from_node": "build", "state": {"a": "é"}, "version": None, "revision": 4, "rewind": True},
     """victor runs redrive k1 --from build --state '{"a": "é"}' --rewind"""),
    ("rerun", {"run_id": "k1", "version": "2.0.0", "state": None, "note": ""}, "victor runs rerun k1 --version 2.0.0"),
    ("override_node", {"run_id": "k1", "node_id": "n", "timeout": 90.0, "max_attempts": 3, "retry_now": True},
     "victor runs override k1 n --timeout 90 --max-attempts 3 --retry-now"),
    ("set_alias", {"workflow": "w", "alias": "stable", "version": "1.0.0", "other": "1.1.0", "weight": 10},
     "victor versions alias w stable 1.0.0 --split 1.1.0 10"),
    ("set_alias", {"workflow": "w", "alias": "stable", "version": "1.0.0", "other": None, "weight": 0},
     "victor versions alias w stable 1.0.0"),
    ("promote_alias", {"workflow": "w", "alias": "canary", "onto": "stable"},
     "victor versions promote w canary --onto stable"),
    ("deprecate", {"workflow": "w", "version": "1.0.0", "message": "old", "successor": "2.0.0", "removal": None},
     "victor versions deprecate w 1.0.0 --message old --successor 2.0.0"),
    ("remove_version", {"workflow": "w", "version": "1.0.0", "message": "x"}, "victor versions remove w 1.0.0 --message x"),
    ("reassign", {"request_id": "r", "revision": 2, "assignees": ["ana", "@ops"], "note": "n"},
     "victor inbox reassign r ana @ops --note n"),
    ("push_back", {"request_id": "r", "revision": 2, "to_node": "draft", "comment": "again"},
     "victor inbox push-back r draft --comment again"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "expected"), ACTIONS, ids=[each[0] for each in ACTIONS])
def test_the_command_of_an_action_is_one_of_the_command_line(
    name: str, arguments: dict[str, Any], expected: str
) -> None:
    command = Done(AT, name, arguments).command
    assert command == expected
    words = shlex.split(command)[1:]
    group: click.Command = cli
    while isinstance(group, click.Group):
        found = group.get_command(click.Context(group), words.pop(0))
        assert found is not None
        group = found
    group.make_context(group.name, words, resilient_parsing=False)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("set_alias", {"workflow": "deploy", "alias": "stable", "version": "2.0.0"}, "remove the alias stable of deploy"),
        ("deprecate", {"workflow": "deploy", "version": "1.0.0"}, "restore version 1.0.0 of deploy"),
        ("remove_version", {"workflow": "deploy", "version": "1.0.0"}, "restore version 1.0.0 of deploy"),
        ("pause_run", {"run_id": "k1", "note": "wait"}, "resume run k1"),
        ("drain", {"note": "wait"}, "stop draining the engine"),
    ],
)  # fmt: skip
def test_an_undo_names_what_it_changes(name: str, arguments: dict[str, Any], words: str) -> None:
    found = inverse(name, arguments, None, None)
    assert found is not None
    assert described(*found) == words


def test_the_undo_of_a_reassignment_names_the_former_assignees() -> None:
    undo = {"request_id": "r", "revision": 3, "assignees": ["ana", "@ops"]}
    assert described("reassign", undo) == "reassign r to ana, @ops"


def test_an_action_whose_effect_a_command_cannot_repeat_has_none() -> None:
    # The settings before the edit are not known.
    assert Done(AT, "edit_schedule", {"schedule_id": "s", "spec": None}).command is None
    secret = Answer(outcome="answered", value={"password": "hunter2"})
    assert Done(AT, "answer", {"request_id": "r", "revision": 1, "answer": secret}).command is None
