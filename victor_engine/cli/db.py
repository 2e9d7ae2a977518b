"""The command group `victor db`: backups, checks, sizes and the export of the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from victor_engine.cli.output import local, print_json, print_line, print_note

if TYPE_CHECKING:
    from victor_engine.service.paths import Paths
    from victor_engine.store.queries.whole_store import Contents

NOT_INTACT = 9

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def db() -> None:
    """Back up, restore, check and measure the store.

    The commands read and write the files of the state directory, so they run as the user of the engine.
    """


def paths_of(ctx: click.Context) -> Paths:
    """Return the workspace and the state directory of a command."""
    from victor_engine.service.connect import find

    return find(ctx.obj["workspace"], ctx.obj["state_dir"])


def byte_text(size: int) -> str:
    """Return a number of bytes as text."""
    number = float(size)
    for unit in ("B", "KB", "MB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GB"


def _contents_text(found: Contents) -> str:
    last = f"event {found.last_event} of {local(found.at)}" if found.last_event else "no events"
    return f"{found.runs} runs, {found.active_runs} of them active, up to {last}"


@db.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@json_option
@click.pass_context
def backup(ctx: click.Context, target: Path, force: bool, as_json: bool) -> int:
    """Copy the store to TARGET, and check the copy. The engine can run.

    If TARGET is a directory, the file gets the name of the workspace and the time. The copy has every change that
    was acknowledged before the command. The key of secret answers is not in it. The exit code is 9 if the audit
    chain of the store is not intact; the copy is kept then.
    """
    from victor_engine.clock import SystemClock
    from victor_engine.service.store_files import back_up

    done = back_up(paths_of(ctx), target.expanduser(), SystemClock().now(), replace=force)
    if as_json:
        print_json(done)
    else:
        print_line(f"{done.copy.path}: {byte_text(done.copy.size)}, checked")
        print_line(_contents_text(done.copy.contents))
        for note in done.notes:
            print_note(note)
    return NOT_INTACT if done.audit_intact is False else 0


@db.command("restore")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a store that exists; it is kept under another name.")
@json_option
@click.pass_context
def restore(ctx: click.Context, source: Path, force: bool, as_json: bool) -> None:
    """Put the backup SOURCE in the place of the store. No engine may run.

    The backup is checked first. An older backup is upgraded when the next engine starts.
    """
    from victor_engine.clock import SystemClock
    from victor_engine.service.store_files import restore as put_back

    done = put_back(paths_of(ctx), source.expanduser(), SystemClock().now(), replace=force)
    if as_json:
        print_json(done)
        return
    print_line(f"{done.copy.path}: restored from {source}")
    print_line(_contents_text(done.copy.contents))
    if done.replaced is not None:
        print_line(f"the store that was there is {done.replaced}")
    for note in done.notes:
        print_note(note)
