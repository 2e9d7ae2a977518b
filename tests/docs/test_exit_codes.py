"""The table of exit codes has each code that the code uses, and no other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests import write_exit_codes
from tests.write_errors import errors
from victor_engine.cli.exit_codes import MEANINGS
from victor_engine.cli.run import EXIT_CODES
from victor_engine.service.signals import SIGNALS, SignalReceivedError

CLI = Path(__file__).parents[2] / "victor_engine" / "cli"
CONSTANTS = {
    "BLOCKED", "PROBLEMS", "INTERNAL", "LEFT_OUT", "NO", "NOT_ALLOWED", "NOT_FOUND", "NOT_INTACT", "REFUSED", "TIMED_OUT",
    "TOO_OLD", "WITHDRAWN",
}  # fmt: skip
"""The names of the exit codes of single commands."""


def literals(node: ast.AST) -> Iterator[int]:
    """Yield the numbers that an expression can evaluate to."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from literals(node.body)
        yield from literals(node.orelse)


def used() -> Iterator[int]:
    """Yield the exit codes that the modules of the command line contain."""
    for path in CLI.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "exit"
            ):
                for argument in node.args:
                    yield from literals(argument)
            elif isinstance(node, ast.Assign):
                names = [
                    name.id
                    for target in node.targets
                    for name in ast.walk(target)
                    if isinstance(name, ast.Name)
                ]
                values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
                for name, value in zip(names, values, strict=False):
                    if name in CONSTANTS:
                        yield from literals(value)
            elif isinstance(node, ast.FunctionDef) and path.name in ("main.py", "db.py"):
                for each in ast.walk(node):
                    if isinstance(each, ast.Return) and each.value is not None:
                        yield from literals(each.value)


def test_the_table_has_each_exit_code_of_the_code_and_no_other() -> None:
    found = {0, *used(), *EXIT_CODES.values(), *(cls.exit_code for _, cls in errors())}
    found |= {SignalReceivedError(number).exit_code for number in SIGNALS}
    assert found == set(MEANINGS)


def test_the_page_is_generated_from_the_table() -> None:
    assert write_exit_codes.PAGE.read_text("utf-8") == write_exit_codes.page(), (
        "python -m tests.write_exit_codes"
    )
