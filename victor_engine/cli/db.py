"""The command group `victor db`: backups, checks, sizes and the export of the store."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from victor_engine.cli.db_prune import prune
from victor_engine.cli.output import local, print_json, print_line, print_note, table
from victor_engine.text import json_safe

if TYPE_CHECKING:
    import sqlite3

    from victor_engine.service.paths import Paths
    from victor_engine.service.store_files import CheckInfo
    from victor_engine.store.queries.whole_store import Contents

NOT_INTACT = 9

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def db() -> None:
    """Back up, restore, check and measure the store.

    The commands read and write the files of the state directory, so they run as the user of the engine.
    """


db.add_command(prune)


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


@db.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--save", type=click.Path(path_type=Path), help="Write the readable rows of a damaged store to a file."
)
@json_option
@click.pass_context
def check(ctx: click.Context, file: Path | None, save: Path | None, as_json: bool) -> int:
    """Check the store, or the store in FILE: pages, indexes, references and the audit chain.

    The exit code is 8 if the store is damaged, and 9 if only its audit chain is not intact. The engine can run. For a
    damaged store, the command prints what can be saved and how.
    """
    from victor_engine.service.store_files import check as examine

    found = examine(paths_of(ctx), file.expanduser() if file else None, save.expanduser() if save else None)
    if as_json:
        print_json(found)
    elif not found.damage:
        assert found.contents is not None
        print_line(f"{found.path}: sound, schema {found.contents.schema}")
        print_line(_contents_text(found.contents))
        if found.audit_intact is False:
            print_line("the audit chain is NOT intact; see: victor audit verify")
    else:
        _print_damage(found)
    return 8 if found.damage else NOT_INTACT if found.audit_intact is False else 0


def _print_damage(found: CheckInfo) -> None:
    print_line(f"{found.path}: damaged")
    for line in found.damage[:10]:
        print_line(f"  {line}")
    if len(found.damage) > 10:
        print_note(f"{len(found.damage) - 10} more; --json prints them")
    lost = [each.table for each in found.tables if not each.complete]
    if not found.tables:
        print_line("no row can be read")
    elif not lost:
        print_line("each row can be read; only indexes or references are damaged")
    else:
        table(
            ("table", "readable rows", ""),
            [(t.table, t.rows, "" if t.complete else "incomplete") for t in found.tables],
        )
        print_line(f"rows are lost in {', '.join(lost)}")
    print_line("to repair it, stop the engine: victor scheduler stop")
    print_line("then restore the newest backup: victor db restore --force FILE")
    if found.saved is not None:
        print_line(f"or restore the rows that were saved: victor db restore --force {found.saved}")
        if found.audit_intact is False:
            print_note("the audit chain of the saved rows is not intact")
    elif found.tables:
        print_line(
            f"or save the readable rows: victor db check {_argument(found.path)}--save FILE, and restore that"
        )


def _argument(path: str) -> str:
    import shlex

    return f"{shlex.quote(path)} "


@db.command("size")
@json_option
@click.pass_context
def size(ctx: click.Context, as_json: bool) -> None:
    """Print the size of the store by table, and of the other files of the state directory."""
    from victor_engine.service.store_files import size as measure

    found = measure(paths_of(ctx))
    if as_json:
        print_json(found)
        return
    store = found.store
    print_line(
        f"{found.path}: {byte_text(store.bytes)}, of which {byte_text(store.free)} are free for new rows"
    )
    if store.oldest is not None:
        print_line(f"runs from {local(store.oldest)} to {local(store.newest)}")
    rows = [(t.table, t.rows, "-" if t.bytes is None else byte_text(t.bytes)) for t in store.tables if t.rows]
    table(("table", "rows", "size"), rows)
    for name, count in found.files.items():
        if name != "victor.db":
            print_line(f"{name}: {byte_text(count)}")
    print_line(f"free on the disk: {byte_text(found.disk_free)}")


@db.command("vacuum")
@click.pass_context
def vacuum(ctx: click.Context) -> None:
    """Write the store anew without free pages, and give their space back to the disk. No engine may run.

    A running engine uses free pages for new rows, so this is only useful after much history was deleted.
    """
    from victor_engine.service.store_files import vacuum as shrink

    before, after = shrink(paths_of(ctx))
    print_line(f"{byte_text(before)} before, {byte_text(after)} now")


@db.command("export")
@click.option("--output", type=click.Path(path_type=Path), help="Write to a file that does not exist yet.")
@click.option("--since", type=click.DateTime(), help="Only objects from this local time on.")
@click.option("--until", type=click.DateTime(), help="Only objects before this local time.")
@click.option("--workflow", help="Only objects of this workflow.")
@click.option("--type", "kinds", multiple=True, help="Only objects of this type; repeatable.")
@click.pass_context
def export(
    ctx: click.Context,
    output: Path | None,
    since: datetime | None,
    until: datetime | None,
    workflow: str | None,
    kinds: tuple[str, ...],
) -> None:
    """Print the history as JSON Lines: one object for each line, with its type. The engine can run.

    Secret answers are not exported.
    """
    from victor_engine.clock import to_us
    from victor_engine.errors import UsageError
    from victor_engine.service.store_files import read
    from victor_engine.store.maintenance.copying import new_file
    from victor_engine.store.queries.history_lines import KINDS, history

    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise UsageError(f"the type {unknown[0]!r} does not exist; the types are {', '.join(KINDS)}")

    def write(connection: sqlite3.Connection, file: TextIO) -> int:
        lines = history(
            connection,
            kinds or tuple(KINDS),
            since=to_us(since.astimezone()) if since else None,
            until=to_us(until.astimezone()) if until else None,
            workflow=workflow,
        )
        return export_lines(file, lines)

    if output is None:
        begun = False

        def once(connection: sqlite3.Connection) -> int:
            nonlocal begun
            if begun:
                raise UsageError(
                    "an engine started during the export, and the output is incomplete; export again"
                )
            begun = True
            return write(connection, sys.stdout)

        read(paths_of(ctx), once)
        return
    with new_file(output.expanduser()) as partial, partial.open("w", encoding="utf-8") as file:

        def anew(connection: sqlite3.Connection) -> int:
            file.seek(0)
            file.truncate()
            return write(connection, file)

        count = read(paths_of(ctx), anew)
    print_line(f"{output}: {count} objects")


def export_lines(file: TextIO, lines: Iterable[dict[str, Any]]) -> int:
    """Write objects as JSON Lines, and return their number."""
    safe = file.isatty()
    count = 0
    for line in lines:
        text = json.dumps(line, ensure_ascii=False)
        file.write((json_safe(text) if safe else text) + "\n")
        count += 1
    return count
