import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from victor_engine.config import is_trusted, trust
from victor_engine.config import trust_list as place
from victor_engine.config.content import Content
from victor_engine.config.trust_list import (
    TrustRecord,
    Withdrawn,
    give,
    place_of,
    reserve,
    trust_file,
    withdraw,
)
from victor_engine.config.trust_rules import Mode, Verdict, judge
from victor_engine.errors import ConfigError
from victor_engine.identity import user_name
from victor_engine.ownership import why_exposed

ME = user_name(os.geteuid())
NOW = Content(
    {"victor.yaml": "1", "w.yaml": "2", "run.sh": "3", "f.py": "4"}, {"functions": ("f.py", "new.py")}
)


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
    for text in ("{", '{"workspaces": {"/a": {"owner": "x"}}}'):
        path.write_text(text)
        with pytest.raises(ConfigError, match="Remove it"):
            trust(tmp_path, environ)
        assert path.read_text() == text


def test_trust_in_content_is_recorded_and_withdrawn(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    give(tmp_path, NOW, {"w": ("c1",)}, by="ana", at="t1", environ=environ)
    record = place_of(tmp_path, environ).record
    assert record is not None
    assert (record.content, record.by, record.at) == (dict(NOW.files), "ana", "t1")
    later = Content({**NOW.files, "w.yaml": "5"})
    withdraw(tmp_path, later, {"w": ("c2",)}, by="ben", at="t2", environ=environ)
    record = place_of(tmp_path, environ).record
    assert record is not None
    assert not is_trusted(tmp_path, environ)
    assert record.withdrawn_versions == {("w", "c1"), ("w", "c2")}
    give(tmp_path, later, {}, by="ana", at="t3", environ=environ)
    record = place_of(tmp_path, environ).record
    assert record is not None
    assert record.withdrawn_versions == {("w", "c1")}, "a yes ends the withdrawal of this content alone"


def test_the_list_of_the_administrator_decides_about_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"HOME": str(tmp_path)}
    listed = tmp_path / "etc" / "trusted.json"
    monkeypatch.setattr(place, "SYSTEM_TRUST", listed)
    trust(tmp_path, environ)
    reserve(tmp_path, ME)
    if os.geteuid() != 0:
        with pytest.raises(ConfigError, match="other users than root"):
            place_of(tmp_path, environ)
        return
    found = place_of(tmp_path, environ)
    assert found.service
    assert not is_trusted(tmp_path, environ), "the user of a service cannot trust its workspace"
    assert not place_of(tmp_path, environ, user="another").service
    give(tmp_path, NOW, {}, by="root", at="t", service_user=ME)
    reserve(tmp_path, ME)
    assert is_trusted(tmp_path, environ), "a second installation keeps the trust"
    assert stat.S_IMODE(listed.stat().st_mode) == 0o644
    listed.chmod(0o664)
    with pytest.raises(ConfigError, match="other users than root"):
        place_of(tmp_path, environ)


