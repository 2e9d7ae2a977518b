"""The documents build as a site without a warning, and the site loads nothing from the network."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.guides import ROOT

SETTINGS = ROOT / "properdocs.yml"
LOADED = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^\"]*\"")


def pages(entries: list[Any]) -> Iterator[str]:
    """Yield the pages of a part of the navigation."""
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            for value in entry.values():
                yield from pages(value if isinstance(value, list) else [value])


def test_the_navigation_has_each_document() -> None:
    listed = list(pages(yaml.safe_load(SETTINGS.read_text())["nav"]))
    stored = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(listed) == sorted(stored), "write the page into nav: of properdocs.yml"


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
