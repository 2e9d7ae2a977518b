"""The content of the files of a workspace, and the problems in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from victor_engine.api import ProblemInfo
from victor_engine.config import Config
from victor_engine.definition.expressions import FunctionRegistry
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.runtime.bindings import BindingTable
from victor_engine.scheduler.calendars import Calendars
from victor_engine.scheduler.declare import place_of


@dataclass(frozen=True, slots=True)
class Loaded:
    """One workflow of one file."""

    definition: WorkflowDefinition
    text: str
    path: Path
    schedule_places: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def problem(self, fault: str) -> ProblemInfo:
        """What is wrong with its `schedule:` block, where that stands."""
        line, column = place_of(fault, self.schedule_places)
        return ProblemInfo(severity="error", message=fault, path=str(self.path), line=line, column=column)


@dataclass(slots=True)
class Workspace:
    """What the files of a workspace hold, and what is wrong with them."""

    config: Config
    bindings: BindingTable
    functions: FunctionRegistry
    calendars: Calendars
    workflows: list[Loaded] = field(default_factory=list)
    problems: list[ProblemInfo] = field(default_factory=list)
    by_workflow: dict[str, list[ProblemInfo]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    faulty: set[Path] = field(default_factory=set)  # files with errors: a workflow in them may be missing

    def add(self, problem: ProblemInfo, workflow: str | None = None) -> None:
        self.problems.append(problem)
        if workflow is not None:
            self.by_workflow.setdefault(workflow, []).append(problem)
