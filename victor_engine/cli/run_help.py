"""The help of `victor run WORKFLOW`, which lists the inputs of the workflow."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import click

from victor_engine.cli.dry_run import definition_in_files
from victor_engine.cli.output import port_of
from victor_engine.cli.run_inputs import input_lines, inputs_of
from victor_engine.definition.inputs import Inputs
from victor_engine.errors import VictorError
from victor_engine.text import plain


class RunCommand(click.Command):
    """The command `victor run`. With the name of a workflow, its help lists the inputs of this workflow."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with suppress(click.UsageError):
            ctx.meta[__name__] = self.make_parser(ctx).parse_args(list(args))[0]
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        given = ctx.meta.get(__name__, {})
        workflow, version = given.get("workflow"), given.get("version")
        if not isinstance(workflow, str):
            return
        try:
            inputs = asyncio.run(_for_help(ctx, workflow, version if isinstance(version, str) else None))
        except VictorError as error:
            with formatter.section(f"Inputs of {plain(workflow)}"):
                formatter.write_text(f"not known: {plain(error.message)}")
            return
        with formatter.section(f"Inputs of {plain(workflow)}"):
            if inputs is None:
                formatter.write_text("The workflow declares no inputs and accepts any state.")
            else:
                formatter.write_dl(input_lines(inputs) or [("none", "")])


async def _for_help(ctx: click.Context, workflow: str, version: str | None) -> Inputs | None:
    """Return the inputs of a workflow from the engine or the store, else from the files. Start and write nothing."""
    with suppress(VictorError):
        async with port_of(ctx, "read") as port:
            return await inputs_of(port, workflow, version)
    return definition_in_files(ctx, workflow, version).inputs
