"""The option `--plan TOKEN`, which applies exactly the items of a dry run."""

from __future__ import annotations

import sys

import click

from victor_engine.cli.output import print_line, print_note

LONG = 4000
"""Maximum number of characters of a token that is printed. `--json` prints longer tokens."""

LISTED = 50
"""Maximum number of items of a result that are printed."""

LEFT_OUT = 5
"""The exit code if an item was left out."""

plan_option = click.option(
    "--plan",
    "token",
    metavar="TOKEN",
    help="Apply exactly the items of the dry run with this token; - reads the token from standard input.",
)


def read_token(given: str | None) -> str | None:
    """Return the token, read from standard input for `-`."""
    return sys.stdin.read().strip() if given == "-" else given


def print_plan(token: str) -> None:
    """Print the token of a plan."""
    if len(token) > LONG:
        print_note(
            "the token is too long to print: --json prints it as `plan`; --plan - reads it on standard input"
        )
    else:
        print_line(f"plan: {token}")
