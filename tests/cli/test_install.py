"""`victor scheduler install` refuses a service that could not work, and writes the unit of one that can."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from tests.cli.test_cli import Capture, Victor
from tests.engine.support import workspace
from victor_engine.config import trust_list
from victor_engine.service import paths

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def victor(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> Victor:
    monkeypatch.setattr(trust_list, "SYSTEM_TRUST", tmp_path / "etc" / "trusted.json")
    monkeypatch.setattr(paths, "SERVICE_STATE_DIR", tmp_path / "var")
    files = {"victor.yaml": "tools: {t: {command: [sh, bin/run.sh]}}\n", "bin/run.sh": "echo\n"}
    return Victor(workspace(tmp_path / "a b%c", files, trusted=False), capsys)


def install(victor: Victor, *words: str) -> int:
    return victor("scheduler", "install", "--output", str(victor.root.parent / "unit"), *words)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives trust to a service")
def test_the_answer_is_recorded_in_the_list_of_the_administrator(
    victor: Victor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert install(victor) == 0
    assert "the content was not trusted, because the question needs a terminal" in victor.err
    assert trust_list.service_record(victor.root) is None
    unit = (victor.root.parent / "unit").read_text()
    assert f'--workspace "{victor.root}"'.replace("%", "%%") in unit, "systemd reads quotes and %"
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    assert install(victor) == 0
    record = trust_list.service_record(victor.root)
    assert record is not None
    assert (record.given, record.user) == (False, ME)
    assert "The service executes nothing until root trusts it: sudo victor" in victor.err
    settings = victor.root.parent / "scheduler.yaml"
    settings.write_text("scheduler: {poll_interval: 5s}\n")
    assert install(victor, "--yes", "--config", str(settings)) == 0
    record = trust_list.service_record(victor.root)
    assert record is not None
    assert (record.given, record.by, record.config) == (True, ME, str(settings))
    assert record.content is not None
    assert set(record.content) == {"victor.yaml", "bin/run.sh"}
    assert victor("trust", "--show") == 0
    assert "(pinned)" in victor.out
    assert "nothing changed" in victor.out


def test_nothing_is_installed_that_cannot_work(victor: Victor, tmp_path: Path) -> None:
    assert install(victor, "--config", str(tmp_path / "none.yaml")) == 2
    assert "none.yaml: the file does not exist; omit --config" in victor.err
    (victor.root / "victor.yaml").rename(victor.root / "other.yaml")
    assert install(victor) == 2
    assert "has no victor.yaml; give the directory of a workspace with --workspace" in victor.err
    if os.geteuid() == 0:
        (victor.root / "other.yaml").rename(victor.root / "victor.yaml")
        (tmp_path / "var").mkdir()
        os.chown(tmp_path / "var", 1, 1)
        assert install(victor) == 2
        assert f"{tmp_path / 'var'} belongs to" in victor.err
        assert f"sudo chown -R {ME} {tmp_path / 'var'}" in victor.err
    assert not (victor.root.parent / "unit").exists()
