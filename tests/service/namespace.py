"""Stories that run as root in a mount namespace of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def story_in_namespace(module: str, timeout: float) -> dict[str, Any]:
    """Run a module in a mount namespace, and return the results that it prints as JSON.

    Skip the tests where that is impossible, or where the story gives a reason under `skip`.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can start programs of other users")
    unshare = shutil.which("unshare")
    if (
        unshare is None
        or subprocess.run([unshare, "-m", "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("a mount namespace for the users of the test cannot be created")
    done = subprocess.run(
        [unshare, "-m", sys.executable, "-m", module],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = dict(json.loads(done.stdout))
    if "skip" in found:
        pytest.skip(found["skip"])
    return found
