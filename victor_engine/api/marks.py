"""The marks of the methods of the port: query, action, or defined by every implementation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

Kind = Literal["query", "action", "own"]

Function = TypeVar("Function", bound=Callable[..., Any])

_KINDS: dict[Callable[..., Any], Kind] = {}


def query(function: Function) -> Function:
    """Mark a method that writes nothing, so that a port without an engine supports it."""
    _KINDS[function] = "query"
    return function


def action(function: Function) -> Function:
    """Mark a method that changes something, so that a port without an engine refuses it."""
    _KINDS[function] = "action"
    return function


def own(function: Function) -> Function:
    """Mark a method that every implementation defines, because it is not one request with one response."""
    _KINDS[function] = "own"
    return function


def kind_of(function: Callable[..., Any]) -> Kind:
    """Return the mark of a method. Raise TypeError if it has none."""
    try:
        return _KINDS[function]
    except KeyError:
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(
            f"{function.__module__}.{name} has no mark; decorate it with @query, @action or @own"
        ) from None
