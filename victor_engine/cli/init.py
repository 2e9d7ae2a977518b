"""The commands `victor init` and `victor new`, which write the first files."""

from __future__ import annotations

import re
from pathlib import Path

import click

from victor_engine.cli import skeletons
from victor_engine.cli.output import print_line
from victor_engine.cli.schema import DIRECTORY, schema_line, write_schemas
from victor_engine.errors import ConflictError, NotFoundError, UsageError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@click.command()
@click.argument("directory", default=".", type=click.Path(file_okay=False, path_type=Path))
def init(directory: Path) -> None:
    """Write a workspace with one workflow into DIRECTORY (default: the current one)."""
    files = {
        "victor.yaml": schema_line("victor.yaml") + skeletons.CONFIGURATION,
        "workflows/hello.yaml": schema_line("workflow", "../") + skeletons.HELLO,
    }
    for name in files:
        if (directory / name).exists():
            raise ConflictError(f"{directory / name} exists already, and no file is replaced")
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        print_line(f"written: {path}")
    write_schemas(directory)
    print_line(f"written: {directory / DIRECTORY} (schemas for editors)")
    option = "" if directory == Path(".") else f" --workspace {directory}"
    print_line("Next, allow the engine to execute its commands, run the workflow, and open the console:")
    for command in (f"victor{option} trust", f"victor{option} run hello", f"victor-tui{option}"):
        print_line(f"  {command}")


@click.group()
def new() -> None:
    """Write the skeleton of a workflow, a schedule or a migration, with comments."""


@new.command("workflow")
@click.argument("name")
@click.pass_context
def workflow(ctx: click.Context, name: str) -> None:
    """Write workflows/NAME.yaml."""
    if _NAME.fullmatch(name) is None:
        raise UsageError(f"{name!r} cannot name a workflow: use a letter, then letters, digits, - and _")
    path = _workspace(ctx) / "workflows" / f"{name}.yaml"
    if path.exists():
        raise ConflictError(f"{path} exists already, and no file is replaced")
    path.parent.mkdir(exist_ok=True)
    write_schemas(path.parent.parent)
    path.write_text(schema_line("workflow", "../") + skeletons.WORKFLOW.format(name=name), "utf-8")
    print_line(f"written: {path}")


@new.command("schedule")
@click.argument("workflow")
@click.pass_context
def schedule(ctx: click.Context, workflow: str) -> None:
    """Add a schedule: block, which is disabled, to the file of WORKFLOW."""
    path = _add_block(_workspace(ctx), workflow, "schedule", skeletons.SCHEDULE)
    print_line(f"written: a disabled schedule in {path}; edit it, and remove enabled: false")


@new.command("migration")
@click.argument("workflow")
@click.option("--from", "old", required=True, metavar="VERSION", help="The version of the runs before it.")
@click.pass_context
def migration(ctx: click.Context, workflow: str, old: str) -> None:
    """Add a migrations: block to the file of WORKFLOW, which has the version after the migration."""
    path = _add_block(_workspace(ctx), workflow, "migrations", skeletons.MIGRATION.format(old=old))
    print_line(f"written: a migration from {old} in {path}; add its steps")


def _workspace(ctx: click.Context) -> Path:
    """Return the workspace. Raise NotFoundError if its directory has no victor.yaml."""
    from victor_engine.service.connect import find

    found = find(ctx.obj["workspace"], ctx.obj["state_dir"]).workspace
    if not (found / "victor.yaml").is_file():
        looked = ctx.obj["workspace"] or f"{Path.cwd()} and its parent directories"
        raise NotFoundError(f"no workspace: {looked} have no victor.yaml; write one with: victor init")
    return found


def _add_block(workspace: Path, workflow: str, key: str, block: str) -> Path:
    """Add a block to a workflow in its file, below its name. Return the file.

    Raise ConflictError if it has such a block, and UsageError, with the block, if the file cannot be changed.
    """
    from victor_engine.config import load_config
    from victor_engine.definition.loader import load_file

    for path in load_config(workspace).workflow_files():
        result = load_file(path, root=workspace)
        definition = result.workflows.get(workflow)
        if definition is None:
            continue
        if (definition.content or {}).get(key):
            raise ConflictError(f"{path}: workflow {workflow!r} has {key}: already; edit it there")
        text = path.read_text("utf-8")
        line, column = result.readers[workflow].place()  # of its first key
        lines = text.splitlines(keepends=True)
        indent = lines[line - 1][: column - 1]
        added = "".join(f"{indent}{each}\n" for each in block.splitlines())
        changed = "".join([*lines[: line - 1], added, *lines[line - 1 :]])
        if indent.strip() or not _still_loads(changed, path, workspace, workflow):
            raise UsageError(
                f"{path} cannot be changed safely; add this to workflow {workflow!r} there:\n{block}"
            )
        path.write_text(changed, "utf-8")
        return path
    raise NotFoundError(f"{workspace} has no file with the workflow {workflow!r}")


def _still_loads(text: str, path: Path, workspace: Path, workflow: str) -> bool:
    from victor_engine.definition.loader import load_text

    result = load_text(text, str(path), root=workspace)
    return result.ok and workflow in result.workflows
