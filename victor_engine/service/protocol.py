"""What crosses the socket: one JSON object a line, its shapes derived from the port's annotations.

The server speaks first (`{"hello": …}`), the client answers with its own hello. Then
`{"id", "method", "params"}` is answered by `{"id", "result"}` or `{"id", "error"}`, in any order;
`{"cancel": id}` ends a request or a subscription. `subscribe` streams `{"sub", "event"}`, and ends
with `{"sub", "error"}` or, where the consumer was too slow, `{"sub", "gap"}`: the consumer
subscribes again after the last event that it has, and the store fills the gap.
"""

from __future__ import annotations

import inspect
import typing
from functools import cache
from typing import Any, cast

import msgspec
from msgspec import Struct

from victor_engine import api
from victor_engine.api import port
from victor_engine.api.port import PortMethod
from victor_engine.service.identity import Claims

PROTOCOL = 1
"""Grows when an older client could misread a newer engine."""

MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes in one line; more is refused, so that a fault cannot fill the memory."""

QUEUED_EVENTS = 2000
"""Events that wait for a slow consumer before it is told of a gap."""


class Hello(Struct, frozen=True, omit_defaults=True):
    protocol: int
    product: str = ""
    pid: int = 0
    claims: Claims = Claims()


class FromClient(Struct, frozen=True, omit_defaults=True):
    hello: Hello | None = None
    id: int | None = None
    method: str = ""
    params: msgspec.Raw = msgspec.Raw(b"{}")
    cancel: int | None = None


class FromServer(Struct, frozen=True, omit_defaults=True):
    hello: Hello | None = None
    id: int | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: dict[str, Any] | None = None
    sub: int | None = None
    event: api.EventInfo | None = None
    gap: bool = False


class Method(Struct, frozen=True):
    """One method of the port: how its parameters and its result look."""

    name: str
    parameters: type[Struct]
    result: Any


def _method(declared: PortMethod) -> Method:
    name = declared.name
    hints = typing.get_type_hints(declared.declaration)
    fields: list[Any] = []
    for parameter in declared.signature.parameters.values():
        kind = hints[parameter.name]
        if parameter.default is inspect.Parameter.empty:
            fields.append((parameter.name, kind))
        else:
            fields.append((parameter.name, kind, parameter.default))
    parameters = msgspec.defstruct(f"{name}_parameters", fields, forbid_unknown_fields=True, kw_only=True)
    return Method(name, parameters, hints["return"])


@cache
def methods() -> dict[str, Method]:
    """Return every query and action of the port, by name."""
    return {name: _method(declared) for name, declared in port.methods().items()}


@cache
def subscription() -> Method:
    """Return the one method that answers with a stream."""
    return _method(port.declared()["subscribe"])


encode = msgspec.json.Encoder(enc_hook=str).encode
"""What the engine puts into free-form objects and JSON cannot hold is sent as its text."""

decode_client = msgspec.json.Decoder(FromClient).decode
decode_server = msgspec.json.Decoder(FromServer).decode


def line(message: Struct | dict[str, Any]) -> bytes:
    return encode(message) + b"\n"


def result_line(request: int, result: Any) -> bytes:
    return b'{"id":%d,"result":%b}\n' % (request, encode(result))


def error_line(request: int, wire: dict[str, Any]) -> bytes:
    return line({"id": request, "error": wire})


def arguments(method: Method, raw: bytes | msgspec.Raw) -> dict[str, Any]:
    """Parameters as the port takes them. Raises msgspec.ValidationError that names the parameter."""
    converted = msgspec.json.decode(raw, type=method.parameters)
    return {name: getattr(converted, name) for name in method.parameters.__struct_fields__}


def result(method: Method, raw: msgspec.Raw) -> Any:
    return None if method.result is type(None) else cast(Any, msgspec.json.decode(raw, type=method.result))
