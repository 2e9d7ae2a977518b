"""A workspace that all users can read, with a runtime directory of the test, and real engines on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.support import workspace
from tests.service import second_user
from tests.service.second_user import Shell

FILES = {
    "victor.yaml": "",
    "w.yaml": "workflows: {w: {nodes: [{id: a, type: transform, transform: 'x = 1'}]}}",
}


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with second_user.open_folder() as found:
        (found / "run").mkdir(mode=0o755)
        monkeypatch.setenv("VICTOR_RUNTIME", str(found / "run"))
        monkeypatch.setenv("HOME", str(found / "home"))
        for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "VICTOR_STATE"):
            monkeypatch.delenv(name, raising=False)
        yield found


@pytest.fixture
def root(folder: Path) -> Path:
    found = workspace(folder, FILES)
    for path in (found, *found.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return found


@pytest.fixture(scope="session")
def second() -> Iterator[Shell]:
    """Return the shell of a second user. A test skips without the right to start one."""
    shell = Shell()
    yield shell
    shell.close()
