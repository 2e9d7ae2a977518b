"""Typed errors. The message of each one names the thing, the place and the remedy.

An error crosses the socket as `{code, message, details}`. The other side raises the same class again
(`VictorError.from_wire`). The tree, with codes and exit codes; `docs/errors.md` has the meanings:

    VictorError  error, exit 1
      UsageError  usage, exit 2
        PlanTokenError  plan_token, exit 2
        InvalidInputError  invalid_input, exit 2
        BadFrameError  usage, exit 2
        TimeTextError  usage, exit 2
      DefinitionError  definition, exit 3
        GraphDefinitionError  graph_definition, exit 3
        VersionConflictError  version_conflict, exit 3
      ConfigError  config, exit 3
      NotFoundError  not_found, exit 4
      ConflictError  conflict, exit 5
        AlreadyAnsweredError  already_answered, exit 5
        PlanExpiredError  plan_expired, exit 5
        PlanChangedError  plan_changed, exit 5
        ItemChangedError  item_changed, exit 5
        MovedMeanwhileError  moved_meanwhile, exit 5
        ThreadBusyError  thread_busy, exit 5
      DeploymentError  deployment, exit 3
      PermissionDeniedError  permission, exit 6
      EngineUnavailableError  engine_unavailable, exit 7
        EngineLockedError  engine_locked, exit 7
        FencedError  fenced, exit 7
      UntrustedError  untrusted, exit 6
      StoreError  store, exit 8
        StorageError  storage, exit 8
      InvalidAnswerError  invalid_answer, exit 2
      NodeError  node, exit 1
        NodeTimeoutError  node_timeout, exit 1
        ExpressionError  expression, exit 1
          ExpressionLimitError  expression_limit, exit 1
        CircuitOpenError  circuit_open, exit 1
      GraphRunError  graph_run, exit 1
      LoadingError  loading, exit 1
      MigrationError  migration, exit 3
      NotifyError  notify, exit 1
      VersionRemovedError  version_removed, exit 5
"""

from __future__ import annotations

from typing import Any, ClassVar


class VictorError(Exception):
    """The base of all errors that the product raises on purpose.

    `code` is stable, for scripts. `exit_code` is the exit code of the command line.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = details

    def to_wire(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "details": self.details}

    @staticmethod
    def from_wire(data: dict[str, Any]) -> VictorError:
        cls = _by_code().get(str(data.get("code")), VictorError)
        error = cls.__new__(cls)
        VictorError.__init__(error, str(data.get("message", "")), **(data.get("details") or {}))
        return error


def _by_code() -> dict[str, type[VictorError]]:
    found: dict[str, type[VictorError]] = {}
    todo: list[type[VictorError]] = [VictorError]
    while todo:
        cls = todo.pop()
        # A class without a code of its own crosses the socket as its parent.
        if "code" in vars(cls):
            found[cls.code] = cls
        todo.extend(cls.__subclasses__())
    return found


class UsageError(VictorError):
    """The caller passed something invalid: an argument, JSON, or a range."""

    code = "usage"
    exit_code = 2


class PlanTokenError(UsageError):
    """The token is not the token of a plan, or its plan is for another action."""

    code = "plan_token"


class InvalidInputError(UsageError):
    """The state of a new run does not match the inputs of its workflow. `details["errors"]` maps inputs to errors."""

    code = "invalid_input"


class DefinitionError(VictorError):
    """A workflow file is invalid. `details["problems"]` is a list of `Problem` as dicts."""

    code = "definition"
    exit_code = 3


class ConfigError(VictorError):
    """The configuration is invalid or incomplete."""

    code = "config"
    exit_code = 3


class NotFoundError(VictorError):
    """The run, schedule, request, workflow or version does not exist."""

    code = "not_found"
    exit_code = 4


class ConflictError(VictorError):
    """Another actor was first, or the current status does not allow the command."""

    code = "conflict"
    exit_code = 5


class AlreadyAnsweredError(ConflictError):
    """The request was answered before. `details` give the actor, the time and the answer."""

    code = "already_answered"


class PlanExpiredError(ConflictError):
    """The plan is too old to be applied."""

    code = "plan_expired"


class DeploymentError(VictorError):
    """The files have errors, so that nothing of them is deployed. `details["problems"]` lists the errors."""

    code = "deployment"
    exit_code = 3


class PlanChangedError(ConflictError):
    """The target, rule or definitions of a plan changed: nothing was applied. `details["changed"]` lists them."""

    code = "plan_changed"


class ItemChangedError(ConflictError):
    """An item has changed since the plan and was left out. `details["changed"]` describes the change."""

    code = "item_changed"


class PermissionDeniedError(VictorError):
    """The operating-system user does not have permission for this action."""

    code = "permission"
    exit_code = 6


class EngineUnavailableError(VictorError):
    """No engine runs on this state directory, or it cannot be reached."""

    code = "engine_unavailable"
    exit_code = 7


class EngineLockedError(EngineUnavailableError):
    """Another process holds the lock of the engine. `details["pid"]` is its process id."""

    code = "engine_locked"


class FencedError(EngineUnavailableError):
    """A newer engine has taken over this store. The older one can no longer write."""

    code = "fenced"


class UntrustedError(VictorError):
    """The user has not trusted the workspace, so the engine executes nothing of it."""

    code = "untrusted"
    exit_code = 6


class StoreError(VictorError):
    """The database cannot be read or written. It is not a database, or a newer version wrote it."""

    code = "store"
    exit_code = 8


class StorageError(StoreError):
    """The file system refuses writes: it is full, read-only, failing or locked. Nothing was written.

    The same call succeeds once the file system accepts writes again.
    """

    code = "storage"


class InvalidAnswerError(VictorError):
    """The answer does not fit its request. `details["errors"]` maps the path of a field to its error."""

    code = "invalid_answer"
    exit_code = 2


class NodeError(VictorError):
    """The work of a node failed. `retryable_errors` match `error_type` and the names in `bases`."""

    code = "node"

    def __init__(
        self,
        message: str,
        *,
        error_type: str = "NodeError",
        bases: tuple[str, ...] = (),
        exit_code: int | None = None,
        http_status: int | None = None,
        retry_after: float | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.bases = bases
        self.process_exit_code = exit_code
        self.http_status = http_status
        self.retry_after = retry_after
        self.retryable = retryable


class NodeTimeoutError(NodeError):
    """A node ran longer than its time limit."""

    code = "node_timeout"

    def __init__(self, message: str) -> None:
        super().__init__(message, error_type="TimeoutError", bases=("OSError", "Exception"))


class ExpressionError(NodeError):
    """An expression or an assignment is invalid, or fails on the current state."""

    code = "expression"

    def __init__(self, message: str, *, error_type: str = "ExpressionError") -> None:
        super().__init__(message, error_type=error_type, retryable=False)


class ExpressionLimitError(ExpressionError):
    """An expression needs more work, memory or digits than its budget allows."""

    code = "expression_limit"

    def __init__(self, message: str) -> None:
        super().__init__(message, error_type="ExpressionLimitError")
        self.bases = ("ExpressionError",)
