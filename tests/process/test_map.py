"""A map whose engine is killed in the middle."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.map_items import killed

pytestmark = pytest.mark.process


def test_each_item_has_its_effect_once_by_its_key_after_a_kill(tmp_path: Path) -> None:
    repeated, problems = killed(tmp_path, 1000, 50)
    assert problems == []
    assert repeated <= 50
