"""The directory of the shared corpus, if it is beside this checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]
_PLACES = [Path(os.environ["VICTOR_SHARED"])] if "VICTOR_SHARED" in os.environ else []
_PLACES += [_ROOT.parent / "shared", _ROOT.parent.parent / "shared"]
SHARED = next((place for place in _PLACES if (place / "cron_vectors.json").is_file()), None)

needs_shared = pytest.mark.skipif(
    SHARED is None, reason="the directory shared/ does not exist beside this checkout"
)
