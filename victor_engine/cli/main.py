"""The `victor` command. Each command has its own module, which is imported when the command is called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from victor_engine.errors import VictorError

COMMANDS = {
    "init": ("victor_engine.cli.init", "init", "Write a workspace with one workflow."),
    "new": ("victor_engine.cli.init", "new", "Write the skeleton of a workflow, a schedule or a migration."),
    "run": ("victor_engine.cli.run", "run", "Start a workflow."),
    "ask": ("victor_engine.cli.ask", "ask", "Ask people a question and wait for the answer."),
    "gate": ("victor_engine.cli.gate", "gate", "Run a command after a person has allowed it."),
    "mcp": ("victor_engine.cli.mcp_server", "mcp", "Serve tools for an AI agent (Model Context Protocol)."),
    "api": ("victor_engine.cli.api", "api", "Serve the engine over HTTP for programs; manage their tokens."),
    "validate": ("victor_engine.cli.validate", "validate", "Check workflow files."),
    "schema": ("victor_engine.cli.schema", "schema", "Print the JSON Schemas of the files, for editors."),
    "test": ("victor_engine.cli.workflow_tests", "test", "Run the tests of workflow files."),
    "inbox": ("victor_engine.cli.inbox", "inbox", "List and answer requests to people."),
    "plan": ("victor_engine.cli.deploy", "plan", "Compare the files with the versions in force."),
    "deploy": ("victor_engine.cli.deploy", "deploy", "Put the versions and schedules of the files in force."),
    "audit": ("victor_engine.cli.audit", "audit", "Export and verify the audit trail."),
    "db": ("victor_engine.cli.db", "db", "Back up, restore and check the store."),
    "runs": (
        "victor_engine.cli.runs",
        "runs",
        "Show and control runs; list dead letters.",
    ),
    "scheduler": ("victor_engine.cli.scheduler", "scheduler", "Control the daemon and its schedules."),
    "secrets": ("victor_engine.cli.secrets", "secrets", "Check the secrets that the workspace uses."),
    "notify": ("victor_engine.cli.notify", "notify", "List and test the notification rules."),
    "versions": (
        "victor_engine.cli.versions",
        "versions",
        "Show and control versions and aliases; migrate runs.",
    ),
    "config": ("victor_engine.cli.config_show", "config", "Show the effective settings and their places."),
    "completion": ("victor_engine.cli.completion", "completion", "Print the completion script of a shell."),
    "trust": (
        "victor_engine.cli.trust",
        "trust",
        "Trust this workspace: allow the engine to execute its content.",
    ),
}


class LazyGroup(click.Group):
    """A group that imports only the command that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        found = COMMANDS.get(name)
        if found is None:
            return None
        command: click.Command = getattr(import_module(found[0]), found[1])
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from victor_engine.config.yaml_locations import did_you_mean

            raise click.UsageError(
                f"the command {args[0]!r} does not exist. {did_you_mean(args[0], COMMANDS)}", ctx
            )
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # The method of the base class imports each command to find out whether it is hidden.
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=text)
            for name, (_, _, text) in COMMANDS.items()
            if name.startswith(incomplete)
        ]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # The texts are in COMMANDS so that the help does not import the commands.
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--workspace",
    metavar="DIR",
    help="Workspace; default: the nearest parent directory with a victor.yaml, or ~/.victor.",
)
@click.option(
    "--state-dir", metavar="DIR", help="State directory; default: VICTOR_STATE, or one for each workspace."
)
@click.version_option(package_name="victor-tui", prog_name="victor")
@click.pass_context
def cli(ctx: click.Context, workspace: str | None, state_dir: str | None) -> None:
    """Run, schedule and inspect workflows, and answer their requests."""
    ctx.obj = {"workspace": workspace, "state_dir": state_dir}


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code. Errors are printed on standard error.

    `victor_engine.cli.exit_codes` has the exit codes.
    """
    try:
        result = cli.main(args=argv, prog_name="victor", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        _fail(error.format_message())
        return 2
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted")
        return 130
    except VictorError as error:
        _fail(error.message)
        return error.exit_code
    except BrokenPipeError:
        # The reader of the pipe has closed it. Discard the rest of the buffer.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        file = f"{error.filename}: " if error.filename else ""
        _fail(f"{file}{error.strerror or error}")
        return 6 if isinstance(error, PermissionError) else 1


def _fail(message: str) -> None:
    from victor_engine.cli.output import print_error

    print_error(message)


def entry() -> None:
    sys.exit(main())


if __name__ == "__main__":
    entry()
