"""Calls of every method of the port by one user, to compare them with the roles that the methods need."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import msgspec

from victor_engine.api.port import PortMethod, methods
from victor_engine.api.roles import Role, with_included
from victor_engine.errors import PermissionDeniedError, VictorError
from victor_engine.service.client import Client


def sample(kind: Any) -> Any:
    """Return a value of a type: the simplest that the protocol accepts."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return None if type(None) in arguments else sample(arguments[0])
    if origin is typing.Literal:
        return arguments[0]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        needed = [field for field in msgspec.structs.fields(kind) if field.required]
        return kind(**{field.name: sample(field.type) for field in needed})
    simple = {str: "no-such", int: 1, float: 1.0, bool: False, datetime: datetime(2026, 1, 1, tzinfo=UTC)}
    return simple[kind] if kind in simple else (origin or kind)()


def arguments(method: PortMethod, request_id: str) -> dict[str, Any]:
    """Return arguments of a method; those about a request name `request_id`."""
    hints = typing.get_type_hints(method.declaration)
    found = {}
    for name, parameter in method.signature.parameters.items():
        if name == "request_id":
            found[name] = request_id
        elif parameter.default is inspect.Parameter.empty:
            found[name] = sample(hints[name])
    return found


async def permitted(client: Client, request_id: str) -> set[str]:
    """Return the methods that the engine does not refuse for want of a role."""
    found = set()
    for name, method in methods().items():
        try:
            await getattr(client, name)(**arguments(method, request_id))
        except PermissionDeniedError as error:
            if f"permission denied: {name} needs the role {method.role}; " not in error.message:
                found.add(name)
        except VictorError:
            found.add(name)
        else:
            found.add(name)
    return found


def expected(granted: Collection[Role]) -> set[str]:
    """Return the methods of roles: those of the table, and the lists of requests, which the guard limits."""
    held = with_included(granted)
    return {
        name
        for name, method in methods().items()
        if method.role is None
        or method.role in held
        or (method.assignee and "request_id" not in method.signature.parameters)
    }
