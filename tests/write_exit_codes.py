"""Generate `docs/exit-codes.md` from the table: ``python -m tests.write_exit_codes``."""

from __future__ import annotations

from pathlib import Path

from victor_engine.cli.exit_codes import MEANINGS

PAGE = Path(__file__).parents[1] / "docs" / "exit-codes.md"


def page() -> str:
    """Return the text of the page."""
    lines = [
        "# Exit codes",
        "",
        "Generated from `victor_engine.cli.exit_codes`. To generate it again: `python -m tests.write_exit_codes`.",
        "",
        "`victor gate` ends with the exit code of the command that it runs. [Errors](errors.md) lists the errors with",
        "their exit codes.",
        "",
        "| code | meaning |",
        "|---|---|",
        *(f"| {code} | {meaning} |" for code, meaning in MEANINGS.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(PAGE)
