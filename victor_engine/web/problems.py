"""Errors as responses: problem documents (RFC 9457) with the codes of `docs/errors.md`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

from victor_engine.errors import VictorError

MEDIA_TYPE = "application/problem+json"

STATUSES: Mapping[str, int] = {
    "error": 500,
    "usage": 400,
    "plan_token": 400,
    "definition": 422,
    "graph_definition": 422,
    "version_conflict": 409,
    "config": 500,
    "not_found": 404,
    "conflict": 409,
    "already_answered": 409,
    "plan_expired": 409,
    "plan_changed": 409,
    "item_changed": 409,
    "moved_meanwhile": 409,
    "thread_busy": 409,
    "deployment": 422,
    "permission": 403,
    "engine_unavailable": 503,
    "engine_locked": 503,
    "fenced": 503,
    "untrusted": 403,
    "store": 500,
    "storage": 503,
    "invalid_answer": 422,
    "invalid_input": 422,
    "node": 422,
    "node_timeout": 422,
    "expression": 422,
    "expression_limit": 422,
    "circuit_open": 503,
    "graph_run": 422,
    "loading": 500,
    "migration": 422,
    "notify": 502,
    "version_removed": 409,
}
"""The HTTP status of each error code."""


class HttpError(Exception):
    """An error of HTTP itself, with its status and the headers of the response."""

    def __init__(self, status: int, error: VictorError, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error
        self.headers = dict(headers or {})


def document(error: VictorError, status: int) -> dict[str, Any]:
    """Return the problem document of an error."""
    return {
        "type": f"urn:victor:error:{error.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.message,
        "code": error.code,
        "details": error.details,
    }


def response(
    error: VictorError, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the response for an error."""
    status = STATUSES.get(error.code, 500) if status is None else status
    body = msgspec.json.encode(document(error, status), enc_hook=str)
    return Response(body, status, headers, MEDIA_TYPE)
