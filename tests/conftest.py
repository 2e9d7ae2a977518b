"""What holds for every test."""

from __future__ import annotations

import gc

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    # Transports that a closed loop has left complain when they are collected, with a traceback for which
    # CPython 3.11 parses source; amid another parse (plugins import at the end) that is a SystemError.
    gc.collect()
