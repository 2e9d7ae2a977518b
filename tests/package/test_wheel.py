"""The wheel: it contains each file of the packages, and works in an environment that has nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.process.terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("victor_engine", "victor_tui")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]


def pip(*words: str) -> None:
    done = subprocess.run([*PIP, *words], capture_output=True, text=True, timeout=500)
    if done.returncode and "connection broken" in done.stderr:
        pytest.skip("the package registry cannot be reached")
    assert done.returncode == 0, done.stderr


def build(folder: Path) -> Path:
    """Build the wheel from a copy of the source, without files of an earlier build."""
    source = folder / "source"
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in (*PACKAGES, "man"):
        shutil.copytree(ROOT / name, source / name, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(source))
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_the_wheel_is_complete_and_runs_a_workflow_and_the_console(tmp_path: Path) -> None:
    wheel = build(tmp_path)
    files = {
        str(path.relative_to(ROOT))
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files <= set(zipfile.ZipFile(wheel).namelist())

    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = str(environment / "bin" / "python")
    pinned = ("--constraint", str(ROOT / "constraints.txt"))
    pip("--python", python, "install", "--no-compile", *pinned, str(wheel))

    variables = {
        "HOME": str(tmp_path),
        "PATH": f"{environment / 'bin'}:{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        "VICTOR_RUNTIME": os.environ["VICTOR_RUNTIME"],
    }

    def victor(*words: str) -> str:
        done = subprocess.run(
            [str(environment / "bin" / "victor"), *words],
            cwd=tmp_path,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    manual = environment / "share" / "man" / "man1"
    assert {path.name for path in manual.iterdir()} == {path.name for path in (ROOT / "man").iterdir()}
    version = wheel.name.split("-")[1]
    assert version in victor("--version")
    root = tmp_path / "ops"
    victor("init", "ops")
    state = ("--workspace", str(root), "--state-dir", str(root / ".state"))
    victor(*state, "trust")
    assert "succeeded" in victor(*state, "run", "hello")

    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed; the console was not opened")
    console = [str(environment / "bin" / "victor-tui"), "--workspace", str(root)]
    with Terminal(root, command=console, environment=variables) as terminal:
        terminal.until("Schedules")
        terminal.keys("2")
        terminal.until("hello", "succeeded")
