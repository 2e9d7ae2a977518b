"""Random edits, deployments, undos and restarts against a model."""

from __future__ import annotations

from pathlib import Path

from tests.engine.deployment_machine import explore


def test_deployments_do_what_the_model_says(tmp_path: Path) -> None:
    explore(tmp_path, examples=8, steps=15)
