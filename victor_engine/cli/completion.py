"""The command `victor completion`, which prints the completion script of a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script with which SHELL completes commands and options of victor.

    For bash, write it to ~/.local/share/bash-completion/completions/victor. For zsh, write it to a file _victor in a
    directory of $fpath. For fish, write it to ~/.config/fish/completions/victor.fish.
    """
    from victor_engine.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None
    script = found(cli, {}, "victor", "_VICTOR_COMPLETE")
    # Without the check of the version of bash: the script may be written on another machine.
    click.echo(script.source_template % script.source_vars())
