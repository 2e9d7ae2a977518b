"""Each key of the generated table acts, is passed on, or is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.write_workflow_keys import ACTS, FREE, HINT, PAGE, PASSED, REFUSED, page, rows
from victor_engine import jsonio
from victor_engine.definition import dialect_keys
from victor_engine.definition.loader import load_text

NODES: dict[str, dict[str, Any]] = {
    "agent": {"role": "r"},
    "compute": {},
    "condition": {"condition": "x", "branches": {"true": "z"}},
    "parallel": {"parallel_nodes": ["z"]},
    "map": {"over": [1], "node": "z"},
    "transform": {"transform": "x = 1"},
    "hitl": {"hitl_type": "choice", "choices": ["a", "b"]},
    "team": {"members": [{"id": "m"}]},
    "wait": {"for": 1},
    "workflow": {"workflow": "other"},
    "fail": {"message": "m"},
    "succeed": {},
}
TWINS = {"options": "choices", "http": "for"}
"""Keys that stand instead of another one."""
VALUES = ({"zz": 1}, "zz", 7, True, False, ["z"])
"""Values of all kinds: a key that acts reads at least one in its own way, or refuses it."""

ALONE = ("workflow", "name")
"""The name of a workflow that is alone in its file; under `workflows:`, its key is its name."""

TABLE = sorted(row for row in set(rows()) if row[:2] != ALONE)


def test_the_page_is_generated_from_the_tables() -> None:
    assert PAGE.read_text("utf-8") == page(), "generate it: python -m tests.write_workflow_keys"


def read(node: dict[str, Any], more: dict[str, Any]) -> tuple[Any, Any, Any, list[tuple[str, str]]]:
    """Return a workflow and its node without the keys that are passed on, those keys, and the problems."""
    nodes = [{"id": "a", **node}]
    if node.get("type") in ("condition", "parallel", "map"):  # they name another node
        nodes.append({"id": "z", "type": "compute"})
    text = jsonio.dumps_text({"workflows": {"w": {"nodes": nodes, **more}}})
    found = load_text(text)
    problems = [(each.severity, each.message) for each in found.problems]
    if "w" not in found.workflows:
        return None, None, {}, problems
    workflow = found.workflows["w"]
    first = next(iter(workflow.nodes.values()))
    extra = {**workflow.extra, **first.extra}
    for member in getattr(first, "members", ()):
        extra |= member.extra
    read_node = {
        f.name: getattr(first, f.name)
        for f in dataclasses.fields(first)
        if f.name not in ("extra", "members")
    }
    read_node["members"] = [dataclasses.replace(m, extra={}) for m in getattr(first, "members", ())]
    kept = {"nodes", "content", "extra", "metadata", "path"}
    whole = {f.name: getattr(workflow, f.name) for f in dataclasses.fields(workflow) if f.name not in kept}
    return whole, read_node, extra, problems


def with_key(place: str, key: str, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a node and the keys of its workflow, with the key in its place."""
    kind = place.removesuffix(" node")
    if kind != place and kind in NODES:
        base = {name: given for name, given in NODES[kind].items() if name != TWINS.get(key)}
        return {"type": kind, **base, key: value}, {}
    node = {"type": "compute"}
    if place == "workflow":
        return node, {key: value}
    if place == "execution of a workflow":
        return node, {"execution": {key: value}}
    if place in ("input of a workflow", "output of a workflow"):
        return node, {f"{place.split()[0]}s": {"i": {key: value}}}
    if place == "concurrency":
        return node, {"concurrency": {key: value}}
    if place == "on_failure, on_cancel, finally":
        return node, {"finally": {"nodes": [{"id": "f", "type": "compute"}], key: value}}
    if place == "test of a workflow":
        return node, {"tests": {"t": {key: value}}}
    if place == "member of a team":
        member = (
            {key: value} if key == "name" else {"id": "m", key: value}
        )  # without an id, the name is the id
        return {"type": "team", "members": [member]}, {}
    if place == "http of a wait node":
        return {"type": "wait", "http": {"url": "http://x/", key: value}}, {}
    if place in ("retry_policy", "circuit_breaker"):
        return {**node, place: {key: value}}, {}
    return {**node, key: value}, {}


@pytest.mark.parametrize(("place", "key"), [row[:2] for row in TABLE if row[2] == ACTS])
def test_a_key_acts_or_refuses_its_value(place: str, key: str) -> None:
    base = read(*without(place, key))
    found = [read(*with_key(place, key, value)) for value in VALUES]
    assert any((each[0], each[1], each[3]) != (base[0], base[1], base[3]) for each in found)
    assert all(key not in each[2] for each in found)
    assert not any(f"unknown key {key!r}" in message for each in found for _, message in each[3])


def test_the_name_acts_in_a_file_with_one_workflow() -> None:
    nodes = [{"id": "a", "type": "compute"}]
    assert [*load_text(jsonio.dumps_text({"name": "x", "version": "1.0.0", "nodes": nodes})).workflows] == [
        "x"
    ]


def without(place: str, key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    node, more = with_key(place, key, None)
    if place in ("retry_policy", "circuit_breaker"):
        return {**node, place: {}}, more
    if place == "http of a wait node":
        return {**node, "http": {"url": "http://x/"}}, more
    if place == "member of a team":
        return {**node, "members": [{"id": "m"}]}, more
    return {name: value for name, value in node.items() if name != key or name == "type"}, {}


@pytest.mark.parametrize(("place", "key"), [row[:2] for row in TABLE if row[2] == PASSED and row[1] != FREE])
def test_a_key_is_passed_on_without_a_word(place: str, key: str) -> None:
    whole, node, extra, problems = read(*with_key(place, key, 3))
    base = read(*without(place, key))
    assert (whole, node, problems) == (base[0], base[1], base[3])
    assert extra.get(key) == 3 or place == "execution of a workflow"


@pytest.mark.parametrize("place", ["workflow", "each node", "member of a team"])
@pytest.mark.parametrize(
    ("key", "treatment"), [(row[1], row[2]) for row in TABLE if row[2] in (HINT, REFUSED)]
)
def test_a_key_warns_or_is_refused_everywhere(place: str, key: str, treatment: str) -> None:
    before = read(*without(place, key))[3]
    problems = [each for each in read(*with_key(place, key, 3))[3] if each not in before]
    assert [severity for severity, _ in problems] == ["warning" if treatment == HINT else "error"]
    assert key in problems[0][1]


def test_no_key_has_two_treatments() -> None:
    acts = set(dialect_keys.COMMON) | dialect_keys.WORKFLOW | dialect_keys.MEMBER
    acts = acts.union(*dialect_keys.BY_TYPE.values())
    assert not acts & (set(dialect_keys.HINTS) | set(dialect_keys.REFUSED))
    assert not set(dialect_keys.HINTS) & set(dialect_keys.REFUSED)
