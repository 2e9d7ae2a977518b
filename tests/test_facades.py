"""The public modules keep the names that Python programs use."""

from __future__ import annotations

import importlib
import inspect

import pytest

PUBLIC = {
    "victor_engine.definition": (
        "AgentNode ComputeNode ConditionNode HITLNode ParallelNode RetryPolicy TransformNode"
        " WorkflowDefinition load_file load_workflow_from_yaml"
    ),
    "victor_engine.graph": "Checkpointer StateGraph WorkflowBuilder workflow",
    "victor_engine.hitl": (
        "AutoApproveHandler HITLFallback HITLHandler HITLNodeType HITLRequest HITLResponse HITLStatus"
        " RecordingHandler ReplayHandler ScriptedHandler serve"
    ),
    "victor_engine.scheduler": (
        "CronSchedule ScheduledWorkflow WorkflowScheduler get_scheduler schedule_workflow"
    ),
    "victor_engine.service.connect": "open_port",
    "victor_engine.versioning": (
        "MigrationStep MigrationType VersionedWorkflow WorkflowMigration WorkflowVersion"
        " WorkflowVersionRegistry get_version_registry"
    ),
}
"""The names that documents promise, by module. A name that must go becomes a deprecated alias first."""


@pytest.mark.parametrize("module", PUBLIC)
def test_a_public_module_exports_its_names(module: str) -> None:
    found = importlib.import_module(module)
    exported = set(getattr(found, "__all__", dir(found)))
    assert set(PUBLIC[module].split()) <= exported
    assert all(hasattr(found, name) for name in exported)


@pytest.mark.parametrize("module", PUBLIC)
def test_a_public_name_has_a_docstring(module: str) -> None:
    found = importlib.import_module(module)
    values = [(name, getattr(found, name)) for name in PUBLIC[module].split()]
    missing = [
        name
        for name, value in values
        if (inspect.isclass(value) or inspect.isfunction(value)) and not inspect.getdoc(value)
    ]
    assert not missing
