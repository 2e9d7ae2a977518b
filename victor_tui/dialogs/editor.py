"""Long text in the person's own editor, with the console suspended meanwhile."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textual.app import App


def edit_text(app: App[Any], text: str, environment: Mapping[str, str], suffix: str = ".md") -> str:
    """`text` as the editor left it.

    Raises OSError where the editor cannot start or fails, SuspendNotSupported in a web terminal.
    """
    command = environment.get("VISUAL") or environment.get("EDITOR")
    if not command:
        raise OSError("neither VISUAL nor EDITOR is set")
    with tempfile.TemporaryDirectory(prefix="victor-") as folder:
        path = Path(folder) / f"answer{suffix}"
        path.write_text(text, encoding="utf-8")
        with app.suspend():
            done = subprocess.run([*shlex.split(command), str(path)], check=False)
        if done.returncode:
            raise OSError(f"{command} ended with {done.returncode}")
        return path.read_text(encoding="utf-8")
