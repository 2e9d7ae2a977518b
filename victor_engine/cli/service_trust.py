"""The checks of a service before its installation, and the question whether it may execute its content."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from victor_engine.cli.output import print_line, print_note
from victor_engine.errors import UsageError

if TYPE_CHECKING:
    from victor_engine.engine.loaded_workspace import Workspace


def checked(user: str, workspace: Path, config: Path | None, program: tuple[str, ...]) -> Workspace:
    """Return the files of a service. Raise UsageError, with remedies, if its user lacks something that it needs."""
    from victor_engine.engine.current_workspace import read_files
    from victor_engine.service import paths
    from victor_engine.service.service_checks import check_service

    def check(names: tuple[str, ...]) -> None:
        problems = check_service(user, workspace, names, config, [*program], paths.SERVICE_STATE_DIR)
        if problems:
            raise UsageError("nothing was installed:\n" + "\n".join(problems))

    check(())
    loaded = asyncio.run(read_files(workspace, user, config))
    check(tuple(loaded.judgement.content.files))
    return loaded


def ask(loaded: Workspace, user: str, config: Path | None, yes: bool) -> None:
    """Show the content of a service, ask for trust, and record the answer in the list of the administrator."""
    from victor_engine.cli.trust import me_now, print_content
    from victor_engine.config.trust_list import reserve
    from victor_engine.engine.content_trust import give_trust, trust_info

    root = loaded.config.workspace
    info = trust_info(loaded)
    print_content(info)
    later = f"The service executes nothing until root trusts it: sudo victor --workspace {root} trust"
    if os.geteuid() != 0:
        print_note(f"only root can give a service trust. {later}")
        return
    if not yes and not sys.stdin.isatty():
        print_note(
            "the content was not trusted, because the question needs a terminal. Give --yes, or run this on a terminal"
        )
        return
    where = str(config) if config is not None else ""
    if yes or click.confirm(f"Let the service execute this content as {user}?", err=True):
        me, now = me_now()
        give_trust(loaded, info.content, by=me, at=now, service_user=user, config=where)
        print_line("trusted")
    else:
        reserve(root, user, where)
        print_note(f"not trusted. {later}")
