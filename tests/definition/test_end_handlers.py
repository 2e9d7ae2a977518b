"""The reading and the checks of `on_failure`, `on_cancel` and `finally`."""

from __future__ import annotations

import pytest

from victor_engine.definition import checksum, definition_from_content, definition_to_content
from victor_engine.definition.graph import graph_info
from victor_engine.definition.loader import load_text


def flow(handler: str) -> str:
    return f"""
workflows:
  w:
    nodes:
      - {{id: a, type: compute, handler: h}}
    finally: {handler}
"""


@pytest.mark.parametrize(
    ("handler", "message", "remedy"),
    [
        ("7", "workflow 'w': finally must be a list of nodes, or a mapping with nodes and timeout", ""),
        ("[]", "workflow 'w': finally has no nodes", "Add a node, or remove it"),
        (
            "[{id: a, type: compute}]",
            "the node id 'a' is used twice (first in line 5)",
            "Give one of them another id",
        ),
        (
            "[{id: u, type: compute, next: [a]}]",
            "next of node 'u' leads to 'a', a node of another graph",
            "The nodes of",
        ),
        (
            "[{id: u, type: compute, next: [x]}]",
            "next of node 'u' leads to 'x', a node that does not exist",
            "",
        ),
        (
            "[{id: u, type: compute}, {id: v, type: compute}]",
            "node 'v' cannot be reached from the start ('u')",
            "Name it",
        ),
        ("[{id: end, type: compute}]", "node 'end': the id 'end' is reserved", "Rename the node"),
        (
            "{nodes: [{id: u, type: compute}], start: v}",
            "workflow 'w': finally: the start node 'v' does not exist",
            "",
        ),
        (
            "{nodes: [{id: u, type: compute}], timeout: 0}",
            "workflow 'w': finally: timeout must be greater than zero",
            "",
        ),
    ],
)
def test_an_error_names_the_place_and_the_remedy(handler: str, message: str, remedy: str) -> None:
    (problem,) = (each for each in load_text(flow(handler)).problems if each.severity == "error")
    assert problem.message.startswith(message)
    assert problem.remedy.startswith(remedy)
    assert problem.line == 6


def test_a_node_of_the_workflow_does_not_lead_into_a_handler() -> None:
    text = flow("[{id: u, type: compute}]").replace("handler: h}", "handler: h, next: [u]}")
    assert "a node of another graph" in load_text(text).problems[0].message


def test_the_content_has_the_handlers_and_they_are_part_of_the_checksum() -> None:
    text = flow("{timeout: 30s, nodes: [{id: u, type: compute, next: [v]}, {id: v, type: compute}]}")
    definition = load_text(text).workflows["w"]
    again = definition_from_content("w", definition_to_content(definition))
    assert again.handlers == definition.handlers
    assert (again.handlers["finally"].start, again.handlers["finally"].timeout_seconds) == ("u", 30)
    assert [(node.id, node.handler) for node in graph_info(again).nodes] == [
        ("a", ""),
        ("u", "finally"),
        ("v", "finally"),
    ]
    other = load_text(text.replace("30s", "31s")).workflows["w"]
    assert checksum(definition_to_content(other)) != checksum(definition_to_content(definition))
