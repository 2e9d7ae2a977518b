"""The OpenAPI document, derived from the declaration of the port."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import msgspec

from victor_engine import __version__
from victor_engine.api import EventInfo, port
from victor_engine.api.port import PortMethod
from victor_engine.service import protocol

PREFIX = "/v1"
"""The first part of each path, which has the version of the API."""

HOOKS = f"{PREFIX}/hooks/{{name}}"
"""The path of webhooks."""

_TEMPLATE = "#/components/schemas/{name}"
_PROBLEM = {
    "title": "Problem",
    "description": "An error (RFC 9457). `code` is one of the codes of the documentation of errors.",
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "details": {"type": "object"},
    },
    "required": ["type", "title", "status", "detail", "code", "details"],
}


def path_of(method: PortMethod) -> str:
    """Return the path of a method: `/v1/runs/start_run`."""
    return f"{PREFIX}/{method.part}/{method.name}"


@cache
def document() -> bytes:
    """Return the OpenAPI document as JSON."""
    methods = protocol.methods()
    types = [each for method in methods.values() for each in (method.parameters, method.result)]
    (*shapes, event), components = msgspec.json.schema_components([*types, EventInfo], ref_template=_TEMPLATE)
    components["start_run_parameters"]["properties"]["key"] = _START_KEY
    paths: dict[str, Any] = {}
    for (name, declared), parameters, result in zip(
        port.methods().items(), shapes[0::2], shapes[1::2], strict=True
    ):
        needed = any(field.required for field in msgspec.structs.fields(methods[name].parameters))
        body = {"required": needed, "content": {"application/json": {"schema": parameters}}}
        content = {"application/json": {"schema": result}}
        paths[path_of(declared)] = {"post": {**_operation(declared, content), "requestBody": body}}
    subscribe = port.declared()["subscribe"]
    paths[path_of(subscribe)] = {"get": {**_operation(subscribe, _stream(event)), "parameters": _RESUME}}
    paths[HOOKS] = {"post": _HOOK}
    found = {
        "openapi": "3.1.0",
        "info": {"title": "victor", "version": __version__, "description": _ABOUT},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": _PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
    return msgspec.json.encode(found)


_ABOUT = (
    "The port of an engine. Each method is a POST request with its arguments as a JSON object; the shapes are those of "
    "the socket. Errors are problem documents."
)
_START_KEY = {"type": "string", "minLength": 1}
"""The schema of the key of a start. The default of the port, an empty key, is refused over HTTP: programs omit it."""
_RESUME = [
    {
        "name": "after",
        "in": "query",
        "description": "The number of an event; the stream begins after it. Default: the newest event.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    },
    {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The id of the last event that was received. It has precedence over `after`.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    },
]


def _header(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
    }


_PROBLEMS = {"application/problem+json": {"schema": {"$ref": _TEMPLATE.format(name="Problem")}}}
_HOOK = {
    "operationId": "start_by_hook",
    "tags": ["hooks"],
    "summary": "Start the run of a webhook. The body has the inputs of its workflow.",
    "security": [],
    "parameters": [
        {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}},
        _header("Victor-Timestamp", "The present time in seconds since 1970."),
        _header(
            "Victor-Signature", "`v1=` and the HMAC-SHA256 of `TIMESTAMP.KEY.BODY` in hexadecimal digits."
        ),
        _header(
            "Idempotency-Key",
            "A text that identifies the start. A second request with it starts no second run.",
        ),
    ],
    "requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}},
    "responses": {
        "202": {"description": "The run.", "content": {"application/json": {"schema": {"type": "object"}}}},
        "default": {"description": "An error.", "content": _PROBLEMS},
    },
}


def _operation(method: PortMethod, content: dict[str, Any]) -> dict[str, Any]:
    summary, _, rest = inspect.cleandoc(method.declaration.__doc__ or "").partition("\n")
    role = f"Needs the role {method.role}." if method.role is not None else "Needs no role."
    return {
        "operationId": method.name,
        "tags": [method.part],
        "summary": summary,
        "description": f"{rest.strip()}\n\n{role}".strip(),
        "responses": {
            "200": {"description": "The result.", "content": content},
            "default": {"description": "An error.", "content": _PROBLEMS},
        },
    }


def _stream(event: dict[str, Any]) -> dict[str, Any]:
    """Return the content of the stream of events. `data` of each server-sent event is an event as JSON."""
    return {"text/event-stream": {"schema": {"type": "string", "contentSchema": event}}}
