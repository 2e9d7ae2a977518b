"""The code of the guide, executed as it is written there, with the import path of the product and real nodes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from victor_engine.versioning import (
    MigrationStep,
    MigrationType,
    VersionedWorkflow,
    WorkflowMigration,
    WorkflowVersion,
    WorkflowVersionRegistry,
    get_version_registry,
    reset_version_registry,
)

NODES = [{"id": "a", "type": "transform", "transform": "x = 1"}]


@pytest.fixture
def registry() -> Iterator[WorkflowVersionRegistry]:
    reset_version_registry()
    yield get_version_registry()
    reset_version_registry()


def test_registering_and_getting(registry: WorkflowVersionRegistry) -> None:
    workflow_v1 = VersionedWorkflow(
        name="data_pipeline", version=WorkflowVersion(1, 0, 0), definition={"nodes": NODES}
    )
    registry.register(workflow_v1)
    assert registry.get("data_pipeline", "1.0.0") is workflow_v1
    assert registry.get_latest("data_pipeline") is workflow_v1
    assert registry.get_all_versions("data_pipeline") == [workflow_v1]
    assert registry.list_workflows() == ["data_pipeline"]
    assert workflow_v1.version_id == "data_pipeline@1.0.0"
    assert registry.unregister("data_pipeline", "1.0.0")
    assert registry.get("data_pipeline", "1.0.0") is None
    assert get_version_registry() is registry


def test_compatibility_and_bumps() -> None:
    v1_0, v1_1, v2_0 = WorkflowVersion(1, 0, 0), WorkflowVersion(1, 1, 0), WorkflowVersion(2, 0, 0)
    assert v1_1.is_compatible_with(v1_0)
    assert not v2_0.is_compatible_with(v1_0)
    assert (v1_0.bump_minor(), v1_0.bump_major()) == (v1_1, v2_0)
    assert str(v1_1.bump_patch()) == "1.1.1"
    with pytest.raises(ValueError, match="Invalid version string: nope"):
        WorkflowVersion.parse("nope")


def test_a_migration_of_state(registry: WorkflowVersionRegistry) -> None:
    migration = WorkflowMigration(
        from_version=WorkflowVersion(1, 0, 0),
        to_version=WorkflowVersion(2, 0, 0),
        steps=[
            MigrationStep(
                type=MigrationType.RENAME_FIELD, old_value="old_field_name", new_value="new_field_name"
            ),
            MigrationStep(type=MigrationType.ADD_FIELD, node_id="new_field", new_value="default_value"),
            MigrationStep(type=MigrationType.REMOVE_FIELD, node_id="deprecated_field"),
        ],
        description="Restructure state for v2",
        breaking=True,
    )
    registry.add_migration("data_pipeline", migration)
    assert migration.migration_id == "1.0.0->2.0.0"
    new_state, applied = registry.migrate_state(
        "data_pipeline",
        {"old_field_name": "data", "deprecated_field": "unused"},
        from_version="1.0.0",
        to_version="2.0.0",
    )
    assert new_state == {"new_field_name": "data", "new_field": "default_value"}
    assert applied == ["1.0.0->2.0.0"]


def test_a_custom_step_and_a_path(registry: WorkflowVersionRegistry) -> None:
    def transform(state: dict[str, Any]) -> dict[str, Any]:
        state["total"] = sum(state["parts"])
        return state

    def between(one: WorkflowVersion, other: WorkflowVersion, **more: Any) -> WorkflowMigration:
        step = MigrationStep(type=MigrationType.CUSTOM, custom_handler=transform)
        return WorkflowMigration(from_version=one, to_version=other, steps=[step], **more)

    v1_0, v1_1, v2_0 = WorkflowVersion(1, 0, 0), WorkflowVersion(1, 1, 0), WorkflowVersion(2, 0, 0)
    m_1_0_to_1_1, m_1_1_to_2_0 = between(v1_0, v1_1), between(v1_1, v2_0, breaking=True)
    registry.add_migration("pipeline", m_1_0_to_1_1)
    registry.add_migration("pipeline", m_1_1_to_2_0)
    path = registry.get_migration_path("pipeline", from_version=v1_0, to_version=v2_0)
    assert path == [m_1_0_to_1_1, m_1_1_to_2_0]
    given = {"parts": [1, 2]}
    assert registry.migrate_state("pipeline", given, v1_0, v2_0)[0] == {"parts": [1, 2], "total": 3}
    assert given == {"parts": [1, 2]}


def test_deprecation(registry: WorkflowVersionRegistry) -> None:
    registry.register(VersionedWorkflow("old_pipeline", WorkflowVersion(1, 0, 0), {"nodes": NODES}))
    registry.deprecate(workflow_name="old_pipeline", version="1.0.0", message="Use new_pipeline.")
    workflow = registry.get("old_pipeline", "1.0.0")
    assert workflow is not None
    assert workflow.is_deprecated()
    assert workflow.deprecation_message == "Use new_pipeline."


def test_the_examples_of_the_documentation_are_true() -> None:
    text = (Path(__file__).parents[2] / "docs" / "versions.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        subprocess.run([sys.executable, "-W", "error", "-c", block], check=True, timeout=60)


def test_steps_and_migrations_are_applied_by_themselves(registry: WorkflowVersionRegistry) -> None:
    """The given state does not change."""
    state = {"old": 1}
    step = MigrationStep(type=MigrationType.RENAME_FIELD, old_value="old", new_value="new")
    assert step.apply(state) == {"new": 1}
    migration = WorkflowMigration(
        WorkflowVersion(1, 0, 0),
        WorkflowVersion(1, 1, 0),
        [step, MigrationStep(type=MigrationType.ADD_FIELD, node_id="more", new_value=2)],
    )
    assert migration.apply(state) == {"new": 1, "more": 2}
    assert state == {"old": 1}
    assert migration.validate() == []
    same = WorkflowMigration(WorkflowVersion(1, 0, 0), WorkflowVersion(1, 0, 0), [step])
    assert same.validate() == ["1.0.0->1.0.0 leads from a version to itself"]


def test_deprecating_tells_whether_the_version_is_registered(registry: WorkflowVersionRegistry) -> None:
    registry.register(VersionedWorkflow(name="w", version="1.0.0", definition={"nodes": NODES}))
    assert registry.deprecate("w", "1.0.0", "use 2") is True
    assert registry.deprecate("w", "9.0.0") is False
