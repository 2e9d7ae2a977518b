"""Webhooks: signed requests that start a workflow with declared inputs, each at most once."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from victor_engine import jsonio
from victor_engine.api import RunInfo
from victor_engine.errors import ConflictError, PermissionDeniedError, UsageError
from victor_engine.service import protocol
from victor_engine.service.client import Client
from victor_engine.web.problems import HttpError
from victor_engine.web.tokens import Hook

WINDOW_SECONDS = 300
"""Maximum difference in seconds between the time stamp of a request and the present."""
BODY_BYTES = 1024 * 1024
"""Maximum bytes of a body, which is read before the signature is verified."""
KEY_LENGTH = 100
"""Maximum characters of an idempotency key."""


class Signed(NamedTuple):
    """The headers of a signed request."""

    timestamp: str
    key: str
    signature: str


def refused() -> HttpError:
    """Return the error of a request that is not signed for a webhook, with one message for all reasons."""
    message = "the webhook does not exist, or the signature, the time stamp or the key is not valid"
    return HttpError(401, PermissionDeniedError(message))


def signature(secret: str, timestamp: str, key: str, body: bytes) -> str:
    """Return the signature of a request."""
    text = f"{timestamp}.{key}.".encode() + body
    return "v1=" + hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def signed_headers(headers: Mapping[str, str]) -> Signed:
    """Return the headers of a signed request. Raise HttpError 401 if one is missing or malformed."""
    found = Signed(
        headers.get("victor-timestamp", ""),
        headers.get("idempotency-key", ""),
        headers.get("victor-signature", ""),
    )
    plain = all(text.isascii() and text.isprintable() for text in found)
    number = found.timestamp.isdigit() and len(found.timestamp) <= 12
    if not (plain and number and 0 < len(found.key) <= KEY_LENGTH and found.signature):
        raise refused()
    return found


def verify(secret: str, signed: Signed, body: bytes, now: datetime) -> None:
    """Raise HttpError 401 unless a request was signed with the secret within the last minutes."""
    expected = signature(secret, signed.timestamp, signed.key, body)
    if not hmac.compare_digest(expected, signed.signature):
        raise refused()
    if abs(now.timestamp() - int(signed.timestamp)) > WINDOW_SECONDS:
        raise refused()


def inputs_of(body: bytes) -> dict[str, Any]:
    """Return the inputs in a body. Raise UsageError if it is not a JSON object."""
    try:
        protocol.check_values(body)
        found = jsonio.read(body)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the body is not a JSON object of inputs: {error}") from None
    if not isinstance(found, dict):
        raise UsageError("the body is not a JSON object of inputs")
    return found


async def start(client: Client, hook: Hook, key: str, inputs: dict[str, Any]) -> RunInfo:
    """Start the workflow of a webhook, or return the run that the key started before.

    Raise ConflictError if the workflow declares no inputs.
    """
    definition = await client.definition(hook.workflow, hook.version)
    if definition.inputs is None:
        raise ConflictError(
            f"the workflow {hook.workflow} {definition.version} declares no inputs, so no webhook starts it; add "
            "`inputs:` to its file"
        )
    return await client.start_run(hook.workflow, hook.version, inputs, key=key)
