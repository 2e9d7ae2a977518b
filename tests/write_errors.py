"""Generate `docs/errors.md` from the classes: ``python -m tests.write_errors``."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import victor_engine
from victor_engine.errors import VictorError

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"


def tree(cls: type[VictorError] = VictorError, depth: int = 0) -> Iterator[tuple[int, type[VictorError]]]:
    """Yield the depth and the class of each error of the engine, parents first."""
    yield depth, cls
    children = [child for child in cls.__subclasses__() if child.__module__.startswith("victor_engine.")]
    # Those of `victor_engine.errors` in their order, then the others by name: not in the order of import.
    elsewhere = [child for child in children if child.__module__ != VictorError.__module__]
    here = [child for child in children if child.__module__ == VictorError.__module__]
    for child in here + sorted(elsewhere, key=lambda child: child.__name__):
        yield from tree(child, depth + 1)


def errors() -> list[tuple[int, type[VictorError]]]:
    """Return the whole tree, after importing each module that could define an error."""
    for module in pkgutil.walk_packages(victor_engine.__path__, "victor_engine."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return list(tree())


def outline() -> str:
    """Return the tree as indented lines of name, code and exit code."""
    return "\n".join(
        f"{'  ' * depth}{cls.__name__}  {cls.code}, exit {cls.exit_code}" for depth, cls in errors()
    )


def page() -> str:
    """Return the text of the page."""
    lines = [
        "# Errors",
        "",
        "Generated from the classes of the engine. To generate it again: `python -m tests.write_errors`.",
        "",
        "Each error that the product raises on purpose is a `victor_engine.errors.VictorError`. Its `code` is",
        "stable: it is `error.code` in `--json` output and crosses the socket. Its exit code is the exit code of",
        "`victor`. Exit code 0 is success; 1 is an error without an exit code of its own; 9 is the result of",
        "`victor audit verify` for a chain that is not intact. [Exit codes](exit-codes.md) lists those of runs (10 to 12).",
        "",
        "| error | code | exit code | meaning |",
        "|---|---|---|---|",
    ]
    for depth, cls in errors():
        indent = "&emsp;" * depth
        meaning = " ".join(inspect.cleandoc(cls.__doc__ or "").split()).replace("|", "\\|")
        lines.append(f"| {indent}`{cls.__name__}` | `{cls.code}` | {cls.exit_code} | {meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
