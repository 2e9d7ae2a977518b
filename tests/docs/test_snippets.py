"""The YAML and JSON of the documents is accepted by the readers of the product."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.guides import ROOT, Block, blocks
from victor_engine.config import Config, load_config
from victor_engine.definition import dialect_keys
from victor_engine.definition.loader import load_text
from victor_engine.errors import ConfigError
from victor_tui.keymap import parse_keymap
from victor_tui.themes.own_file import read_own

DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
SKIPPED = {"a file of Prometheus"}
"""The accepted reasons not to read a block."""

POSITIONS = ("next", "branches", "parallel_nodes", "node")
"""The keys of a node whose values name other nodes."""

STUB = {"type": "transform", "transform": "x = 1"}


def snippets(language: str) -> Iterator[Any]:
    """Yield the blocks of a language that are examples and not files of a guide."""
    for page in DOCUMENTS:
        for number, block in enumerate(blocks(page)):
            if block.language == language and (not block.info or block.skipped is not None):
                yield pytest.param(block, id=f"{page.stem}-{number}")


def names(value: Any) -> Iterator[str]:
    """Yield the texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from names(each)


def complete(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the nodes of an example with those that they refer to, and with a first node that reaches all."""
    named = {name for node in nodes for key in POSITIONS for name in names(node.get(key))}
    ids = [node["id"] for node in nodes]
    first = {"id": "first", **STUB, "next": [name for name in ids if name not in named]}
    return [first, *nodes, *({"id": name, **STUB} for name in sorted(named - set(ids)))]


def workflow_of(example: Any) -> dict[str, Any] | None:
    """Return the file of workflows that an example is a part of; None if it is a part of another file."""
    if isinstance(example, list):
        return {"workflows": {"example": {"nodes": complete(example)}}}
    if set(example) == {"workflows"}:
        own = {
            name: {"nodes": [{"id": "approve", **STUB}]} | each for name, each in example["workflows"].items()
        }
        return {"workflows": own}
    if set(example) == {"expect"}:
        example = {"schedule": {"cron": "0 6 * * *", **example}}
    if not set(example) <= dialect_keys.WORKFLOW | dialect_keys.BREAKER:
        return None
    mocked = {
        name for test in example.get("tests", {}).values() for name in (*test["mocks"], *test.get("path", ()))
    }
    return {
        "workflows": {
            "example": {"nodes": complete([{"id": name, **STUB} for name in sorted(mocked)])} | example
        }
    }


def read(text: str, folder: Path) -> Config:
    """Return the configuration of an example, which stands in `victor.yaml` or in the file of an administrator."""
    workspace = folder / "workspace"
    workspace.mkdir()
    (workspace / "victor.yaml").write_text(text)
    try:
        config = load_config(workspace)
    except ConfigError:
        config = None
    if config is not None and not config.warnings:
        return config
    (workspace / "victor.yaml").rename(folder / "scheduler.yaml")
    return load_config(workspace, config_file=folder / "scheduler.yaml")


@pytest.mark.parametrize("block", snippets("yaml"))
def test_an_example_of_yaml_is_read_without_an_error(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if block.skipped is not None:
        assert block.skipped in SKIPPED
        return
    example = yaml.safe_load(block.text)
    workflow = workflow_of(example)
    if workflow is not None:
        result = load_text(yaml.safe_dump(workflow, sort_keys=False), "example.yaml")
        assert [problem for problem in result.problems if problem.severity == "error"] == []
        assert result.workflows
        return
    if all("." in key for key in example):
        assert parse_keymap(block.text, "keymap.yaml").problems == ()
        return
    if "base" in example:
        (tmp_path / "theme.yaml").write_text(block.text)
        assert read_own(tmp_path / "theme.yaml")[1] == []
        return
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert read(block.text, tmp_path).warnings == ()


@pytest.mark.parametrize("block", snippets("json"))
def test_an_example_of_json_is_json(block: Block) -> None:
    assert isinstance(json.loads(block.text), dict)
