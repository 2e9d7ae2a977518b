"""The man pages describe the commands, and `man` accepts them."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests import write_man


def test_the_pages_are_generated_from_the_commands() -> None:
    stored = {path.name: path.read_text("utf-8") for path in write_man.FOLDER.iterdir()}
    assert stored == write_man.pages(), "python -m tests.write_man"


def test_the_pages_have_no_error() -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    files = sorted(map(str, write_man.FOLDER.glob("*.1")))
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", *files], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
