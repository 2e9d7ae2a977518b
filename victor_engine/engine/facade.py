"""Delegation of the methods of the port to the parts of an object."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any, get_type_hints

from victor_engine.api.port import PortMethod, without_self
from victor_engine.api.ports import PeoplePort, RunsPort, SchedulesPort, SearchPort, VersionsPort

PARTS: Mapping[type, str] = {
    RunsPort: "runs",
    SchedulesPort: "schedules",
    PeoplePort: "requests",
    VersionsPort: "versions",
    SearchPort: "search",
}
"""The name of the part that implements a protocol, in `Queries` and in `Services`."""


def delegate(method: PortMethod, attribute: str, group: type) -> Callable[..., Awaitable[Any]]:
    """Return a method that delegates its call to a part of `self.<attribute>`, which is a `group` of parts.

    Raise TypeError if the part does not have the method exactly as it is declared.
    """
    if method.protocol not in PARTS:
        raise TypeError(f"{method.name} belongs to no part; define it in the class that implements the port")
    name = PARTS[method.protocol]
    part = _parts(group)[name]
    found = getattr(part, method.name, None)
    if found is None:
        raise TypeError(f"{part.__name__}.{method.name} is not defined, but is a {method.kind} of the port")
    if without_self(inspect.signature(found)) != method.signature:
        raise TypeError(
            f"{part.__name__}.{method.name}{inspect.signature(found)} differs from the declaration in"
            f" {method.protocol.__name__}: {method.signature}"
        )
    find = attrgetter(f"{attribute}.{name}.{method.name}")

    async def call(self: object, *given: Any, **named: Any) -> Any:
        return await find(self)(*given, **named)

    return call


@cache
def _parts(group: type) -> dict[str, Any]:
    return get_type_hints(group)
