"""The invoker of HTTP requests, and the HTTP functions of the chat invoker."""

from __future__ import annotations

import codecs
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import msgspec

from victor_engine import jsonio
from victor_engine.config.model import Binding, HttpTarget
from victor_engine.errors import NodeError
from victor_engine.work.calls import CallContext, NodeCall
from victor_engine.work.invokers.output import Output
from victor_engine.work.invokers.results import (
    MAX_OUTPUT,
    limited,
    reported_error,
    time_limit,
    too_large,
)
from victor_engine.work.retry import requested_delay
from victor_engine.work.secrets import SecretStore
from victor_engine.work.trace_context import TRACEPARENT

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT = 30.0
"""Time limit of a connection in seconds; the limits of node and binding apply to the rest."""

DEFAULT_TIMEOUT = 60.0
"""Time limit of a request in seconds if neither the node nor the binding has one."""

MAX_REDIRECTS = 10
"""Maximum number of redirects of one request."""

_ERROR_TEXT = 300


class HttpClient:
    """An HTTP client that is created at the first request and kept for its connections."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> AsyncIterator[httpx.Response]:
        """Yield the response before its body is read. Transport errors become NodeError."""
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT))
        try:
            async with self._client.stream(method, url, headers=dict(headers), content=body) as response:
                yield response
        except httpx.TimeoutException as error:
            raise _transport(error, "TimeoutError", url) from error
        except httpx.TransportError as error:
            raise _transport(error, "ConnectionError", url) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _transport(error, type(error).__name__, url) from error

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None


class HttpInvoker:
    """Sends the payload of the node, or the body of the binding, and returns the JSON or text of the response."""

    def __init__(
        self, binding: Binding, target: HttpTarget, client: HttpClient, secrets: SecretStore
    ) -> None:
        self._binding = binding
        self._target = target
        self._client = client
        self._secrets = secrets

    @property
    def description(self) -> str:
        return f"http {self._target.method} {self._target.url}"

    async def __call__(self, call: NodeCall, context: CallContext) -> Any:
        target = self._target
        body = None
        if target.method not in ("GET", "HEAD"):
            content = call.payload()
            if target.body is not None:
                content = fill(target.body, content, self._secrets)
            body = msgspec.json.encode(content)
        who = f"{target.method} {target.url}"
        async with limited(time_limit(call, self._binding.timeout, DEFAULT_TIMEOUT), who):
            response, data = await self._fetch(self._secrets.resolve(target.url), body, call, context)
        if response.status_code >= (400 if target.redirects == "accept" else 300):
            raise status_error(response, data, who)
        empty = response.status_code in (204, 205, 304) or target.method == "HEAD"
        found = await Output.read(data, self._binding, who, charset_of(response))
        return await found.read_result(context.warn, may_be_empty=empty)

    async def _fetch(
        self, url: str, body: bytes | None, call: NodeCall, context: CallContext
    ) -> tuple[httpx.Response, bytes]:
        """Send the request, and follow redirects if the binding says so. Return the last response and its body."""
        target = self._target
        who = f"{target.method} {target.url}"
        method = target.method
        common = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/*;q=0.9, */*;q=0.1",
            "Idempotency-Key": call.idempotency_key,
            **({TRACEPARENT: call.traceparent} if call.traceparent else {}),
        }
        headers = {**common, **self._secrets.resolve(target.headers)}
        for _ in range(MAX_REDIRECTS + 1):
            async with self._client.send(method, url, headers, body) as response:
                data = await read_body(response, who)
            context.log("log", f"{who}: {response.status_code}, {len(data)} bytes")
            onward = response.next_request
            if target.redirects != "follow" or onward is None:
                return response, data
            here = response.request.url
            if here.scheme == "https" and onward.url.scheme != "https":
                raise _redirect_error(response, f"{who} redirects from https to {onward.url.scheme}")
            if (here.scheme, here.host, here.port) != (onward.url.scheme, onward.url.host, onward.url.port):
                headers = common  # the headers of the binding, which may have secrets, are for its own server
            if onward.method != method:
                method, body = onward.method, None
            url = str(onward.url)
            context.log("log", f"{who}: redirected to {onward.url.copy_with(query=None, fragment=None)}")
        raise _redirect_error(response, f"{who} redirects more than {MAX_REDIRECTS} times")


def fill(template: Any, payload: Mapping[str, Any], secrets: SecretStore) -> Any:
    """Return a body: a text `$inputs.a.b` (or `$run_id`, …) of the template becomes that value of the payload.

    Secrets are inserted only into texts of the template, never into values of the payload.

    Raise NodeError if the payload does not have such a value.
    """
    if isinstance(template, str) and template.startswith("$") and not template.startswith("$secret."):
        value: Any = payload
        for step in template[1:].split("."):
            if not isinstance(value, Mapping) or step not in value:
                raise NodeError(
                    f"the body of the request refers to {template}, which the node does not have",
                    error_type="KeyError",
                    bases=("LookupError", "Exception"),
                    retryable=False,
                )
            value = value[step]
        return value
    if isinstance(template, Mapping):
        return {key: fill(item, payload, secrets) for key, item in template.items()}
    if isinstance(template, list):
        return [fill(item, payload, secrets) for item in template]
    return secrets.resolve(template)


async def read_body(response: httpx.Response, who: str, limit: int = MAX_OUTPUT) -> bytes:
    """Return the body if it is smaller than `limit` bytes, else raise NodeError."""
    data = bytearray()
    async for part in response.aiter_bytes():
        data += part
        if len(data) > limit:
            raise too_large(who, limit)
    return bytes(data)


def status_error(response: httpx.Response, data: bytes, who: str) -> NodeError:
    """Return the error for a status of 300 or more. Its type is `HTTP404` and so on, or the type in the body."""
    status = response.status_code
    reported: NodeError | None = None
    try:
        reported = reported_error(jsonio.read(data))
    except ValueError:
        detail = data[:_ERROR_TEXT].decode("utf-8", "replace").strip()
    else:
        detail = reported.message if reported else data[:_ERROR_TEXT].decode("utf-8", "replace").strip()
    message = f"{who} answered {status} {response.reason_phrase}"
    if response.next_request is not None:
        place = response.next_request.url.copy_with(query=None, fragment=None)
        message += (
            f" and redirects to {place}. To follow it, write redirects: follow in the http of its binding"
        )
        detail = ""
    return NodeError(
        f"{message}: {detail}" if detail else message,
        error_type=f"HTTP{status}",
        bases=tuple(
            dict.fromkeys(
                [*((reported.error_type, *reported.bases) if reported else ()), "HTTPError", "Exception"]
            )
        ),
        http_status=status,
        retry_after=retry_after(response.headers.get("Retry-After")),
    )


def charset_of(response: httpx.Response) -> str:
    """Return the encoding that a response names in its Content-Type; empty if it names none that exists."""
    try:
        name = codecs.lookup(response.charset_encoding or "").name
        "\n".encode(name)
    except (LookupError, UnicodeError):
        return ""
    return name


def _redirect_error(response: httpx.Response, message: str) -> NodeError:
    return NodeError(
        f"{message}, and the last request was not sent",
        error_type="RedirectError",
        bases=("HTTPError", "Exception"),
        http_status=response.status_code,
        retryable=False,
    )


def retry_after(text: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds of a `Retry-After` header (RFC 9110 10.2.3), or None if it is missing or invalid."""
    if not text:
        return None
    if re.fullmatch(r"[0-9]+", text.strip()):
        return requested_delay(float(text))
    try:
        when = parsedate_to_datetime(text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):  # the parser raises each of them
        return None


def _transport(error: Exception, kind: str, url: str) -> NodeError:
    message = str(error) or type(error).__name__
    return NodeError(
        f"{url}: {message}", error_type=kind, bases=(type(error).__name__, "OSError", "Exception")
    )
