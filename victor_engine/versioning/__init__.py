"""Versions of workflows: semantic versions, the registry, migrations of state and position, and diffs."""

from victor_engine.versioning.migration import WorkflowMigration
from victor_engine.versioning.migration_steps import MigrationError, MigrationStep, MigrationType
from victor_engine.versioning.registry import (
    VersionedWorkflow,
    WorkflowVersionRegistry,
    get_version_registry,
    reset_version_registry,
)
from victor_engine.versioning.semver import WorkflowVersion

__all__ = [
    "MigrationError",
    "MigrationStep",
    "MigrationType",
    "VersionedWorkflow",
    "WorkflowMigration",
    "WorkflowVersion",
    "WorkflowVersionRegistry",
    "get_version_registry",
    "reset_version_registry",
]
