"""Typed errors. Each names the thing, the place and the remedy; none is swallowed.

An error crosses the socket as `{code, message, details}` and is raised again on the other side
as the same class (`VictorError.from_wire`).
"""

from __future__ import annotations

from typing import Any, ClassVar


class VictorError(Exception):
    """Base of all errors that the product raises on purpose.

    `code` is stable and meant for scripts; `exit_code` is what the command line ends with.
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
        found[cls.code] = cls
        todo.extend(cls.__subclasses__())
    return found


class UsageError(VictorError):
    """The caller asked for something that cannot be: bad argument, bad JSON, bad range."""

    code = "usage"
    exit_code = 2


class DefinitionError(VictorError):
    """A workflow file is wrong. `details["problems"]` is a list of `Problem` as dicts."""

    code = "definition"
    exit_code = 3


class ConfigError(VictorError):
    """The configuration is wrong or incomplete."""

    code = "config"
    exit_code = 3


class NotFoundError(VictorError):
    """There is no such run, schedule, request, workflow or version."""

    code = "not_found"
    exit_code = 4


class ConflictError(VictorError):
    """Somebody else was first, or the thing is in a state in which this cannot be done."""

    code = "conflict"
    exit_code = 5


class AlreadyAnsweredError(ConflictError):
    """The request was decided before: `details` say who, when and what."""

    code = "already_answered"


class PermissionDeniedError(VictorError):
    """This operating-system user may not do this."""

    code = "permission"
    exit_code = 6


class EngineUnavailableError(VictorError):
    """No engine runs on this state directory, or it cannot be reached."""

    code = "engine_unavailable"
    exit_code = 7


class EngineLockedError(EngineUnavailableError):
    """Another process holds the engine's lock: `details["pid"]` is its process id."""

    code = "engine_locked"


class FencedError(EngineUnavailableError):
    """A newer engine has taken over this store; this one must stop writing."""

    code = "fenced"


class UntrustedError(VictorError):
    """The workspace has not been trusted by this user, so nothing in it is executed."""

    code = "untrusted"
    exit_code = 6


class StoreError(VictorError):
    """The database cannot be read or written: full disk, read-only, not a database, too new."""

    code = "store"
    exit_code = 8


class StorageError(StoreError):
    """The file system takes nothing at present (full, read-only, failing, locked), and nothing was written.

    The same may be tried again once it does.
    """

    code = "storage"


class InvalidAnswerError(VictorError):
    """An answer does not fit its request. `details["errors"]` maps a field's path to its fault."""

    code = "invalid_answer"
    exit_code = 2


class NodeError(VictorError):
    """A node's work failed. `error_type` is what `retryable_errors` match, beside the bases."""

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
    """A node ran longer than its limit."""

    code = "node_timeout"

    def __init__(self, message: str) -> None:
        super().__init__(message, error_type="TimeoutError", bases=("OSError", "Exception"))


class ExpressionError(NodeError):
    """An expression or an assignment is not in our language, or fails on this state."""

    code = "expression"

    def __init__(self, message: str, *, error_type: str = "ExpressionError") -> None:
        super().__init__(message, error_type=error_type, retryable=False)


class ExpressionLimitError(ExpressionError):
    """An expression would take more work, memory or digits than one may take."""

    code = "expression_limit"

    def __init__(self, message: str) -> None:
        super().__init__(message, error_type="ExpressionLimitError")
        self.bases = ("ExpressionError",)
