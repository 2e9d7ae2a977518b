"""The loaded content of a workspace."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from victor_engine.api import ProblemInfo
from victor_engine.config import Config
from victor_engine.config.judging import Judgement
from victor_engine.definition.expressions.expression import FunctionRegistry
from victor_engine.loading.pieces import WorkflowPiece
from victor_engine.scheduling.calendars.workspace_calendars import Calendars
from victor_engine.work.bindings import BindingTable


@dataclass(slots=True)
class Workspace:
    """The content of the files of a workspace, with their errors and warnings."""

    config: Config
    bindings: BindingTable
    functions: FunctionRegistry
    calendars: Calendars
    judgement: Judgement
    workflows: list[WorkflowPiece] = field(default_factory=list)
    assignees: set[str] = field(default_factory=set)
    problems: list[ProblemInfo] = field(default_factory=list)
    by_workflow: dict[str, list[ProblemInfo]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    files_with_errors: set[Path] = field(
        default_factory=set
    )  # files with errors: a workflow in them may be missing
    settings: dict[str, str] = field(default_factory=dict)
    """The settings of `victor.yaml` as text, which a deployment compares."""
    held: set[Path] = field(default_factory=set)  # files that are left out because they are not trusted

    def add(self, problem: ProblemInfo, workflow: str | None = None) -> None:
        self.problems.append(problem)
        if workflow is not None:
            self.by_workflow.setdefault(workflow, []).append(problem)

    def workflows_with_errors(self) -> set[str]:
        """Return the workflows with an error, such as a node without a binding."""
        return {
            name
            for name, problems in self.by_workflow.items()
            if any(problem.severity == "error" for problem in problems)
        }
