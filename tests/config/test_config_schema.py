"""The JSON Schema of the configuration has the keys of its reader, and real files match it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.docs.guides import ROOT, blocks
from victor_engine.cli.skeletons import CONFIGURATION
from victor_engine.config import load_config
from victor_engine.config.config_schema import config_schema
from victor_engine.errors import ConfigError

VALIDATOR = jsonschema.Draft202012Validator(config_schema())


def errors(value: Any) -> list[str]:
    return [
        f"{'.'.join(map(str, each.absolute_path))}: {each.message}" for each in VALIDATOR.iter_errors(value)
    ]


def documented() -> Iterator[tuple[str, str]]:
    """Yield the configurations of the examples, the skeletons and the documents."""
    yield "skeleton", CONFIGURATION
    for path in sorted((ROOT / "examples").rglob("victor.yaml")):
        yield str(path), path.read_text()
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for block in blocks(page):
            if block.language == "yaml" and block.info == "victor.yaml":
                yield page.name, block.text


def test_real_configurations_match() -> None:
    jsonschema.Draft202012Validator.check_schema(config_schema())
    found = [(name, errors(yaml.safe_load(text))) for name, text in documented()]
    assert len(found) > 3
    assert [each for each in found if each[1]] == []


def properties(schema: dict[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each key of a mapping with a closed set of keys, and the keys that lead to it."""
    for key, inner in schema.get("properties", {}).items():
        yield place, key
        if isinstance(inner, dict):
            yield from properties(inner, (*place, key))


@pytest.mark.parametrize(
    "section", ["", "scheduler", "hitl", "console", "permissions", "socket", "trust", "metrics"]
)
def test_a_misspelled_key_matches_neither_the_schema_nor_the_reader(section: str, tmp_path: Path) -> None:
    for place, key in properties(config_schema()):
        if (place[0] if place else "") != section or "calendars" in place:
            continue
        value: Any = {f"{key}x": None}
        for name in reversed(place):
            value = {name: value}
        assert errors(value), (place, key)
        # Security settings are read from the files of the administrator only.
        security = section in ("permissions", "socket", "trust", "metrics")
        (tmp_path / ("scheduler.yaml" if security else "victor.yaml")).write_text(yaml.safe_dump(value))
        with pytest.raises(ConfigError):
            load_config(tmp_path, environ={"HOME": str(tmp_path)}, system_file=tmp_path / "scheduler.yaml")


@pytest.mark.parametrize(
    "value",
    [
        {"handlers": {"h": {"comand": ["x"]}}},
        {"handlers": {"h": {"command": ["x"], "python": "a:b"}}},
        {"handlers": {"h": {"command": ["x"], "timeuot": 3}}},
        {"handlers": {"h": {"http": {"url": "https://x/", "metod": "GET"}}}},
        {"agents": {"a": {"chat": {"base_url": "https://x/", "model": "m", "steam": True}}}},
        {"default_agent": {"command": ["x"], "result": "xml"}},
        {"scheduler": {"defaults": {"overlap": "skipp"}}},
        {"scheduler": {"max_concurrent_runs": "many"}},
        {"secrets": {"s": {"envv": "X"}}},
        {"notify": [{"on": ["neww"], "urls": ["json://x"]}]},
        {"retention": {"rules": [{"dayz": 3}]}},
    ],
    ids=str,
)
def test_a_wrong_value_matches_neither_the_schema_nor_the_reader(value: Any, tmp_path: Path) -> None:
    assert errors(value)
    (tmp_path / "victor.yaml").write_text(yaml.safe_dump(value))
    with pytest.raises(ConfigError):
        load_config(tmp_path, environ={"HOME": str(tmp_path)}, system_file=tmp_path / "none")
