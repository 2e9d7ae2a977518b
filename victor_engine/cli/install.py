"""The commands `victor scheduler install` and `uninstall`, which write and remove a systemd unit."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from victor_engine.cli import service_trust
from victor_engine.cli.output import print_line, print_note
from victor_engine.errors import ConfigError, PermissionDeniedError, StoreError, UsageError

NAME = "victor-scheduler.service"
SYSTEM_KEY = Path("/etc/victor/answers.key")
"""The key of secret answers of a service, if it exists."""

output_option = click.option(
    "--output",
    type=click.Path(path_type=Path),
    help=f"Path of the unit file; default: /etc/systemd/system/{NAME}, or that of the user.",
)
user_unit_option = click.option(
    "--user-unit", is_flag=True, help="A unit of the service manager of this user."
)


def _default_output(user_unit: bool) -> Path:
    if not user_unit:
        return Path("/etc/systemd/system") / NAME
    base = os.environ.get("XDG_CONFIG_HOME") or ""
    root = Path(base) if base.startswith("/") else Path.home() / ".config"
    return root / "systemd" / "user" / NAME


@click.command("install")
@click.option("--user", default=None, help="User that runs the service; default: the current user.")
@user_unit_option
@click.option("-c", "--config", type=click.Path(path_type=Path), help="The scheduler.yaml of the service.")
@click.option(
    "--hardened", is_flag=True, help="Restrict the engine and its commands; each directive has a comment."
)
@click.option(
    "--allow-write",
    "writable",
    type=click.Path(path_type=Path),
    multiple=True,
    help="With --hardened: a path to which commands may write, in addition to the workspace; repeatable.",
)
@click.option(
    "--credential",
    "credentials",
    metavar="NAME=FILE",
    multiple=True,
    help="A credential from a file; repeatable.",
)
@click.option(
    "--on-failure", default="", metavar="UNIT", help="The unit that is started when the engine fails."
)
@output_option
@click.option("--print", "as_print", is_flag=True, help="Print the unit and write nothing.")
@click.option("--force", is_flag=True, help="Replace a unit that was edited.")
@click.option("--yes", is_flag=True, help="Trust the content of the workspace without confirmation.")
@click.pass_context
def install(
    ctx: click.Context,
    user: str | None,
    user_unit: bool,
    config: Path | None,
    hardened: bool,
    writable: tuple[Path, ...],
    credentials: tuple[str, ...],
    on_failure: str,
    output: Path | None,
    as_print: bool,
    force: bool,
    yes: bool,
) -> None:
    """Write a systemd unit that runs the engine as a service, and trust the content that it executes.

    Checks that the user of the service can read what it needs. Shows the content and asks on a terminal; root records
    the trust.

    The unit starts the Python interpreter that runs now. A unit that was edited is replaced only with --force; make
    changes with `systemctl edit` instead.
    """
    from victor_engine.service.connect import find
    from victor_engine.service.paths import workspace_name
    from victor_engine.service.unit import Unit

    if user_unit and user is not None:
        raise UsageError("--user-unit is for the current user; omit --user")
    if writable and not hardened:
        raise UsageError(
            "--allow-write is for --hardened: without it, commands may write where their user may"
        )
    if config is not None and not config.expanduser().is_file():
        raise UsageError(
            f"{config}: the file does not exist; omit --config or give the path of a scheduler.yaml"
        )
    workspace = find(ctx.obj["workspace"], ctx.obj["state_dir"]).workspace.absolute()
    given = dict(_credential(text) for text in credentials)
    if not user_unit and SYSTEM_KEY.exists():
        given.setdefault("victor-answers.key", SYSTEM_KEY)
    unit = Unit(
        program=(sys.executable, "-m", "victor_engine.cli.main"),
        workspace=workspace,
        name=workspace_name(workspace),
        user=None if user_unit else _user(user),
        config=config.expanduser().absolute() if config is not None else None,
        hardened=hardened,
        writable=tuple(_existing(path) for path in writable),
        credentials=given,
        on_failure=on_failure,
    )
    text = unit.text()
    _note_credentials(workspace, config, given)
    if as_print:
        click.echo(text, nl=False)
        return
    target = output or _default_output(user_unit)
    loaded = None
    if unit.user is not None:
        loaded = service_trust.checked(unit.user, workspace, unit.config, unit.program)
    _write(target, text, force)
    print_line(f"wrote {target}")
    if loaded is not None and unit.user is not None:
        service_trust.ask(loaded, unit.user, unit.config, yes)
    print_line("now run:")
    systemctl = "systemctl --user" if user_unit else "sudo systemctl"
    print_line(f"  {systemctl} daemon-reload\n  {systemctl} enable --now {target.stem}")


def _user(name: str | None) -> str:
    import getpass
    import pwd

    found = name or getpass.getuser()
    try:
        pwd.getpwnam(found)
    except (KeyError, ValueError):
        print_note(
            f"the user {found!r} does not exist on this machine; create it before the start of the service"
        )
    return found


def _credential(text: str) -> tuple[str, Path]:
    name, equals, file = text.partition("=")
    if not equals:
        raise UsageError(f"{text!r} is not a credential; write NAME=FILE")
    path = Path(file).expanduser().absolute()
    if not path.is_file():
        raise UsageError(
            f"{path}: the file of the credential {name} does not exist, and the service would not start"
        )
    return name, path


def _existing(path: Path) -> Path:
    found = path.expanduser().absolute()
    if not found.exists():
        raise UsageError(f"{found} does not exist, and the service would not start; create it first")
    return found


def _note_credentials(workspace: Path, config: Path | None, given: dict[str, Path]) -> None:
    """Print the credentials that the configuration names and that the unit does not load."""
    from victor_engine.config import load_config

    try:
        secrets = load_config(workspace, config_file=config).secrets
    except ConfigError as error:
        print_note(f"the configuration has an error, and the engine will not start: {error.message}")
        return
    for name, source in secrets.items():
        if source.credential is not None and source.credential not in given:
            print_note(
                f"the secret {name} reads the credential {source.credential}, which the unit does not load; give "
                f"--credential {source.credential}=FILE"
            )


def _write(target: Path, text: str, force: bool) -> None:
    from victor_engine.service.unit import is_own

    try:
        if target.exists() and not force and not is_own(target.read_text("utf-8", "replace")):
            raise StoreError(
                f"{target} was edited, or is not of this command; give --force to replace it, or --output FILE"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    except PermissionError:
        raise PermissionDeniedError(
            f"permission denied: cannot write {target}; use sudo, or choose another file with --output FILE"
        ) from None
    except OSError as error:
        raise UsageError(
            f"cannot write {target}: {error.strerror}; choose another file with --output FILE"
        ) from None


@click.command("uninstall")
@user_unit_option
@output_option
@click.option("--force", is_flag=True, help="Delete a unit that was edited.")
def uninstall(user_unit: bool, output: Path | None, force: bool) -> None:
    """Delete the systemd unit. The state of the engine stays."""
    from victor_engine.service.unit import is_own

    target = output or _default_output(user_unit)
    try:
        if not force and not is_own(target.read_text("utf-8", "replace")):
            raise StoreError(f"{target} was edited, or is not of this command; give --force to delete it")
        target.unlink()
    except FileNotFoundError:
        raise UsageError(f"{target} does not exist; give the path of the unit with --output FILE") from None
    except PermissionError:
        raise PermissionDeniedError(f"permission denied: cannot delete {target}; use sudo") from None
    print_line(f"deleted {target}; now run:")
    systemctl = "systemctl --user" if user_unit else "sudo systemctl"
    print_line(f"  {systemctl} disable --now {target.stem}\n  {systemctl} daemon-reload")
