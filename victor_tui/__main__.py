"""The command `victor-tui`. It parses its arguments before it imports the application."""

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


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="victor-tui",
        description="Operations console for workflows: schedules, runs, people, history, versions. "
        "`victor-tui serve` serves it to browsers of this machine.",
    )
    parser.add_argument("--workspace", metavar="DIR", help="default: the nearest parent with a victor.yaml")
    parser.add_argument("--state", metavar="DIR", help="default: VICTOR_STATE, or one per workspace")
    parser.add_argument(
        "--config", metavar="FILE", help="read this scheduler.yaml for an engine of this console"
    )
    parser.add_argument("--attach", action="store_true", help="attach to a running engine; do not start one")
    parser.add_argument(
        "--read-only", action="store_true", help="read only: start no engine and change nothing"
    )
    parser.add_argument(
        "--engine",
        choices=("ask", "daemon", "console"),
        help="if no engine runs: start a daemon, run the engine in this console, or ask; default over SSH: the "
        "remembered answer, else ask; otherwise: console",
    )
    parser.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    return parser


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    arguments = parser().parse_args(argv)
    if arguments.config:
        arguments.config = os.path.abspath(os.path.expanduser(arguments.config))
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the console, and return the exit code: 0 after a normal end."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["serve"]:
        from victor_tui.serving.command import main as serve

        return serve(words[1:])
    arguments = parse_arguments(words)
    if arguments.version:
        print(f"victor-tui {_version()}")
        return 0
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        print(
            "victor-tui needs a terminal: without one, use `victor run` or `victor scheduler start`.",
            file=sys.stderr,
        )
        return 2

    if not (arguments.attach or arguments.read_only):
        from victor_engine.errors import VictorError
        from victor_tui.engine_choice import prepare

        try:
            if not prepare(arguments.workspace, arguments.state, arguments.engine, arguments.config):
                return 1
        except VictorError as error:
            print(f"error: {error.message}", file=sys.stderr)
            return error.exit_code
        except KeyboardInterrupt:
            print(file=sys.stderr)
            return 130

    from victor_tui.keymap import keymap_path, read_keymap
    from victor_tui.keys import use_keymap

    use_keymap(read_keymap(keymap_path()))
    from victor_tui.app import HAND_OVER, VictorApp

    can_start = not arguments.attach

    async def connect() -> Port:
        """Return a port.

        Start an engine at the start of the console or on request, else only attach to one.
        """
        from pathlib import Path

        from victor_engine.service.connect import open_console

        nonlocal can_start
        port, _ = await open_console(
            workspace=arguments.workspace,
            state=arguments.state,
            attach_only=not can_start,
            read_only=arguments.read_only,
            config_file=Path(arguments.config) if arguments.config else None,
        )
        can_start = False
        return port

    def allow_start() -> None:
        nonlocal can_start
        can_start = True

    from victor_engine.identity import current_actor, local_actor

    # All tasks of the console inherit this context, so each command has the name of the user.
    current_actor.set(local_actor("console"))
    never = arguments.attach or arguments.read_only
    app = VictorApp(connect, allow_start=None if never else allow_start, remember=True)
    result = app.run(mouse=not (arguments.no_mouse or os.environ.get("VICTOR_NO_MOUSE")))
    if result == HAND_OVER:
        start_daemon(arguments)
    return app.return_code or 0


def start_daemon(arguments: argparse.Namespace) -> None:
    """Replace this process with `victor scheduler start` for the same workspace and state."""
    env = dict(os.environ)
    if arguments.state:
        env["VICTOR_STATE"] = os.path.abspath(arguments.state)
    if arguments.workspace:
        os.chdir(arguments.workspace)
    words = [sys.executable, "-m", "victor_engine.cli.main", "scheduler", "start"]
    if arguments.config:
        words += ["--config", arguments.config]
    os.execvpe(sys.executable, words, env)


if __name__ == "__main__":
    sys.exit(main())
