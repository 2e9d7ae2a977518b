"""The completion of commands and options in real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from victor_engine.cli.main import COMMANDS, main


def shell(program: str, script: str, *arguments: str) -> list[str]:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [found, "-c", script, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


BASH = """
eval "$(victor completion bash)"
complete -p victor >/dev/null
IFS=' ' read -ra COMP_WORDS <<<"$1"
[[ "$1" == *' ' ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_victor_completion victor
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("victor sche", {"scheduler", "schema"}),
        ("victor ", set(COMMANDS)),
        ("victor db ba", {"backup"}),
        ("victor scheduler start --da", {"--daemon"}),
        ("victor completion ", {"bash", "zsh", "fish"}),
    ],
)
def test_bash_completes_commands_and_options(typed: str, expected: set[str]) -> None:
    assert set(shell("bash", BASH, "bash", typed)) == expected


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_is_valid(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", name]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    assert f"_VICTOR_COMPLETE={name}_complete" in script.read_text()
    shell(name, f"{name} --no-execute {script}" if name == "fish" else f"{name} -n {script}")


def test_another_shell_is_an_error() -> None:
    assert main(["completion", "tcsh"]) == 2
