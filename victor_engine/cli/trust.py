"""`victor trust`: what a workspace would run, and the word that it may."""

from __future__ import annotations

import click

from victor_engine.cli.output import note, say


@click.command()
@click.option("--show", is_flag=True, help="Only show what it would run.")
@click.pass_context
def trust(ctx: click.Context, show: bool) -> None:
    """Allow this workspace to run what its victor.yaml binds."""
    import asyncio

    from victor_engine.config import is_trusted, load_config
    from victor_engine.config import trust as remember
    from victor_engine.runtime.bindings import BindingTable
    from victor_engine.service.connect import attach, find

    paths = find(ctx.obj["workspace"], ctx.obj["state_dir"])
    commands, functions, urls = BindingTable(load_config(paths.workspace)).summary()
    say(f"{paths.workspace} runs:")
    for kind, found in (("command", commands), ("function", functions), ("address", urls)):
        for item in found:
            say(f"  {kind:<9} {item}")
    if show:
        note("trusted" if is_trusted(paths.workspace) else "not trusted yet")
        return
    remember(paths.workspace)
    say("trusted")

    async def tell() -> None:
        port = await attach(paths, "cli")
        if port is not None:
            await port.trust()
            await port.close()

    asyncio.run(tell())
