"""The protocol of the socket: one JSON object on each line, with types derived from the port.

The server sends its hello message first (`{"hello": …}`), and the client replies with its own. Then the
response to `{"id", "method", "params"}` is `{"id", "result"}` or `{"id", "error"}`, in any order;
`{"cancel": id}` ends a request or a subscription. `subscribe` streams `{"sub", "event"}`, and ends
with `{"sub", "error"}` or, if the subscriber was too slow, with `{"sub", "gap"}`. The subscriber then
subscribes again after its last event, and the store fills the gap.
"""

from __future__ import annotations

import inspect
import typing
from functools import cache
from typing import Any, cast

import msgspec
from msgspec import Struct

from victor_engine import api, jsonio
from victor_engine.api import port
from victor_engine.api.port import PortMethod
from victor_engine.people.rights import Grant
from victor_engine.service.identity import Claims

PROTOCOL = 1
"""The version of the protocol. Increase it if an older client could misinterpret a newer engine."""

MAX_MESSAGE = 64 * 1024 * 1024
"""Maximum bytes of one line of the server, so that an error cannot fill the memory."""

MAX_REQUEST = jsonio.MAX_SIZE + 1024 * 1024
"""Maximum bytes of one line of a client: a state or an answer of maximum size, and the rest of the call."""

QUEUED_EVENTS = 2000
"""Maximum events that wait for a slow subscriber before it gets a gap."""


class OnBehalf(Struct, frozen=True, omit_defaults=True):
    """The token on whose behalf a server calls, and the grant of this token."""

    name: str
    grant: Grant


class Hello(Struct, frozen=True, omit_defaults=True):
    """The first message of both sides. `tokens` of an engine: whether it accepts `on_behalf` of this client."""

    protocol: int
    product: str = ""
    pid: int = 0
    claims: Claims = Claims()
    tokens: bool = False
    on_behalf: OnBehalf | None = None


def not_a_proxy(user: str) -> str:
    """Return the message that refuses calls of a user on behalf of tokens."""
    return (
        f"permission denied: {user} may not act on behalf of tokens; add {user} to `proxies` in the scheduler.yaml of "
        "the engine"
    )


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
    """One method of the port with the types of its parameters and its result."""

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
    """Return the method that responds with a stream."""
    return _method(port.declared()["subscribe"])


encode = msgspec.json.Encoder(enc_hook=str).encode
"""The encoder of messages. Values of free-form objects without a JSON type are sent as text."""

decode_client = msgspec.json.Decoder(FromClient).decode
decode_server = msgspec.json.Decoder(FromServer).decode


def line(message: Struct | dict[str, Any]) -> bytes:
    return encode(message) + b"\n"


def result_line(request: int, result: Any) -> bytes:
    return b'{"id":%d,"result":%b}\n' % (request, encode(result))


def error_line(request: int, wire: dict[str, Any]) -> bytes:
    return line({"id": request, "error": wire})


def check_values(frame: bytes) -> None:
    """Raise ValueError if a message has more than `MAX_VALUES` values."""
    if jsonio.has_more_values(frame, jsonio.MAX_VALUES):
        raise ValueError(
            f"it has more than {jsonio.MAX_VALUES} values; put them into a file and send its path"
        )


def arguments(method: Method, raw: bytes | msgspec.Raw) -> dict[str, Any]:
    """Return the decoded parameters. Raise msgspec.ValidationError, which names the invalid parameter."""
    converted = msgspec.json.decode(raw, type=method.parameters)
    return {name: getattr(converted, name) for name in method.parameters.__struct_fields__}


def result(method: Method, raw: msgspec.Raw) -> Any:
    return None if method.result is type(None) else cast(Any, msgspec.json.decode(raw, type=method.result))
