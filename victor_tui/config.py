"""What the console takes from its environment and its configuration. Cheap to import."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def theme_name(env: Mapping[str, str]) -> str:
    """`victor-dark` where the terminal has 256 colours or more, `victor-ansi` where it has 16.

    `VICTOR_THEME` decides where it is set. SSH usually drops `COLORTERM`, so `TERM` counts too.
    """
    chosen = env.get("VICTOR_THEME", "").strip()
    if chosen:
        return {"dark": "victor-dark", "ansi": "victor-ansi"}.get(chosen, chosen)
    if env.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return "victor-dark"
    term = env.get("TERM", "")
    rich_terminals = ("256", "kitty", "alacritty", "ghostty", "direct")
    return "victor-dark" if any(word in term for word in rich_terminals) else "victor-ansi"


def notify_setting(workspace: Path) -> str:
    """`console.notify` as it holds in `workspace`; blocks. Raises `ConfigError` with place and remedy."""
    from victor_engine.config import load_config

    return load_config(workspace).console.notify
