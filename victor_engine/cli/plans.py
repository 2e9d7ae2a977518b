"""`--plan TOKEN`: apply what a dry run has shown, and nothing else."""

from __future__ import annotations

import sys

import click

from victor_engine.cli.output import note, say

LONG = 4000
"""Characters of a token above which it is printed by `--json` only."""

LISTED = 50
"""Items of a result that are listed one by one."""

LEFT_OUT = 5
"""The exit code where an item was left out."""

plan_option = click.option(
    "--plan",
    "token",
    metavar="TOKEN",
    help="Apply what --dry-run showed and nothing else; - reads the token from standard input.",
)


def read_token(given: str | None) -> str | None:
    """Return the token that was given, from standard input for `-`."""
    return sys.stdin.read().strip() if given == "-" else given


def tell_plan(token: str) -> None:
    """Print the token of a plan."""
    if len(token) > LONG:
        note("the plan is long: --json prints its token as `plan`; give it to --plan - on standard input")
    else:
        say(f"plan: {token}")
