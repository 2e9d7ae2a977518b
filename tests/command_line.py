"""The words that start `victor` in a process."""

from __future__ import annotations

import sys
from pathlib import Path

VICTOR = [sys.executable, "-m", "victor_engine.cli.main"]
"""The command without a workspace: it finds the workspace and the state itself."""


def victor_words(root: Path, *words: str, state: Path | None = None) -> list[str]:
    """Return the words of a command on the workspace `root`, whose state is in `state` (default: `root/.state`)."""
    return [*VICTOR, "--workspace", str(root), "--state-dir", str(state or root / ".state"), *words]
