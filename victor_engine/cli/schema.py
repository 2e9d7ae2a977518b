"""The command `victor schema`, which prints or writes the JSON Schemas of the files of a workspace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from victor_engine.cli.output import print_line
from victor_engine.errors import UsageError

DIRECTORY = ".victor"
"""The directory of a workspace for the schemas. Files in hidden directories are not workflow files."""

NAMES = {
    "workflow": "workflow.schema.json",
    "victor.yaml": "victor.schema.json",
    "scheduler.yaml": "scheduler.schema.json",
}
"""The kinds of files, and the names of their schemas."""


@click.command()
@click.argument("kind", required=False, type=click.Choice(list(NAMES)))
@click.option("--write", is_flag=True, help=f"Write all schemas into {DIRECTORY}/ of the workspace.")
@click.pass_context
def schema(ctx: click.Context, kind: str | None, write: bool) -> None:
    """Print the JSON Schema of a KIND of file: workflow (default), victor.yaml or scheduler.yaml.

    An editor with a language server for YAML checks and completes the keys of a file that names the schema in a line
    such as `# yaml-language-server: $schema=../.victor/workflow.schema.json`.
    """
    if not write:
        click.echo(_text(schema_of(kind or "workflow")), nl=False)
        return
    if kind is not None:
        raise UsageError("--write writes all schemas; leave out the kind")
    from victor_engine.service.connect import find

    for path in write_schemas(find(ctx.obj["workspace"], ctx.obj["state_dir"]).workspace):
        print_line(f"written: {path}")


def schema_of(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a kind of file."""
    from victor_engine.config.config_schema import config_schema
    from victor_engine.definition.dialect_schema import dialect_schema

    return dialect_schema() if kind == "workflow" else config_schema(kind)


def write_schemas(workspace: Path) -> list[Path]:
    """Write all schemas into a workspace, in place of older ones. Return their paths."""
    directory = workspace / DIRECTORY
    directory.mkdir(exist_ok=True)
    written = []
    for kind, name in NAMES.items():
        path = directory / name
        path.write_text(_text(schema_of(kind)), "utf-8")
        written.append(path)
    return written


def schema_line(kind: str, up: str = "") -> str:
    """Return the line that names the schema for a language server, for a file in a directory that is `up` of the
    workspace."""
    return f"# yaml-language-server: $schema={up}{DIRECTORY}/{NAMES[kind]}\n"


def _text(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=2) + "\n"
