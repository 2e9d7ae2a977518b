"""A home directory for each test, so that tests do not change files of the user."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "VICTOR_STATE"):
        monkeypatch.delenv(name, raising=False)
    # Daemons of tests end at once; those that test the drain set it.
    monkeypatch.setenv("VICTOR_SCHEDULER_DRAIN_TIMEOUT", "0")
