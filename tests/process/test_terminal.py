"""The console in a real terminal, by keyboard alone."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import workspace
from tests.process.terminal import Terminal, needs_tmux
from tests.process.test_kill import attached

pytestmark = [pytest.mark.process, needs_tmux, pytest.mark.timeout(900)]


def chain(nodes: list[dict[str, Any]]) -> str:
    """A workflow file whose nodes are asked one after the other, whatever is answered."""
    for node, after in zip(nodes, [*nodes[1:], None], strict=True):
        node.update(type="hitl")
        if after is not None:
            following = after["id"]
            yes_no = node["hitl_type"] in ("approval", "confirmation", "review") and "choices" not in node
            node["next"] = {"approved": following, "rejected": following} if yes_no else [following]
    return json.dumps({"workflows": {"asks": {"nodes": nodes}}})


def stored(root: Path) -> dict[str, tuple[str, Any, str]]:
    """Outcome, answer and comment of every decided request by its node, read beside the engine."""
    with sqlite3.connect(f"file:{root / '.state' / 'victor.db'}?mode=ro", uri=True) as connection:
        rows = connection.execute(
            "SELECT node_id, outcome, answer, comment FROM requests WHERE status <> 'open'"
        )
        return {
            node: (outcome, None if answer is None else json.loads(answer), comment)
            for node, outcome, answer, comment in rows
        }


def press(terminal: Terminal, keys: list[str]) -> None:
    """Keys in one burst; what begins with `=` is a text."""
    for key in keys:
        if key.startswith("="):
            terminal.text(key[1:])
        else:
            terminal.keys(key)


KINDS: list[tuple[dict[str, Any], list[str], tuple[str, Any, str]]] = [
    ({"id": "yes", "hitl_type": "approval"}, ["y"], ("approved", True, "")),
]


async def test_every_kind_is_answered_by_keyboard(tmp_path: Path) -> None:
    nodes = [{**node, "name": f"Asked: {node['id']}", "prompt": "Well?"} for node, _, _ in KINDS]
    root = workspace(tmp_path, {"victor.yaml": "{}", "workflows/asks.yaml": chain(nodes)})
    with Terminal(root) as terminal:
        async with attached(root) as port:
            await port.start_run("asks")
        for node, keys, expected in KINDS:
            name = node["id"]
            terminal.until(f"Asked: {name}")
            terminal.keys("a")
            terminal.until("Well?")
            press(terminal, keys)
            terminal.until(gone=["Well?"])
            terminal.eventually(f"{name} is answered", lambda name=name: name in stored(root))
            assert stored(root)[name] == expected
