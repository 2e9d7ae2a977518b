"""The command group `victor audit`, which exports, verifies and prunes the audit trail."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import click

from victor_engine.api import AuditHead, AuditQuery, Port
from victor_engine.cli.output import local, print_json, print_line, print_note, with_port
from victor_engine.text import plural

NOT_INTACT = 9
"""The exit code of `victor audit verify` if the chain is not intact."""


@click.group()
def audit() -> None:
    """Export and verify the audit trail: who decided what, and when."""


def export_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `audit export` and its alias `inbox audit` share."""
    for option in reversed(
        (
            click.argument("request", required=False),
            click.option("--run", "run_id", help="Only requests from this run."),
            click.option("--workflow", help="Only requests from this workflow."),
            click.option(
                "--since", type=click.DateTime(), help="Only requests opened at or after this local time."
            ),
            click.option(
                "--until", type=click.DateTime(), help="Only requests opened before this local time."
            ),
            click.option("--csv", "as_csv", is_flag=True, help="Print CSV, one line for each event."),
            click.option(
                "--json",
                "as_json",
                is_flag=True,
                help="Print JSON Lines, one line for each request (default).",
            ),
        )
    ):
        command = option(command)
    return command


def export_requests(
    ctx: click.Context,
    request: str | None,
    run_id: str | None,
    workflow: str | None,
    since: datetime | None,
    until: datetime | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Print the audit trail of requests as JSON Lines or CSV."""
    from victor_engine.errors import UsageError
    from victor_engine.people.audit import csv_lines, json_lines

    if as_csv and as_json:
        raise UsageError("give --csv or --json, not both")
    query = AuditQuery(
        request,
        run_id,
        workflow,
        since.astimezone() if since else None,
        until.astimezone() if until else None,
    )

    async def work(port: Port) -> None:
        head = True
        async for records in _pages(port, query):
            lines = csv_lines(records, head=head) if as_csv else json_lines(records)
            sys.stdout.writelines(lines)
            head = False

    with_port(ctx, "read", work)


async def _pages(port: Port, query: AuditQuery) -> AsyncIterator[tuple[dict[str, Any], ...]]:
    import msgspec

    page = await port.audit_history(query)
    yield page.records
    while page.next is not None:
        page = await port.audit_history(msgspec.structs.replace(query, after=page.next))
        yield page.records


@audit.command("export")
@export_options
@click.option("--chain", "as_chain", is_flag=True, help="Print the records of the chain with their digests.")
@click.pass_context
def export(ctx: click.Context, /, as_chain: bool, **selection: Any) -> None:
    """Export the audit trail.

    It contains the requests with their prompts, answers and actors, as they were recorded. With --chain, it
    contains every decision, as a third party needs it to check the digests.
    """
    if not as_chain:
        export_requests(ctx, **selection)
        return
    from victor_engine.errors import UsageError

    if any(selection.values()):
        raise UsageError("--chain exports every record, so give no other option")

    async def work(port: Port) -> None:
        after = (await port.audit_head()).pruned_seq
        while records := await port.audit_records(after):
            for found in records:
                # The text of the record is kept as it was hashed.
                sys.stdout.write(
                    f'{{"seq":{found.seq},"digest":"{found.digest}","record":{_printable(found.record)}}}\n'
                )
            after = records[-1].seq

    with_port(ctx, "read", work)


def _printable(record: str) -> str:
    from victor_engine.text import json_safe

    return json_safe(record)


@audit.command("head")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def head(ctx: click.Context, as_json: bool) -> None:
    """Print the head of the chain, NUMBER:DIGEST, which `verify --head` accepts.

    Keep it in a place that the user of the engine cannot change.
    """

    async def work(port: Port) -> None:
        found = await port.audit_head()
        print_json(found) if as_json else print_line(_head_text(found))

    with_port(ctx, "read", work)


def _head_text(found: AuditHead) -> str:
    return f"{found.seq}:{found.digest}"


@audit.command("verify")
@click.option("--head", "saved", metavar="HEAD", help="Also check that the chain contains this saved head.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify(ctx: click.Context, saved: str | None, as_json: bool) -> int:
    """Check that no decision was changed, deleted or inserted.

    The exit code is 0 if the chain is intact, and 9 if it is not. HEAD is a digest, or NUMBER:DIGEST as
    `victor audit head` prints it. Only with it are a cut tail and a chain that was computed anew found.
    """

    async def work(port: Port) -> int:
        report = await port.verify_audit(saved)
        if as_json:
            print_json(report)
        else:
            for finding in report.findings:
                print_line(f"{finding.kind}: {finding.message}")
            if report.differences > len(report.findings):
                print_line(f"and {report.differences - len(report.findings)} more")
            pruned = f", after a checkpoint at {report.head.pruned_seq}" if report.head.pruned_seq else ""
            if report.intact:
                print_line(
                    f"intact: {plural(report.records, 'record')}{pruned}, head {_head_text(report.head)}"
                )
                if saved is None:
                    print_note("use --head with a head that you saved to find a tail that was cut off")
            else:
                print_line(
                    f"NOT intact: {plural(report.differences, 'difference')} in "
                    f"{plural(report.records, 'record')}{pruned}"
                )
        return 0 if report.intact else NOT_INTACT

    return with_port(ctx, "read", work)


@audit.command("prune")
@click.option(
    "--before", type=click.DateTime(), required=True, help="Delete the records from before this local time."
)
@click.option("--note", default="", help="Text for the record of this command.")
@click.pass_context
def prune(ctx: click.Context, before: datetime, note: str) -> None:
    """Delete old records of the chain, and keep a checkpoint.

    The requests and events remain. Export the chain first if you have to keep its records.
    """

    async def work(port: Port) -> None:
        found = await port.prune_audit(before.astimezone(), note)
        if found.pruned_seq:
            print_line(f"the checkpoint is {found.pruned_seq}:{found.pruned_digest}")
        else:
            print_line(f"no record is older than {local(before.astimezone())}")

    with_port(ctx, "oneshot", work)
