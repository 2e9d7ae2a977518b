"""The port: the union of the protocols that declare it, and the table of their methods."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Protocol, TypeVar, runtime_checkable

from victor_engine.api.marks import Kind, mark_of
from victor_engine.api.ports import (
    EnginePort,
    PeoplePort,
    RunsPort,
    SchedulesPort,
    SearchPort,
    VersionsPort,
)
from victor_engine.api.roles import Role

PROTOCOLS: tuple[type, ...] = (RunsPort, SchedulesPort, PeoplePort, VersionsPort, SearchPort, EnginePort)
"""The declarations of the port. All implementations are derived from them."""


@runtime_checkable
class Port(RunsPort, SchedulesPort, PeoplePort, VersionsPort, SearchPort, EnginePort, Protocol):
    """The port of an engine. `Engine`, `Client` and `ReadOnlyPort` implement it, and pass one contract suite.

    Conventions of all methods: an id can be a unique prefix. Methods raise NotFoundError if nothing has the id,
    UsageError if a prefix is ambiguous, and ConflictError if the status of the item does not permit the action.
    Actions raise EngineUnavailableError without an engine. `note` is free text that the event stores.
    """


@dataclass(frozen=True, slots=True)
class PortMethod:
    """One declared method of the port."""

    name: str
    kind: Kind
    protocol: type
    declaration: Callable[..., Any]
    signature: inspect.Signature
    """Without `self`."""
    role: Role | None
    """The role that a caller needs; None for each user who can connect."""
    assignee: bool
    """Whether an assignee may call it without the role, for the requests that name this user."""
    asker: bool
    """Whether the user who asked a question from a shell may call it without the role, for that question."""

    @property
    def part(self) -> str:
        """The part of the port that declares the method, such as `runs`. The scopes of tokens name it."""
        return self.protocol.__name__.removesuffix("Port").lower()

    def arguments(self, given: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
        """Return every argument of a call by name, with defaults. Raise TypeError if they do not fit."""
        try:
            bound = self.signature.bind(*given, **named)
        except TypeError as error:
            raise TypeError(f"{self.name}(): {error}") from None
        bound.apply_defaults()
        return bound.arguments


def without_self(signature: inspect.Signature) -> inspect.Signature:
    """Return the signature of a method without `self`."""
    return signature.replace(parameters=list(signature.parameters.values())[1:])


@cache
def declared() -> Mapping[str, PortMethod]:
    """Return every method that the protocols declare, by name. Raise TypeError if one has no mark."""
    found: dict[str, PortMethod] = {}
    for protocol in PROTOCOLS:
        for name, function in vars(protocol).items():
            if name.startswith("_") or not inspect.isfunction(function):
                continue
            if name in found:
                raise TypeError(
                    f"{name} is declared by {found[name].protocol.__name__} and {protocol.__name__}"
                )
            signature = without_self(inspect.signature(function))
            mark = mark_of(function)
            found[name] = PortMethod(name, mark.kind, protocol, function, signature, *mark[1:])
    return MappingProxyType(found)


@cache
def methods() -> Mapping[str, PortMethod]:
    """Return the queries and actions of the port, by name. Each is one request with one response."""
    return MappingProxyType({name: method for name, method in declared().items() if method.kind != "own"})


def needed_role(name: str) -> Role | None:
    """Return the role that a method needs; None for a method without one. Raise KeyError for an unknown method."""
    return declared()[name].role


Derived = TypeVar("Derived", bound=type)


def derive(
    write: Callable[[PortMethod], Callable[..., Awaitable[Any]]],
) -> Callable[[Derived], Derived]:
    """Return a class decorator that defines the methods of the port which a subclass of `Port` does not define.

    `write` returns the function for one method. The function gets the name, signature and docstring of the
    declaration. Methods of the class or of another base stay. Raise TypeError for a method that is marked
    `@own` and not defined.
    """

    def complete(cls: Derived) -> Derived:
        for name, method in declared().items():
            if getattr(cls, name) is not method.declaration:
                continue
            if method.kind == "own":
                raise TypeError(f"{cls.__name__}.{name} is not defined; every implementation defines it")
            setattr(cls, name, _named(write(method), method, cls))
        return cls

    return complete


def _named(function: Callable[..., Any], method: PortMethod, cls: type) -> Callable[..., Any]:
    named: Any = function
    named.__name__ = method.name
    named.__qualname__ = f"{cls.__qualname__}.{method.name}"
    named.__module__ = cls.__module__
    named.__doc__ = method.declaration.__doc__
    named.__wrapped__ = method.declaration
    return function
