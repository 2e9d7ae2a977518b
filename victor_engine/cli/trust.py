"""The command `victor trust`, which allows the engine to execute the content of a workspace."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from victor_engine.api import Port, TrustInfo
from victor_engine.cli.output import print_line, print_note
from victor_engine.errors import PermissionDeniedError, UsageError
from victor_engine.text import plural

if TYPE_CHECKING:
    from victor_engine.engine.loaded_workspace import Workspace
    from victor_engine.service.paths import Paths


@click.command()
@click.option("--show", is_flag=True, help="Only show the content that the engine would execute.")
@click.option("--yes", is_flag=True, help="Trust it without confirmation.")
@click.option("--withdraw", is_flag=True, help="Withdraw the trust, and stop the engine.")
@click.pass_context
def trust(ctx: click.Context, show: bool, yes: bool, withdraw: bool) -> None:
    """Trust the content of this workspace: allow the engine to execute it.

    Shows what is new since the last time, and asks on a terminal. The trust of a service needs root.
    """
    import asyncio

    from victor_engine.identity import current_actor, local_actor
    from victor_engine.service.connect import find

    if withdraw and (show or yes):
        raise UsageError("give --withdraw without --show and --yes")
    token = current_actor.set(local_actor("cli"))
    try:
        paths = find(ctx.obj["workspace"], ctx.obj["state_dir"])
        asyncio.run(_withdraw(paths) if withdraw else _trust(paths, show, yes))
    finally:
        current_actor.reset(token)


async def _trust(paths: Paths, show: bool, yes: bool) -> None:
    from victor_engine.engine.content_trust import trust_info
    from victor_engine.service.finding import attach

    port = await attach(paths, "cli")
    try:
        user = await service_user(paths, port)
        loaded = None
        if port is None or user is not None:
            loaded = await _read(paths, port, user)
        info = trust_info(loaded) if loaded is not None else await port.trust_info()  # type: ignore[union-attr]
        print_content(info)
        complete = info.trusted and not info.held
        if show:
            print_note(
                "trusted"
                if complete
                else f"not trusted: {info.reason}; to trust it, run: victor --workspace {paths.workspace} trust"
            )
            return
        _check_place(paths, user)
        if not confirmed(info, yes):
            print_line("nothing was trusted")
            return
        await _give(port, user, loaded, info.content)
        print_line("trusted")
        if port is not None and info.changes:
            print_note("to put the changes of the files in force, run: victor deploy")
    finally:
        if port is not None:
            await port.close()


async def yes_to(paths: Paths, content: str) -> None:
    """Give trust for the content with a digest. Raise PlanChangedError if the content is not that any more."""
    from victor_engine.service.finding import attach

    port = await attach(paths, "cli")
    try:
        user = await service_user(paths, port)
        _check_place(paths, user)
        loaded = None
        if port is None or user is not None:
            loaded = await _read(paths, port, user)
        await _give(port, user, loaded, content)
    finally:
        if port is not None:
            await port.close()


async def _give(port: Port | None, user: str | None, loaded: Workspace | None, content: str) -> None:
    """Give trust: in a list of this process for `loaded` content, or by the engine."""
    from victor_engine.engine.content_trust import give_trust

    if loaded is not None:
        me, now = me_now()
        give_trust(loaded, content, by=me, at=now, service_user=user)
    if port is not None:
        await port.trust("" if loaded is not None else content)


async def _withdraw(paths: Paths) -> None:
    from victor_engine.engine.content_trust import withdraw_trust
    from victor_engine.service.finding import attach

    port = await attach(paths, "cli")
    try:
        user = await service_user(paths, port)
        _check_place(paths, user)
        if user is None and port is not None and (await port.engine()).engine_user != me_now()[0]:
            raise PermissionDeniedError(
                "permission denied: only the user of the engine can withdraw its trust; run this command as that user"
            )
        me, now = me_now()
        found = await _read(paths, port, user)
        withdraw_trust(found, by=me, at=now, service_user=user)
        print_line(f"the trust in {paths.workspace} is withdrawn")
        if port is not None:
            await port.stop_engine()
            print_line("the engine stops; a new engine executes nothing until the workspace is trusted again")
    finally:
        if port is not None:
            await port.close()


async def service_user(paths: Paths, port: Port | None) -> str | None:
    """Return the user of the service of a workspace, whose trust the administrator gives; None without a service."""
    from victor_engine.config.trust_list import service_record

    found = service_record(paths.workspace)
    if found is not None:
        return found.user
    if port is not None and os.geteuid() == 0:
        engine_user = (await port.engine()).engine_user
        return engine_user if engine_user not in ("", me_now()[0]) else None
    return None


async def _read(paths: Paths, port: Port | None, user: str | None) -> Workspace:
    """Read the files as the engine of a workspace does, with its settings."""
    from victor_engine.config.trust_list import service_of
    from victor_engine.engine.current_workspace import read_files
    from victor_engine.service.daemon_settings import of_paths
    from victor_engine.service.paths import Paths

    config = service_of(paths.workspace)[1]
    if port is not None:
        paths = Paths(paths.workspace, Path((await port.engine()).state_dir))
    daemon = await of_paths(paths)
    return await read_files(paths.workspace, user, config or daemon.config, daemon.environ)


def print_content(info: TrustInfo) -> None:
    """Print the content that an engine would execute, and its changes since the last yes."""
    print_line(f"{info.workspace} executes:")
    if not (info.commands or info.functions or info.urls):
        print_line("  nothing: it has no bindings")
    for kind, found in (("command", info.commands), ("function", info.functions), ("address", info.urls)):
        for item in found:
            print_line(f"  {kind:<9} {item}")
    print_line(f"its content has {plural(info.files, 'file')}, digest {info.content[:12]} ({info.mode})")
    if info.by:
        print_line(f"since {info.by} trusted it on {info.at}:")
        if not info.changes:
            print_line("  nothing changed")
    for change in info.changes:
        print_line(f"  {change.how:<9} {change.path}")


def confirmed(info: TrustInfo, yes: bool) -> bool:
    """Return whether the user says yes to content. Without a terminal and without `--yes`, warn and return True."""
    if yes or (info.trusted and not info.held and not info.changes):
        return True
    if sys.stdin.isatty():
        return click.confirm("Trust this content?", err=True)
    print_note("warning: from 0.6.0, victor trust needs --yes without a terminal")
    return True


def _check_place(paths: Paths, user: str | None) -> None:
    if user is not None and os.geteuid() != 0:
        raise PermissionDeniedError(
            f"permission denied: {paths.workspace} is the workspace of a service of {user}, whose trust the administrator "
            f"gives; run: sudo victor --workspace {paths.workspace} trust"
        )


def me_now() -> tuple[str, str]:
    from victor_engine.clock import SystemClock
    from victor_engine.identity import user_name

    return user_name(os.geteuid()), SystemClock().now().isoformat(timespec="seconds")
