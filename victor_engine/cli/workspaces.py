"""The check that a command has a workspace, before it opens one."""

from __future__ import annotations

import click

from victor_engine.errors import UsageError


def require_workspace(ctx: click.Context) -> None:
    """Raise UsageError if no directory has a workspace, and nothing else says which engine is meant."""
    if any(ctx.obj.get(key) is not None for key in ("workspace", "state_dir", "open_port")):
        return
    from pathlib import Path

    from victor_engine.config import load_config
    from victor_engine.service.paths import WORKSPACE_FILE, locate

    paths = locate()
    known = paths.chosen or paths.db_path.exists() or (paths.workspace / WORKSPACE_FILE).is_file()
    if known or load_config(paths.workspace).workflow_files():
        return
    raise UsageError(
        f"no workspace was found: neither {Path.cwd()} nor a directory above it has a {WORKSPACE_FILE}, and "
        "~/.victor has no workflows. To write a workspace here, run: victor init"
    )
