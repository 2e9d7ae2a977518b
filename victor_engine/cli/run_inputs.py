"""The declared inputs of a workflow on the command line: `--input NAME=VALUE`, and their list in the help."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

from victor_engine.api import Port
from victor_engine.cli.output import port_of
from victor_engine.definition.inputs import Inputs, read_value, type_text
from victor_engine.errors import UsageError, VictorError
from victor_engine.text import plain

_SHOWN = 60
"""The maximum number of characters of a default in the help."""


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


def input_lines(inputs: Inputs) -> list[tuple[str, str]]:
    """Return the inputs for people: each name, with its type, its default and its description."""
    lines = []
    for name, schema in inputs.properties.items():
        parts = [type_text(schema)]
        if name in inputs.defaults:
            parts.append(f"default {_short(inputs.defaults[name])}")
        elif name in inputs.required:
            parts.append("required")
        text = str(schema.get("description", "")) if isinstance(schema, dict) else ""
        lines.append((plain(name), plain(f"{', '.join(parts)}. {text}" if text else ", ".join(parts))))
    return lines


async def inputs_of(port: Port, workflow: str, version: str | None) -> Inputs | None:
    """Return the inputs of the version that a new run would start on. Raise NotFoundError."""
    schema = (await port.definition(workflow, version)).inputs
    return None if schema is None else Inputs(schema)


def with_inputs(
    state: dict[str, Any] | None, given: Sequence[str], inputs: Inputs | None
) -> dict[str, Any] | None:
    """Return an initial state with the values of `--input`. Raise UsageError if one is not NAME=VALUE, or twice."""
    if not given:
        return state
    found = dict(state or {})
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--input {text!r} is not NAME=VALUE; write for example --input customer=ana")
        if name in found:
            raise UsageError(f"the input {name!r} is given twice")
        found[name] = read_value(inputs.properties.get(name) if inputs is not None else None, value)
    return found


async def _for_help(ctx: click.Context, workflow: str, version: str | None) -> Inputs | None:
    """Return the inputs of a workflow from the engine or the store, else from the files. Start and write nothing."""
    with suppress(VictorError):
        async with port_of(ctx, "read") as port:
            return await inputs_of(port, workflow, version)
    from victor_engine.cli.dry_run import definition_in_files

    return definition_in_files(ctx, workflow, version).inputs


def _short(value: Any) -> str:
    from victor_engine import jsonio

    text = value if isinstance(value, str) else jsonio.dumps_text(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


__all__ = ["RunCommand", "input_lines", "inputs_of", "with_inputs"]
