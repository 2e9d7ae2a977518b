"""The engine against a model, with full disks, restarts and kills between any two commits."""

from __future__ import annotations

from pathlib import Path

from tests.engine.state_machine import explore


def test_the_engine_does_what_the_model_says(tmp_path: Path) -> None:
    explore(tmp_path, examples=20, steps=15)
