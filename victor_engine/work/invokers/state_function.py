"""The invoker of Python objects: functions of the state, each called where it can be ended best.

An async function runs in the loop. A synchronous function that a worker process can import (at
the top level of a module file) runs in a process, so that a limit or a cancellation ends it. Any
other function (a lambda, a closure, a bound method, a function of the main script) runs in a thread, which
cannot be ended: after a limit the run continues, and later results of the thread are ignored.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from victor_engine.config.model import Binding
from victor_engine.errors import NodeError
from victor_engine.store.patch import Patch
from victor_engine.work.calls import CallContext, Invoker, NodeCall
from victor_engine.work.invokers.results import error_of, limited, time_limit
from victor_engine.work.state_functions import StateSchema, call_node, copied, idempotency

Where = Literal["auto", "loop", "process", "thread"]
"""Where a function runs. `loop` calls a synchronous function in the loop; use it for fast functions only."""


def where_to_run(function: Callable[..., Any], schema: StateSchema[Any], wanted: Where) -> Where:
    """Return where the function runs. Raise ValueError if it cannot run where the caller requires."""
    if _is_async(function):
        if wanted in ("process", "thread"):
            raise ValueError(f"{name_of(function)} is async, so it runs in the loop, not in a {wanted}")
        return "loop"
    if wanted in ("loop", "thread"):
        return wanted
    own_type = schema.type is dict or not schema.is_dataclass or reference_of(schema.type) is not None
    if reference_of(function) is not None and own_type:
        return "process"
    if wanted == "process":
        raise ValueError(
            f"a worker process cannot import {name_of(function)}: the function (and the dataclass of the state) must "
            "be at the top level of a module file other than the main script"
        )
    return "thread"


def reference_of(found: Any) -> tuple[str, Path] | None:
    """Return `module:name` of a function or class that another process can import, and the directory of its modules."""
    module_name, name = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
    if not isinstance(found, types.FunctionType | type) or not module_name or not name:
        return None
    module = sys.modules.get(module_name)
    file = getattr(module, "__file__", None)
    if module_name == "__main__" or file is None or "<" in name:
        return None
    value: Any = module
    for step in name.split("."):
        value = getattr(value, step, None)
    if value is not found:
        return None
    path = Path(file).resolve()
    parts = module_name.split(".")
    within = Path(*parts, "__init__.py") if path.name == "__init__.py" else Path(*parts).with_suffix(".py")
    root = Path(*path.parts[: len(path.parts) - len(within.parts)])
    return (f"{module_name}:{name}", root) if root / within == path else None


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function. It is the same in every process."""
    found = getattr(function, "func", function)  # of functools.partial
    name = getattr(found, "__qualname__", None) or type(found).__qualname__
    module = getattr(found, "__module__", "")
    return f"{module}:{name}" if module and module != "__main__" else str(name)


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - the method is inspected, not called
    )


class StateInvoker:
    """Calls the function of one node with the state; the result is a `Patch`.

    `process` returns the invoker of a worker process that can import from a directory. `on_error` is called
    (with the ids of run and node) with the exception of a function in this process.
    """

    def __init__(
        self,
        node_id: str,
        function: Callable[..., Any],
        schema: StateSchema[Any],
        where: Where,
        process: Callable[[Binding, Path], Invoker],
        on_error: Callable[[str, str, BaseException], None],
    ) -> None:
        self._node_id = node_id
        self._function = function
        self._schema = schema
        self._where = where
        self._process = process
        self._on_error = on_error

    @property
    def description(self) -> str:
        return f"python {name_of(self._function)}"

    async def needs_process(self) -> bool:
        return self._where == "process"

    async def __call__(self, call: NodeCall, context: CallContext) -> Patch:
        if self._where == "process":
            return await self._in_process(call, context)
        before = call.state if call.state is not None else call.inputs
        async with limited(time_limit(call, None), f"the function {name_of(self._function)}"):
            try:
                given = self._schema.build(copied(before))
                with _with_idempotency_key(call.idempotency_key), logging_to(context, self._function):
                    returned = await self._call(given)
            except Exception as error:
                self._on_error(call.run_id, self._node_id, error)
                raise error_of(error) from error
        return self._schema.change_of(self._node_id, before, given, returned)

    async def _call(self, given: Any) -> Any:
        if self._where == "thread":
            returned = await asyncio.to_thread(self._function, given)
        else:
            returned = self._function(given)
        return await returned if inspect.isawaitable(returned) else returned

    async def _in_process(self, call: NodeCall, context: CallContext) -> Patch:
        found = reference_of(self._function)
        assert found is not None
        reference, root = found
        config: dict[str, Any] = {"function": reference, "node": self._node_id, "root": str(root)}
        named = reference_of(self._schema.type) if self._schema.type is not dict else None
        if named is not None:
            config["state_type"] = named[0]
        binding = Binding(
            section="graph",
            name=self._node_id,
            kind="python",
            place=reference,
            function=f"{call_node.__module__}:{call_node.__name__}",
            cwd=Path.cwd(),
        )
        before = call.state if call.state is not None else call.inputs
        response = await self._process(binding, root)(
            replace(call, state=dict(before), inputs={}, config=config), context
        )
        failure = response.get("failure")
        if failure is not None:
            raise NodeError(
                failure["message"], error_type=failure["type"], bases=tuple(failure["bases"]), retryable=False
            )
        change = Patch.from_data(response["change"])
        # The worker may not have been able to import the type, so check again here.
        self._schema.check_keys(change.set, f"node {self._node_id!r}")
        return change


@contextlib.contextmanager
def _with_idempotency_key(key: str) -> Iterator[None]:
    token = idempotency.set(key)
    try:
        yield
    finally:
        idempotency.reset(token)


@contextlib.contextmanager
def logging_to(context: CallContext, function: Callable[..., Any]) -> Iterator[None]:
    """Return a context that sends the output and log records of the function to its attempt, and prints them here."""
    from victor_engine.work.invokers.capture import capture_logging, receiving

    capture_logging(getattr(function, "__module__", None) or "__main__")
    with receiving(context, also_print=True):
        yield