def test_an_older_release_can_read_the_list(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    trust(tmp_path, environ)
    assert json.loads(trust_file(environ).read_text()) == {"workspaces": {str(tmp_path): os.getuid()}}


def nothing() -> str | None:
    return None


def others() -> str | None:
    return "all users can write to /ws (0777)"


def given(**changes: str) -> TrustRecord:
    files = {**NOW.files, **{name.replace("_", "."): digest for name, digest in changes.items()}}
    return TrustRecord(0, content={name: digest for name, digest in files.items() if digest})


@pytest.mark.parametrize(
    ("record", "mode", "exposed", "trusted", "held", "reason"),
    [
        (None, "watch", nothing, False, set(NOW.files), "it has not been trusted"),
        (TrustRecord(0, False), "watch", nothing, False, set(NOW.files), "it has not been trusted"),
        (given(), "pinned", others, True, set(), ""),
        (given(w_yaml="old"), "watch", nothing, True, set(), ""),
        (given(w_yaml="old"), "pinned", nothing, True, {"w.yaml"}, "w.yaml changed since trust was given"),
        (given(w_yaml=""), "pinned", nothing, True, {"w.yaml"}, "w.yaml is new since trust was given"),
        (given(x_sh="1"), "pinned", nothing, True, set(), ""),
        (given(x_yaml="1"), "pinned", nothing, True, {"x.yaml"}, "x.yaml is gone since trust was given"),
        (
            given(w_yaml="old", run_sh="old"), "watch", others, True, {"w.yaml", "run.sh"},
            "run.sh changed, and 1 more file since trust was given, and all users can write to /ws (0777)",
        ),
        (given(victor_yaml="old"), "pinned", nothing, False, {"victor.yaml"}, "victor.yaml changed since trust was given"),
        (given(f_py="old"), "pinned", nothing, False, {"f.py"}, "f.py changed since trust was given"),
    ],
)  # fmt: skip
def test_the_decision_about_content(
    record: TrustRecord | None,
    mode: Mode,
    exposed: Callable[[], str | None],
    trusted: bool,
    held: set[str],
    reason: str,
) -> None:
    found = judge(record, NOW, mode, exposed)
    assert (found.trusted, found.held, found.reason) == (trusted, held, reason)


def test_a_workspace_that_was_trusted_by_its_path_keeps_its_trust() -> None:
    assert judge(TrustRecord(0), NOW, "pinned", others) == Verdict(True, first=True)


@pytest.mark.parametrize("mode", ["pinned", "watch"])
def test_withdrawn_content_is_not_trusted_when_files_return_to_it(mode: Mode) -> None:
    record = TrustRecord(0, content={"w.yaml": "x"}, withdrawn=(Withdrawn(NOW.digest, by="ana"),))
    found = judge(record, NOW, mode, nothing)
    assert (found.trusted, found.reason) == (False, "the trust in this content was withdrawn")
    again = judge(TrustRecord(0, False, withdrawn=record.withdrawn), NOW, mode, nothing)
    assert (again.trusted, again.reason) == (False, "ana withdrew the trust in it")


def test_content_is_exposed_if_another_user_can_write_it(tmp_path: Path) -> None:
    me = {0, os.geteuid()}
    (tmp_path / "bin").mkdir()
    file = tmp_path / "bin" / "run.sh"
    file.write_text("x")
    names = ["bin/run.sh", "bin/absent.py", "no/such/file"]
    assert why_exposed(tmp_path, names, me) is None
    file.chmod(0o666)
    assert why_exposed(tmp_path, names, me) == f"all users can write to {file} (0666)"
    file.chmod(0o644)
    (tmp_path / "bin").chmod(0o777)
    assert why_exposed(tmp_path, names, me) == f"all users can write to {tmp_path / 'bin'} (0777)"
    (tmp_path / "bin").chmod(0o755)
    assert why_exposed(tmp_path, names, set()) == "/ belongs to root"
    target = tmp_path / "open"
    target.mkdir(mode=0o700)
    target.chmod(0o777)
    (target / "run.sh").write_text("x")
    file.unlink()
    file.symlink_to(target / "run.sh")
    assert why_exposed(tmp_path, names, me) == f"all users can write to {target} (0777)"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to other users")
def test_only_the_private_group_of_a_trusted_user_may_write(tmp_path: Path) -> None:
    file = tmp_path / "run.sh"
    file.write_text("x")
    file.chmod(0o664)
    assert why_exposed(tmp_path, ["run.sh"], {0}) is None  # the group root of root
    os.chown(file, 0, 1)
    assert why_exposed(tmp_path, ["run.sh"], {0}) == f"its group can write to {file} (0664)"
    os.chown(file, 1, 0)
    assert why_exposed(tmp_path, ["run.sh"], {0}) == f"{file} belongs to {user_name(1)}"
