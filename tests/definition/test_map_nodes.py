"""The reading and the checks of map nodes."""

from __future__ import annotations

import pytest

from victor_engine.definition import definition_from_content
from victor_engine.definition.content import node_to_content
from victor_engine.definition.loader import load_text

FLOW = """
workflows:
  w:
    nodes:
      - {id: m, type: map, MAP, next: [z]}
      - {id: b, type: compute, handler: h BODY}
      - {id: z, type: transform, transform: "x = 1" LAST}
"""


def flow(map_keys: str = "over: $ctx.hosts, node: b", body: str = "", last: str = "") -> str:
    return FLOW.replace("MAP", map_keys).replace(" BODY", body).replace(" LAST", last)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (flow("node: b"), "node 'm': a map needs the list whose items it goes through"),
        (flow("over: 7, node: b"), "node 'm': a map needs the list whose items it goes through"),
        (flow("over: $ctx.hosts, node: q"), "node of node 'm' leads to 'q', a node that does not exist"),
        (flow("over: $ctx.hosts, node: m"), "node 'm' contains itself"),
        (flow("over: $ctx.hosts, node: b, as: _x"), "node 'm': as must be a name that is not reserved, such as host"),
        (flow("over: $ctx.hosts, node: b, as: h, key: host"), "node 'm': key must be h, or a part of it such as h.name"),
        (flow("over: $ctx.hosts, node: b, tolerate: 1, min_success: 1"), "node 'm': tolerate and min_success are given"),
        (flow("over: $ctx.hosts, node: b, max_concurrent: 0"), "node 'm': max_concurrent must be at least 1, not 0"),
        (flow(body=", next: [z]"), "node 'b': the map 'm' executes the node, so next has no meaning"),
        (flow(body=", output: o"), "node 'b': the map 'm' executes the node, so output has no meaning"),
        (flow(last=", on_error: b"), "node 'z' leads to 'b', which the map 'm' executes for its items"),
        (flow().replace("id: b, type: compute, handler: h", "id: b, type: hitl"), "node 'm': a map cannot execute 'b'"),
    ],
)  # fmt: skip
def test_an_error_names_the_node_and_the_key(text: str, message: str) -> None:
    found = [each.message for each in load_text(text).problems if each.severity == "error"]
    assert any(each.startswith(message) for each in found), found


def test_an_expression_that_cannot_be_evaluated_is_a_warning() -> None:
    (problem,) = load_text(flow("over: 'hosts +', node: b")).problems
    assert (problem.severity, problem.line) == ("warning", 5)


def test_the_content_keeps_all_keys() -> None:
    keys = "over: [1, 2], as: host, node: b, key: host.name, max_concurrent: 50, tolerate: 3"
    node = load_text(flow(keys)).workflows["w"].nodes["m"]
    again = definition_from_content("w", {"nodes": [node_to_content(node), {"id": "b", "type": "compute"},
                                                    {"id": "z", "type": "transform", "transform": "x = 1"}]})  # fmt: skip
    assert again.nodes["m"] == node
