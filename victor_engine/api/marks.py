"""The marks of the methods of the port: query, action, or defined by every implementation, and the role they need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar, overload

from victor_engine.api.roles import Role

Kind = Literal["query", "action", "own"]

Function = TypeVar("Function", bound=Callable[..., Any])


class Mark(NamedTuple):
    """The mark of a method. Without a role, each user who can connect may call it.

    With `assignee`, an assignee may call it without the role, for the requests that name this user. With `asker`, the
    user who asked a question from a shell may call it without the role, for that question.
    """

    kind: Kind
    role: Role | None
    assignee: bool
    asker: bool


_MARKS: dict[Callable[..., Any], Mark] = {}


def _mark(
    kind: Kind, role: Role | None, assignee: bool, asker: bool = False
) -> Callable[[Function], Function]:
    def mark(function: Function) -> Function:
        _MARKS[function] = Mark(kind, role, assignee, asker)
        return function

    return mark


@overload
def query(function: Function) -> Function: ...
@overload
def query(
    *, role: Role | None = Role.VIEWER, assignee: bool = False, asker: bool = False
) -> Callable[[Function], Function]: ...
def query(
    function: Callable[..., Any] | None = None,
    *,
    role: Role | None = Role.VIEWER,
    assignee: bool = False,
    asker: bool = False,
) -> Any:
    """Mark a method that writes nothing, so that a port without an engine supports it."""
    mark = _mark("query", role, assignee, asker)
    return mark if function is None else mark(function)


def action(*, role: Role, assignee: bool = False, asker: bool = False) -> Callable[[Function], Function]:
    """Mark a method that changes something, so that a port without an engine refuses it."""
    return _mark("action", role, assignee, asker)


def own(*, role: Role | None, assignee: bool = False) -> Callable[[Function], Function]:
    """Mark a method that every implementation defines, because it is not one request with one response."""
    return _mark("own", role, assignee)


def mark_of(function: Callable[..., Any]) -> Mark:
    """Return the mark of a method. Raise TypeError if it has none."""
    try:
        return _MARKS[function]
    except KeyError:
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(
            f"{function.__module__}.{name} has no mark; decorate it with @query, @action or @own"
        ) from None
