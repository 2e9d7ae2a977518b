"""Generate the man pages in `man/` from the commands: ``python -m tests.write_man``."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from victor_engine.cli.exit_codes import MEANINGS
from victor_engine.cli.main import COMMANDS, cli
from victor_tui.__main__ import parser
from victor_tui.serving.command import parser as serve_parser

FOLDER = Path(__file__).parents[1] / "man"


def pages() -> dict[str, str]:
    """Return the text of each page by its file name."""
    root = click.Context(cli, info_name="victor")
    found = {"victor.1": _victor(root), "victor-tui.1": _console(), "victor-tui-serve.1": _serve()}
    for name, (_, _, summary) in COMMANDS.items():
        command = cli.get_command(root, name)
        assert command is not None
        found[f"victor-{name}.1"] = _command(command, click.Context(command, root, name), summary)
    return found


def _victor(context: click.Context) -> str:
    lines = [
        *_head("victor", "run and schedule workflows, and answer their requests"),
        *_synopsis("victor", cli.collect_usage_pieces(context)),
        *_section("Description", _paragraphs(cli.help)),
        *_section("Options", _options(cli, context)),
        ".SH COMMANDS",
        *(line for name, (_, _, text) in COMMANDS.items() for line in _item(f"victor-{name}(1)", text)),
        ".SH EXIT STATUS",
        *(line for code, text in MEANINGS.items() for line in _item(str(code), text)),
        ".SH ENVIRONMENT",
        *_item("VICTOR_STATE", "The state directory."),
        *_item("VICTOR_*", "Settings, such as VICTOR_SCHEDULER_DRAIN_TIMEOUT. They override the files."),
        ".SH FILES",
        *_item("victor.yaml", "The configuration of a workspace. Its directory is the workspace."),
        *_item("~/.victor/scheduler.yaml", "The configuration of a user."),
        *_item("/etc/victor/scheduler.yaml", "The configuration of the machine."),
        *_see_also("victor-tui", *(f"victor-{name}" for name in COMMANDS)),
    ]
    return _text(lines)


def _command(command: click.Command, context: click.Context, summary: str) -> str:
    title = f"victor-{context.info_name}"
    lines = [
        *_head(title, summary.rstrip(".")),
        *_synopsis(context.command_path, command.collect_usage_pieces(context)),
        *_section("Description", _paragraphs(command.help)),
        *_section("Options", _options(command, context)),
        *_section("Commands", _subcommands(command, context)),
        *_see_also("victor", "victor-tui"),
    ]
    return _text(lines)


def _console() -> str:
    return _page("victor-tui", "operations console for workflows", parser(), "victor", "victor-tui-serve")


def _serve() -> str:
    return _page("victor-tui serve", "operations console in a browser", serve_parser(), "victor-tui")


def _page(name: str, summary: str, arguments: argparse.ArgumentParser, *others: str) -> str:
    options = [
        line
        for action in arguments._actions
        for line in _item(_usage(action), _help(action))  # the public interface prints only the whole text
    ]
    lines = [
        *_head(name.replace(" ", "-"), summary),
        *_synopsis(name, ["[OPTIONS]"]),
        *_section("Description", _paragraphs(arguments.description)),
        *_section("Options", options),
        *_see_also(*others),
    ]
    return _text(lines)


def _usage(action: argparse.Action) -> str:
    value = action.metavar or ("{" + ",".join(action.choices) + "}" if action.choices else "")
    return f"{', '.join(action.option_strings)} {value}".strip()


def _help(action: argparse.Action) -> str:
    text = action.help or ""
    return f"{text[:1].upper()}{text[1:]}."


def _subcommands(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the commands of a group, with the commands of their groups."""
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        if found is None or found.hidden:
            continue
        inner = click.Context(found, context, name)
        yield f".SS {_escaped(' '.join([inner.command_path, *found.collect_usage_pieces(inner)]))}"
        yield from _paragraphs(found.help)
        yield from _options(found, inner)
        yield from _subcommands(found, inner)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1] and "--help" not in parameter.opts:
            yield from _item(*record)


def _head(name: str, summary: str) -> list[str]:
    title = [f'.TH {name.upper()} 1 "" victor-tui "User Commands"', ".SH NAME"]
    return [*title, f"{_escaped(name)} \\- {_escaped(summary[:1].lower() + summary[1:])}"]


def _synopsis(path: str, pieces: list[str]) -> list[str]:
    return [".SH SYNOPSIS", f"\\fB{_escaped(path)}\\fP {_escaped(' '.join(pieces))}"]


def _section(title: str, lines: Iterator[str] | list[str]) -> list[str]:
    body = list(lines)
    return [f".SH {title.upper()}", *body] if body else []


def _see_also(*names: str) -> list[str]:
    return [".SH SEE ALSO", ",\n".join(f"\\fB{_escaped(name)}\\fP(1)" for name in names)]


def _item(term: str, text: str) -> list[str]:
    return [".TP", f"\\fB{_escaped(term)}\\fP", _escaped(text)]


def _paragraphs(text: str | None) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text or "")):
        kept = paragraph.startswith("\b")  # click keeps the lines of such a paragraph
        lines = paragraph.removeprefix("\b").strip().splitlines()
        if lines:
            yield ".PP"
            yield from ([".nf", *map(_escaped, lines), ".fi"] if kept else [_escaped(" ".join(lines))])


def _escaped(text: str) -> str:
    """Return text for roff: on one line, without its special characters, and with code in bold."""
    text = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    text = re.sub(r"`([^`]+)`", r"\\fB\1\\fP", text)
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.1"):
        old.unlink()
    for file, text in pages().items():
        (FOLDER / file).write_text(text, "utf-8")
    print(FOLDER)
