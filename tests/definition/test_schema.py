"""The JSON Schema for editors has the keys of the reader, and real files match it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.definition.test_workflow_keys import ALONE, with_key
from tests.docs.guides import ROOT, blocks
from tests.shared import SHARED
from tests.write_workflow_keys import ACTS, rows
from victor_engine import jsonio
from victor_engine.definition.dialect_schema import dialect_schema, shipped_schema
from victor_engine.definition.loader import load_text

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples/workspace/workflows").glob("*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(dialect_schema())
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


def documented() -> Iterator[tuple[str, Any]]:
    """Yield the complete workflow files that stand in the documents."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for number, block in enumerate(blocks(page)):
            if block.language == "yaml" and block.info != "victor.yaml":
                value = yaml.safe_load(block.text)
                if isinstance(value, dict) and "workflows" in value and load_text(block.text).ok:
                    yield f"{page.name} block {number}", value


def test_the_files_of_the_documents_match() -> None:
    found = {name: errors(value) for name, value in documented()}
    assert len(found) > 10
    assert {name: faults for name, faults in found.items() if faults} == {}


def errors(value: Any) -> list[str]:
    return [each.message for each in VALIDATOR.iter_errors(_plain(value))]


def near_misses() -> Iterator[tuple[str, str]]:
    """Yield each key that acts, with its place in the table of keys, and a misspelling that the reader refuses."""
    for place, key, treatment, _ in sorted(set(rows())):
        if treatment == ACTS and len(key) > 3 and (place, key) != ALONE:
            yield place, key


@pytest.mark.parametrize("place", sorted({place for place, _ in near_misses()}))
def test_a_misspelled_key_does_not_match(place: str) -> None:
    for other, key in near_misses():
        wrong = key[:-1] + key[-1] * 2
        if other != place or place in ("test of a workflow", "member of a team"):
            continue
        node, more = with_key(place, wrong, 1)
        file = {"workflows": {"w": {"nodes": [{"id": "a", **node}], **more}}}
        assert errors(file), (place, wrong)
        assert not load_text(jsonio.dumps_text(file)).ok, (place, wrong)


def test_a_node_without_a_known_type_does_not_match() -> None:
    bad = {"workflows": {"w": {"nodes": [{"id": "a", "type": "agnet"}]}}}
    assert not jsonschema.Draft202012Validator(shipped_schema()).is_valid(bad)


def test_the_schedule_block_has_the_keys_of_its_reader() -> None:
    from victor_engine.definition.dialect_schema import SCHEDULE
    from victor_engine.scheduling.declarations import KEYS

    assert set(SCHEDULE["properties"]) == KEYS


@pytest.mark.parametrize(("most", "accepted"), [(10_000, True), (10_001, False), (10**22, False)])
def test_the_reader_and_the_schema_limit_concurrency_alike(most: int, accepted: bool) -> None:
    file = {
        "workflows": {
            "w": {
                "concurrency": {"max": most},
                "nodes": [{"id": "a", "type": "transform", "transform": "n = 1"}],
            }
        }
    }
    found = load_text(jsonio.dumps_text(file))
    message = f"workflow 'w': concurrency: max must be at most 10000, not {most}"
    assert [each.message for each in found.problems] == ([] if accepted else [message])
    assert (errors(file) == []) is accepted


def test_an_integer_that_the_store_cannot_keep_is_refused() -> None:
    nodes = f"nodes: [{{id: a, type: hitl, prompt: Continue, required_approvals: {2**63}}}]"
    found = load_text(f"workflows: {{w: {{{nodes}}}}}")
    assert f"node 'a': required_approvals must be at most {2**63 - 1}, not {2**63}" in [
        each.message for each in found.problems
    ]
