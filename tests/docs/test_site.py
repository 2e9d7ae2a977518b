"""The documents build as a site without a warning, and the site loads nothing from the network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.guides import ROOT

SETTINGS = ROOT / "properdocs.yml"
LOADED = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^\"]*\"")


@pytest.mark.process
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("properdocs", reason="properdocs is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "properdocs", "build", "--config-file", str(SETTINGS), "--site-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    built = {path.relative_to(tmp_path): path.read_text("utf-8") for path in tmp_path.rglob("*.html")}
    assert len(built) > 30
    assert {name: found for name, text in built.items() if (found := LOADED.findall(text))} == {}
    assert "```" not in "".join(built.values()), "a block of code is not read as one"
