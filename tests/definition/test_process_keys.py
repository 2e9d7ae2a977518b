"""The reader of `env`, `cwd` and `stdin` of a node."""

from __future__ import annotations

import pytest

from victor_engine.definition import ComputeNode, definition_from_content, definition_to_content
from victor_engine.definition.loader import LoadResult, load_text


def loaded(keys: str) -> LoadResult:
    return load_text(f"workflows:\n  w:\n    nodes:\n      - {{id: a, type: compute, {keys}}}\n", "w.yaml")


def test_the_node_has_the_values_of_its_file() -> None:
    result = loaded('env: {HOST: $ctx.host, N: 010, E: null}, cwd: "data/$ctx.host/in", stdin: "$ctx.report"')
    assert result.problems == ()
    node = result.workflows["w"].nodes["a"]
    assert isinstance(node, ComputeNode)
    assert node.env == {"HOST": "$ctx.host", "N": "010", "E": ""}
    assert (node.cwd, node.stdin) == ("data/$ctx.host/in", "$ctx.report")
    assert definition_from_content("w", definition_to_content(result.workflows["w"])).nodes["a"] == node


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("env: [A]", "env: must map names of variables to values, not a list"),
        ("env: {$ctx.x: 1}", "cannot name a variable"),
        ("env: {A-B: 1}", "cannot name a variable"),
        ("env: {VICTOR_RUN_ID: 1}", "the engine sets VICTOR_RUN_ID"),
        ("env: {A: [1]}", "A must be text, not a list"),
        ("env: {PATH: $ctx.p}", "PATH chooses the code of a process, so its value must be literal"),
        ("env: {LD_PRELOAD: $ctx.p}", "LD_PRELOAD chooses the code"),
        ("cwd: 3", "cwd: must be a path"),
        ("cwd: ''", "cwd: must be a path"),
        ("cwd: $ctx.x", "cwd: must begin with a literal directory"),
        ("cwd: /$ctx.x", "cwd: must begin with a literal directory"),
        ("cwd: data/$secret.x", "cwd: must not contain a secret"),
        ("stdin: [1]", "stdin: must be text"),
    ],
)
def test_a_wrong_value_is_an_error_with_its_place(keys: str, words: str) -> None:
    (problem,) = loaded(keys).problems
    assert words in problem.message
    assert (problem.severity, problem.line) == ("error", 4)
    assert problem.column > 1


def test_a_literal_path_is_accepted() -> None:
    assert loaded("env: {PATH: /usr/bin}").problems == ()


def test_values_that_an_earlier_release_passed_on_do_not_stop_a_stored_version() -> None:
    content = {"nodes": [{"id": "a", "type": "compute", "env": "prod", "cwd": ["x"], "stdin": 3}]}
    node = definition_from_content("w", content).nodes["a"]
    assert isinstance(node, ComputeNode)
    assert (node.env, node.cwd, node.stdin) == ({}, None, None)
