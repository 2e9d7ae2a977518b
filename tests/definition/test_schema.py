"""The JSON Schema for editors has the keys of the reader, and real files match it."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.shared import SHARED
from victor_engine.definition.dialect_schema import dialect_schema, shipped_schema

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples/workspace/workflows").glob("*.yaml"))
CORPUS = sorted((SHARED / "corpus").glob("*.yaml")) if SHARED else []


def test_the_shipped_schema_is_generated_from_the_keys_of_the_reader() -> None:
    assert shipped_schema() == dialect_schema()
    jsonschema.Draft202012Validator.check_schema(shipped_schema())


@pytest.mark.parametrize("path", [*EXAMPLES, *CORPUS], ids=lambda path: path.name)
def test_real_files_match(path: Path) -> None:
    faults = list(
        jsonschema.Draft202012Validator(shipped_schema()).iter_errors(
            _plain(yaml.safe_load(path.read_text()))
        )
    )
    assert faults == []


def _plain(value: object) -> object:
    """Return the value with texts for all keys, as in JSON; YAML has booleans too."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def test_a_node_without_a_known_type_does_not_match() -> None:
    bad = {"workflows": {"w": {"nodes": [{"id": "a", "type": "agnet"}]}}}
    assert not jsonschema.Draft202012Validator(shipped_schema()).is_valid(bad)


def test_the_schedule_block_has_the_keys_of_its_reader() -> None:
    from victor_engine.definition.dialect_schema import SCHEDULE
    from victor_engine.scheduling.declarations import KEYS

    assert set(SCHEDULE["properties"]) == KEYS
