"""The part of the port for the engine itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from victor_engine.api.deployments import DeploymentInfo, DeploymentPlan
from victor_engine.api.engine import CallerInfo, EngineInfo, EventInfo, EventQuery, SecretInfo, TrustInfo
from victor_engine.api.marks import action, own, query
from victor_engine.api.roles import Role
from victor_engine.api.versions import ProblemInfo


class EnginePort(Protocol):
    """The engine itself: its state, its events, its workspace, and its stop."""

    @query(role=None)
    async def engine(self) -> EngineInfo:
        """Return the state of the engine, with its clock (`now`) and the numbers of schedules and runs.

        Without the role viewer, the numbers and problems are left out.
        """
        ...

    @query(role=None)
    async def whoami(self) -> CallerInfo:
        """Return the calling user and the roles of this user."""
        ...

    @query
    async def trust_info(self) -> TrustInfo:
        """Return whether the workspace is trusted, and the content that a trusted engine executes."""
        ...

    @query
    async def events(self, query: EventQuery) -> list[EventInfo]:
        """Return the events that match a query, newest first, at most `query.limit`."""
        ...

    @action(role=Role.OPERATOR)
    async def drain(self, note: str = "") -> EngineInfo:
        """Drain the engine until `undrain`, also after restarts: active runs continue, new runs do not start."""
        ...

    @action(role=Role.OPERATOR)
    async def undrain(self, note: str = "") -> EngineInfo:
        """Stop draining, and start waiting runs. Raise ConflictError if the engine is not draining."""
        ...

    @query
    async def plan_deployment(self, undo: bool = False) -> DeploymentPlan:
        """Read the files, and return the changes that `deploy` would make, with the errors that prevent them.

        With `undo`, return the changes that take the last deployment back; raise ConflictError if there is none.
        """
        ...

    @query(role=Role.OPERATOR)
    async def secrets(self) -> list[SecretInfo]:
        """Return the secrets that the workspace declares or uses, without their values.

        Each is read where the engine reads it: from its environment, its files and its credentials.
        """
        ...

    @query
    async def deployments(self, limit: int = 20) -> list[DeploymentInfo]:
        """Return the last deployments, newest first."""
        ...

    @action(role=Role.ADMIN)
    async def deploy(self, plan: str | None = None, undo: bool = False) -> DeploymentInfo:
        """Deploy all changes of the files in one transaction, or with `undo` take the last deployment back.

        `plan` is the token of `plan_deployment`. Raise DeploymentError if a file has an error, PlanChangedError if the
        changes are not those of the plan, ConflictError if there is nothing to deploy. Active runs keep their
        definitions.
        """
        ...

    @action(role=Role.ADMIN)
    async def reload(self) -> list[ProblemInfo]:
        """Read the files of the workspace again, and return their errors and warnings.

        Active runs keep their definitions.
        """
        ...

    @action(role=Role.ADMIN)
    async def trust(self, content: str = "") -> TrustInfo:
        """Trust the content of the workspace, and start its waiting runs.

        `content` is the digest that was shown, from `trust_info`; empty for the present content. Raise PlanChangedError
        if the content changed since, and UntrustedError if another user can write it, or if it is the content of a
        service, whose trust the administrator gives.
        """
        ...

    @action(role=Role.ADMIN)
    async def stop_engine(self) -> None:
        """Request the stop of the engine, and return before it has stopped."""
        ...

    @own(role=Role.VIEWER, assignee=True)
    def subscribe(self, after: int) -> AsyncIterator[EventInfo]:
        """Yield the stored events with a `seq` above `after`, then each new event when it is committed."""
        ...

    @own(role=None)
    async def close(self) -> None:
        """Release the resources of this port. The embedded engine stops; a client disconnects."""
        ...
