"""The command `victor-tui serve`."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import secrets
import sys
import time
from collections.abc import Sequence

from victor_engine.addresses import address_of, address_text, is_loopback, listening_socket
from victor_engine.config import load_config
from victor_engine.errors import ConfigError, EngineUnavailableError, UsageError, VictorError
from victor_engine.service.connect import find, open_console


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line of `victor-tui serve`."""
    parser = argparse.ArgumentParser(
        prog="victor-tui serve",
        description="Serve the console to browsers of this machine, until Ctrl-C or SIGTERM.",
    )
    parser.add_argument("--workspace", metavar="DIR", help="default: the nearest parent with a victor.yaml")
    parser.add_argument("--state", metavar="DIR", help="default: VICTOR_STATE, or one per workspace")
    parser.add_argument(
        "--listen", metavar="ADDRESS:PORT", help="loopback address; default: serve.listen, or 127.0.0.1:8471"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Serve the console, and return the exit code."""
    given = parser().parse_args(argv)
    try:
        _serve(given)
    except VictorError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code
    return 0


def _serve(given: argparse.Namespace) -> None:
    for name in ("aiohttp", "textual_serve"):
        if importlib.util.find_spec(name) is None:
            raise ConfigError(f"victor-tui serve needs the package {name}: pip install 'victor-tui[web]'")
    from victor_tui.serving import server
    from victor_tui.serving.sessions import Sessions

    paths = find(given.workspace, given.state)
    host, port = loopback(given.listen or load_config(paths.workspace).serve.listen)
    asyncio.run(_check_engine(given.workspace, given.state))
    bound = listening_socket(host, port)
    token = secrets.token_urlsafe(32)
    print(
        f"http://{address_text(host, bound.getsockname()[1])}/#{token}\n"
        f"opens the console on {paths.workspace}. The address contains the token: it is as good as your password",
        file=sys.stderr,
        flush=True,
    )
    command = server.console_command(given.workspace, given.state)
    server.serve(bound, server.ConsoleServer(command, Sessions(token, time.monotonic)))


def loopback(listen: str) -> tuple[str, int]:
    """Return an address and a port. Raise UsageError unless only this machine can reach the address."""
    found = address_of(listen)
    if found is None or not is_loopback(found[0]):
        raise UsageError(
            f"{listen!r} is not a loopback address with a port, such as 127.0.0.1:8471. From another machine, use a "
            "tunnel: ssh -L 8471:127.0.0.1:8471 HOST"
        )
    return found


async def _check_engine(workspace: str | None, state: str | None) -> None:
    """Raise EngineUnavailableError, with the command that starts an engine, if none runs."""
    try:
        port, _ = await open_console(workspace=workspace, state=state, attach_only=True, via="web")
    except EngineUnavailableError as error:
        how = "start one with `victor scheduler start`"
        message = error.message if "victor scheduler start" in error.message else f"{error.message}; {how}"
        raise EngineUnavailableError(message) from error
    await port.close()
