"""`victor-tui`: reads its arguments before anything heavy is imported, then opens the console."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from victor_engine.api import Port


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("victor-tui")
    except PackageNotFoundError:
        return "(not installed)"


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="victor-tui",
        description="Operations console for workflows: schedules, runs, people, history, versions.",
    )
    parser.add_argument("--workspace", metavar="DIR", help="default: the nearest parent with a victor.yaml")
    parser.add_argument("--state", metavar="DIR", help="default: VICTOR_STATE, or one per workspace")
    parser.add_argument("--attach", action="store_true", help="use a running engine; never start one")
    parser.add_argument("--read-only", action="store_true", help="look only: no engine, no writes")
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the console; the exit code is 0 after a normal end."""
    arguments = parse_arguments(argv)
    if arguments.version:
        print(f"victor-tui {_version()}")
        return 0
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        print(
            "victor-tui needs a terminal: without one, use `victor run` or `victor scheduler start`.",
            file=sys.stderr,
        )
        return 2

    from victor_tui.app import HAND_OVER, VictorApp

    starts = not arguments.attach

    async def connect() -> Port:
        """Start an engine at the console's own start or after a key; else only attach to one."""
        from victor_engine.service.connect import open_console

        nonlocal starts
        port, _ = await open_console(
            workspace=arguments.workspace,
            state=arguments.state,
            attach_only=not starts,
            read_only=arguments.read_only,
        )
        starts = False
        return port

    def may_start() -> None:
        nonlocal starts
        starts = True

    from victor_engine.identity import current_actor, local_actor

    # Every task of the console starts in this context, so each action carries the person's name.
    current_actor.set(local_actor("console"))
    never = arguments.attach or arguments.read_only
    app = VictorApp(connect, may_start=None if never else may_start)
    result = app.run(mouse=not os.environ.get("VICTOR_NO_MOUSE"))
    if result == HAND_OVER:
        start_daemon(arguments)
    return app.return_code or 0


def start_daemon(arguments: argparse.Namespace) -> None:
    """Become `victor scheduler start` for the same workspace and state; does not return."""
    env = dict(os.environ)
    if arguments.state:
        env["VICTOR_STATE"] = os.path.abspath(arguments.state)
    if arguments.workspace:
        os.chdir(arguments.workspace)
    os.execvpe(sys.executable, [sys.executable, "-m", "victor_engine.cli.main", "scheduler", "start"], env)


if __name__ == "__main__":
    sys.exit(main())
