"""The commands of the README and the guides do what the documents say, in their order, in a new home directory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.guides import ROOT, blocks

GUIDES = ROOT / "docs" / "guides"
FOLLOWED = sorted(
    [*GUIDES.glob("*.md"), *(ROOT / "docs" / f"{name}.md" for name in ("observability", "operations"))]
)
"""The documents whose commands are run."""

CONTINUED = {"first-workflow": ("new-version", "schedule")}
"""Guides that continue another one, in the same directory."""

SKIPPED = {
    "needs root",
    "needs root and systemd",
    "needs an SSH server",
    "installs packages",
    "opens the console",
    "needs a workflow",
    "needs an engine with metrics",
    "needs curl",
    "see the guides",
}
"""The accepted reasons not to run a block."""

LISTS = {"RUN": ("runs", "list"), "REQUEST": ("inbox", "list"), "SCHEDULE": ("scheduler", "list")}
"""Placeholders in commands, and the list whose first entry stands in their place."""


class Reader:
    """A reader of a guide, who types its commands."""

    def __init__(self, home: Path) -> None:
        self.directory = home
        binaries = Path(sys.executable).parent
        self.environment = {
            "HOME": str(home),
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "VICTOR_RUNTIME": os.environ["VICTOR_RUNTIME"],
        }

    def type(self, script: str) -> str:
        """Run commands, and stay in the directory that they change to. Return what they print."""
        for name, command in LISTS.items():
            if re.search(rf"\b{name}\b", script):
                listed = json.loads(self._run(f"victor {' '.join(command)} --json"))
                script = re.sub(rf"\b{name}\b", listed[0]["id"], script)
        return self._run(script)

    def _run(self, script: str) -> str:
        where = self.directory / ".where"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{script}\npwd >{where}"],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, f"{script}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}"
        self.directory = Path(where.read_text().strip())
        where.unlink()
        return done.stdout

    def follow(self, guide: Path) -> None:
        printed = ""
        for block in blocks(guide):
            if block.language == "sh" and block.skipped is None:
                printed = " ".join(self.type(block.text).split())
            elif block.language == "text":
                for line in block.text.splitlines():
                    assert " ".join(line.split()) in printed
            elif block.language == "yaml" and block.info and block.skipped is None:
                (self.directory / block.info).write_text(block.text)


@pytest.mark.process
@pytest.mark.parametrize(
    "guide",
    [guide for guide in FOLLOWED if guide.stem not in sum(CONTINUED.values(), ())],
    ids=lambda guide: guide.stem,
)
def test_the_commands_of_a_guide_succeed_in_their_order(guide: Path, tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    try:
        for name in (guide.stem, *CONTINUED.get(guide.stem, ())):
            reader.follow(guide.with_name(f"{name}.md"))
    finally:
        subprocess.run(
            ["victor", "scheduler", "stop"], cwd=reader.directory, env=reader.environment, capture_output=True
        )


def test_each_command_that_is_not_run_has_an_accepted_reason() -> None:
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    reasons = {
        (block.skipped or "", path.name)
        for path in documents
        for block in blocks(path)
        if block.language == "sh"
    }
    unknown = {(reason, name) for reason, name in reasons if reason and reason not in SKIPPED}
    assert not unknown
    followed = {path.name for path in FOLLOWED}
    outside = {name for reason, name in reasons if not reason and name not in followed}
    assert not outside, f"commands stand in guides, where they are run, or have a reason: {outside}"
