"""The systemd unit: its values are quoted, systemd accepts it, and its commands start and reload an engine."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.support import workspace
from tests.process.test_daemon import FILES, WITHIN, Manager
from victor_engine.cli.main import main
from victor_engine.errors import UsageError
from victor_engine.service.unit import HARDENING, Unit, command, quoted

pytestmark = pytest.mark.process

analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (package systemd)"
)


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """A workspace with a name that systemd would read in another way without quotation marks."""
    return workspace(tmp_path / 'my $HOME 50%i "w\\s"', FILES)


def install(root: Path, *words: str) -> int:
    return main(["--workspace", str(root), "scheduler", "install", *words])


def printed(root: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert install(root, "--print", *words) == 0
    return capsys.readouterr().out


def directive(text: str, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", text, re.M)


def words_of(line: str) -> list[str]:
    """Return the words of `ExecStart=` as systemd reads them, after systemd.syntax(7)."""
    return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/srv/ops", "/srv/ops"),
        ("/srv/my ops", '"/srv/my ops"'),
        ("50%", "50%%"),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("semi;colon", '"semi;colon"'),
        ("'", '"\'"'),
    ],
)
def test_a_value_is_quoted(text: str, expected: str) -> None:
    assert quoted(text) == expected


def test_no_variable_is_expanded_and_no_line_is_added() -> None:
    assert command(("/bin/x", "$HOME ${A}")) == '/bin/x "$$HOME $${A}"'
    with pytest.raises(UsageError, match="control character"):
        command(("/bin/x", "a\nExecStartPre=/bin/sh"))
    with pytest.raises(UsageError, match="not the absolute path"):
        command(("python", "-m"))
    for values in (
        {"user": "ops\nGroup=root"},
        {"on_failure": "mail\nUser=root"},
        {"credentials": {"a b": Path("/x")}},
        {"workspace": Path("/srv/a\nb")},
    ):
        given = {"program": ("/bin/x",), "workspace": Path("/srv"), "name": "n", "user": "ops", **values}
        with pytest.raises(UsageError):
            Unit(**given).text()  # type: ignore[arg-type]


def test_each_directive_of_the_hardening_has_a_comment() -> None:
    assert all(reason.endswith(".") and lines for reason, lines in HARDENING)
    text = Unit(("/bin/x",), Path("/srv"), "n", "ops", hardened=True).text()
    lines = text.partition("[Service]")[2].splitlines()
    assert {line for _, group in HARDENING for line in group} <= set(lines)


@analyze
@pytest.mark.parametrize("options", [(), ("--hardened", "--allow-write", "/tmp"), ("--user-unit",)])
def test_systemd_accepts_the_unit(
    strange: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    unit = tmp_path / "victor-scheduler.service"
    unit.write_text(printed(strange, capsys, "--on-failure", "notice@%n.service", *options))
    scope = ["--user"] if "--user-unit" in options else []
    done = subprocess.run(
        ["systemd-analyze", *scope, "verify", "--recursive-errors=no", str(unit)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if "--hardened" in options:
        score = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=30", "--no-pager", str(unit)],
            capture_output=True,
            text=True,
        )
        assert score.returncode == 0, score.stdout[-300:]


def test_the_commands_of_the_unit_start_and_reload_an_engine(
    strange: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(strange, capsys)
    (start,), (reload,) = directive(text, "ExecStart"), directive(text, "ExecReload")
    words = words_of(start)
    assert words[0] == sys.executable
    assert str(strange) in words
    seconds = float(directive(text, "WatchdogSec")[0])
    manager = Manager(tmp_path / "notify")
    process = subprocess.Popen(
        words,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={
            **os.environ,
            "VICTOR_STATE": str(tmp_path / "state"),
            "NOTIFY_SOCKET": str(manager.path),
            "WATCHDOG_USEC": str(int(seconds * 1_000_000)),
        },
    )
    try:
        assert manager.until("READY")["MAINPID"] == str(process.pid)
        manager.until("WATCHDOG")
        subprocess.run(reload.replace("$MAINPID", str(process.pid)).split(), check=True)
        manager.until("RELOADING")
        manager.until("READY")
        process.terminate()
        manager.until("STOPPING")
        assert process.wait(WITHIN) == 0
    finally:
        process.kill()
        process.wait()
        manager.close()


def test_an_edited_unit_is_neither_replaced_nor_deleted(
    strange: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = tmp_path / "units" / "victor-scheduler.service"
    assert install(strange, "--output", str(unit)) == 0
    assert directive(unit.read_text(), "User") == [getpass.getuser()]
    assert "sudo systemctl enable --now victor-scheduler" in capsys.readouterr().out
    assert install(strange, "--output", str(unit), "--hardened") == 0, "it is as the command wrote it"
    unit.write_text(unit.read_text().replace("RestartSec=10", "RestartSec=1"))
    assert install(strange, "--output", str(unit)) == 8
    assert "was edited" in capsys.readouterr().err
    remove = ["scheduler", "uninstall", "--output", str(unit)]
    assert main(remove) == 8
    assert install(strange, "--output", str(unit), "--force") == 0
    assert main(remove) == 0
    assert "systemctl disable --now victor-scheduler" in capsys.readouterr().out
    assert not unit.exists()
    assert main(remove) == 2
    assert install(strange, "--output", str(tmp_path / "units")) == 2


def test_files_that_do_not_exist_are_found_before_the_start(
    strange: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "missing")
    assert install(strange, "--print", "--credential", f"key={missing}") == 2
    assert install(strange, "--print", "--config", missing) == 2
    assert install(strange, "--print", "--hardened", "--allow-write", missing) == 2
    assert install(strange, "--print", "--allow-write", "/tmp") == 2
    (strange / "victor.yaml").write_text("secrets: {token: {credential: api-token}}\n")
    capsys.readouterr()
    assert install(strange, "--print") == 0
    assert "give --credential api-token=FILE" in capsys.readouterr().err
    file = tmp_path / "token"
    file.write_text("x")
    assert f"LoadCredential=api-token:{file}" in printed(strange, capsys, "--credential", f"api-token={file}")
