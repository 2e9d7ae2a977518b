"""The schema for editors: it is what the reader knows, and real files fit it."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.shared import SHARED
from victor_engine.definition.schema import dialect_schema, shipped_schema

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples/workspace/workflows").glob("*.yaml"))
CORPUS = sorted((SHARED / "corpus").glob("*.yaml")) if SHARED else []


def test_the_shipped_schema_is_made_from_the_readers_keys() -> None:
    assert shipped_schema() == dialect_schema()
    jsonschema.Draft202012Validator.check_schema(shipped_schema())


@pytest.mark.parametrize("path", [*EXAMPLES, *CORPUS], ids=lambda path: path.name)
def test_real_files_fit(path: Path) -> None:
    faults = list(
        jsonschema.Draft202012Validator(shipped_schema()).iter_errors(
            _plain(yaml.safe_load(path.read_text()))
        )
    )
    assert faults == []


def _plain(value: object) -> object:
    """JSON has text for keys, and YAML's booleans among them."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def test_a_node_of_no_type_does_not_fit() -> None:
    bad = {"workflows": {"w": {"nodes": [{"id": "a", "type": "agnet"}]}}}
    assert not jsonschema.Draft202012Validator(shipped_schema()).is_valid(bad)


def test_the_schedule_block_has_the_keys_that_are_read() -> None:
    from victor_engine.definition.schema import SCHEDULE
    from victor_engine.scheduler.declare import KEYS

    assert set(SCHEDULE["properties"]) == KEYS
