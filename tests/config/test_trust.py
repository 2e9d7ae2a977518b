import stat
from pathlib import Path

import pytest

from victor_engine.config import is_trusted, trust
from victor_engine.config.trust import trust_file
from victor_engine.errors import ConfigError


def test_trust_is_remembered_for_the_real_path(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "cfg")}
    workspace, other = tmp_path / "ws", tmp_path / "other"
    workspace.mkdir()
    other.mkdir()
    (tmp_path / "link").symlink_to(workspace)
    assert not is_trusted(workspace, environ)
    assert not trust_file(environ).exists()  # is_trusted writes nothing
    trust(tmp_path / "link", environ)
    assert is_trusted(workspace, environ)
    assert not is_trusted(other, environ)
    assert stat.S_IMODE(trust_file(environ).stat().st_mode) == 0o600
    trust(other, environ)
    assert is_trusted(workspace, environ)
    assert not is_trusted(tmp_path / "absent", environ)


def test_a_damaged_list_is_an_error_and_is_not_overwritten(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    path = trust_file(environ)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(ConfigError, match="Remove it"):
        trust(tmp_path, environ)
    assert path.read_text() == "{"
