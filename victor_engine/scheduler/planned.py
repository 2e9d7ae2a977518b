"""What a plan notes down of schedules: their settings, so that it can say which of them changed."""

from __future__ import annotations

import msgspec

from victor_engine import jsonio
from victor_engine.api import ScheduleSpec
from victor_engine.domain import plans

_LONG = 80
"""Characters of a setting above which its digest stands for it."""


def spec_facts(spec: ScheduleSpec) -> plans.Facts:
    """Return the settings of a schedule that are not the default ones, each as text."""
    return {name: _text(value) for name, value in msgspec.to_builtins(spec).items() if name != "workflow"}


def _text(value: object) -> str:
    text = value if isinstance(value, str) else jsonio.canonical(value).decode()
    return text if len(text) <= _LONG else f"digest {jsonio.digest(value)[:12]}"
