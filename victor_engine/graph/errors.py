"""The errors of graphs."""

from __future__ import annotations

from victor_engine.errors import ConflictError, DefinitionError, VictorError


class GraphDefinitionError(DefinitionError, ValueError):
    """A graph or a built workflow is invalid. The message names the node and the error."""

    code = "graph_definition"


class GraphRunError(VictorError):
    """A run of a graph did not succeed. Its committed nodes are kept, and its thread can continue from them.

    `status` is failed, cancelled or rejected; `error_type` is the type of the error, `node_id` its node.
    If a function raised an exception in this process, it is the `__cause__`.
    """

    code = "graph_run"

    def __init__(
        self,
        message: str,
        *,
        status: str = "failed",
        error_type: str = "",
        node_id: str | None = None,
        run_id: str = "",
        thread_id: str = "",
    ) -> None:
        super().__init__(
            message, status=status, type=error_type, node=node_id, run_id=run_id, thread_id=thread_id
        )
        self.status = status
        self.error_type = error_type
        self.node_id = node_id
        self.run_id = run_id
        self.thread_id = thread_id


class ThreadBusyError(ConflictError):
    """The thread is already running, or has an unfinished run with another state."""

    code = "thread_busy"
