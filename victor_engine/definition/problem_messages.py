"""The problems of a file as text and as an error."""

from __future__ import annotations

from victor_engine.api import ProblemInfo
from victor_engine.errors import DefinitionError


def raise_for(problems: tuple[ProblemInfo, ...]) -> None:
    """Raise DefinitionError, which lists all errors, if `problems` contains an error."""
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        import msgspec

        raise DefinitionError(
            "\n".join(describe(problem) for problem in errors),
            problems=[msgspec.to_builtins(p) for p in errors],
        )


def describe(problem: ProblemInfo) -> str:
    """Return `file:line:column: severity: message. remedy`, without line and column if they are not known."""
    spot = f":{problem.line}:{problem.column}" if problem.line else ""
    place = f"{problem.path}{spot}: " if problem.path else ""
    remedy = f". {problem.remedy}" if problem.remedy else ""
    return f"{place}{problem.severity}: {problem.message}{remedy}"
