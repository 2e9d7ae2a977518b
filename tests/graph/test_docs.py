"""The programs in docs/python.md run and print their documented output."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = re.findall(
    r"```python\n(.*?)```\n\n```text\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL
)


def test_every_program_has_its_output() -> None:
    assert len(EXAMPLES) == (ROOT / "docs" / "python.md").read_text().count("```python") > 3


@pytest.mark.process
@pytest.mark.parametrize(("program", "printed"), EXAMPLES)
def test_each_program_prints_its_documented_output(program: str, printed: str, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(program)
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "default", script],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    # The development mode also logs slow steps, which depend on the machine only.
    assert [line for line in done.stderr.splitlines() if not line.startswith("Executing <")] == []
    assert done.stdout == printed
