"""The command `victor trust`, which allows the engine to execute the content of a workspace."""

from __future__ import annotations

import click

from victor_engine.cli.output import print_line, print_note


@click.command()
@click.option("--show", is_flag=True, help="Only show the content that the engine would execute.")
@click.pass_context
def trust(ctx: click.Context, show: bool) -> None:
    """Trust this workspace: allow the engine to execute the bindings of its victor.yaml."""
    import asyncio

    from victor_engine.config import is_trusted, load_config
    from victor_engine.config import trust as remember
    from victor_engine.service.connect import find
    from victor_engine.service.finding import attach
    from victor_engine.work.bindings import BindingTable

    paths = find(ctx.obj["workspace"], ctx.obj["state_dir"])
    commands, functions, urls = BindingTable(load_config(paths.workspace)).summary()
    print_line(f"{paths.workspace} executes:")
    for kind, found in (("command", commands), ("function", functions), ("address", urls)):
        for item in found:
            print_line(f"  {kind:<9} {item}")
    if show:
        print_note(
            "trusted"
            if is_trusted(paths.workspace)
            else f"not trusted; to trust it, run: victor --workspace {paths.workspace} trust"
        )
        return
    remember(paths.workspace)
    print_line("trusted")

    async def notify_engine() -> None:
        port = await attach(paths, "cli")
        if port is not None:
            await port.trust()
            await port.close()

    asyncio.run(notify_engine())
