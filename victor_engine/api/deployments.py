"""The structs of deployments: the files of a workspace, compared with what is in force."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from victor_engine.api.versions import ProblemInfo

ChangeKind = Literal[
    "new",  # a workflow that the store does not know
    "changed",  # a new version or revision comes into force
    "reverted",  # a version that is known already comes into force again
    "registered",  # a version is registered, and another one is in force
    "noticed",  # a deprecation or a migration of a known version
    "vanished",  # a workflow is in no file any more: its schedules are disabled
    "schedule",  # a schedule is added, changed, disabled or enabled
    "configuration",  # the configuration of the workspace has changed
]

FilesState = Literal["in force", "changed", "missing", "error"]

DeploymentCause = Literal["start", "reload", "deploy", "undo", "watch"]


class DeploymentChange(Struct, frozen=True, omit_defaults=True):
    """One change of a deployment. `before` is the version in force before it."""

    kind: ChangeKind
    text: str
    workflow: str = ""
    version: str = ""
    before: str = ""


class WorkflowFiles(Struct, frozen=True, omit_defaults=True):
    """The files of one workflow, compared with its version in force (empty if none is).

    `conflict` is whether a file declares a registered version with other content.
    """

    workflow: str
    state: FilesState
    version: str = ""
    text: str = ""
    conflict: bool = False


class FilesInfo(Struct, frozen=True, omit_defaults=True):
    """The differences between the files of a workspace and what is in force, as an engine last saw them."""

    changes: int = 0
    errors: int = 0
    undone: bool = False
    workflows: tuple[WorkflowFiles, ...] = ()  # those that are not in force as their files declare them

    @property
    def differ(self) -> bool:
        return bool(self.changes or self.errors)

    def of(self, workflow: str) -> WorkflowFiles | None:
        """Return the files of a workflow that differ; None if they do not."""
        return next((each for each in self.workflows if each.workflow == workflow), None)


class DeploymentInfo(Struct, frozen=True, omit_defaults=True):
    """A deployment. `undoes` is the number of the deployment that it took back."""

    number: int
    at: datetime
    by: str
    how: DeploymentCause
    lines: tuple[str, ...] = ()
    undoes: int | None = None


class DeploymentPlan(Struct, frozen=True, omit_defaults=True):
    """The changes that a deployment makes, with the errors that prevent it.

    `plan` is the token with which `deploy` applies exactly these changes; empty if there is nothing to apply or an
    error prevents it. `undone` is whether the files differ because the last deployment was an undo, and have not
    changed since.
    `untrusted` is the content that needs a yes before the files can be deployed, and `content` is its digest.
    """

    digest: str
    changes: tuple[DeploymentChange, ...] = ()
    problems: tuple[ProblemInfo, ...] = ()
    workflows: tuple[WorkflowFiles, ...] = ()
    plan: str = ""
    last: DeploymentInfo | None = None
    undone: bool = False
    untrusted: tuple[ProblemInfo, ...] = ()
    content: str = ""

    @property
    def errors(self) -> tuple[ProblemInfo, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")
