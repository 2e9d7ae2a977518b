"""The tests that the table of attacks in `docs/security.md` names, and those of them that a run of all tests left out."""

from __future__ import annotations

import re

import pytest

from tests.docs.guides import ROOT

HEAD = "| attack | defence | test |\n|---|---|---|\n"
_ROW = re.compile(r"^\| [^|]+ \| [^|]+ \| `(tests/[^`]+/test_\w+\.py::test_\w+)` \|$", re.M)


def table() -> list[str]:
    """Return the rows of the table."""
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    return text.partition(HEAD)[2].partition("\n\n")[0].splitlines()


def named_tests() -> list[str]:
    """Return the test of each row."""
    return _ROW.findall("\n".join(table()))


def not_run(passed: list[str]) -> list[str]:
    """Return the tests of the table without a passed test, in their order."""
    ran = {test.partition("[")[0] for test in passed}
    return [test for test in named_tests() if test not in ran]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the tests of the table that did not pass in a run of all tests."""
    option = config.option
    partial = option.keyword or option.markexpr or option.collectonly or option.lf
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS or partial:
        return
    passed = [report.nodeid for report in terminalreporter.getreports("passed")]
    missing = not_run(passed)
    terminalreporter.section("attacks of docs/security.md")
    for test in missing:
        terminalreporter.write_line(f"NOT RUN OR NOT PASSED: {test}")
    terminalreporter.write_line(f"{len(named_tests()) - len(missing)} of {len(named_tests())} tests passed")
