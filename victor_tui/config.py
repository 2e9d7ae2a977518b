"""The settings of the console from the environment and the configuration. Cheap to import."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from victor_engine.config import ConsoleConfig


def theme_name(env: Mapping[str, str]) -> str:
    """Return `victor-dark` for a terminal with 256 colours or more, and `victor-ansi` for 16 colours.

    SSH usually drops `COLORTERM`, so `TERM` is used too.
    """
    if env.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return "victor-dark"
    term = env.get("TERM", "")
    rich_terminals = ("256", "kitty", "alacritty", "ghostty", "direct")
    return "victor-dark" if any(word in term for word in rich_terminals) else "victor-ansi"


def console_settings(workspace: Path) -> ConsoleConfig:
    """Return the settings under `console` of `workspace`. Blocks.

    Raises `ConfigError` with location and remedy.
    """
    from victor_engine.config import load_config

    return load_config(workspace, skip_unreadable=True).console
