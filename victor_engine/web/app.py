"""The application behind `victor api`: a route for each method of the port, and a stream of events."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from victor_engine.api import port
from victor_engine.api.port import PortMethod
from victor_engine.errors import (
    EngineUnavailableError,
    NotFoundError,
    PermissionDeniedError,
    UsageError,
    VictorError,
)
from victor_engine.service import frames, protocol
from victor_engine.service.client import Client
from victor_engine.web import events, hooks, openapi, problems
from victor_engine.web.bodies import Bodies
from victor_engine.web.engines import Engines
from victor_engine.web.problems import HttpError
from victor_engine.web.rate import TokenUsage
from victor_engine.web.tokens import Token, TokenFile

log = logging.getLogger(__name__)

CALL_SECONDS = 120.0
"""Maximum seconds for the answer of the engine."""
MOST_LIMITED = 1000
"""Tokens whose use of the limits is kept."""

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Api:
    """The handlers of the routes. `now` returns the present instant, and `rate` is the calls of a token in a second."""

    def __init__(self, tokens: TokenFile, engines: Engines, rate: float, now: Callable[[], datetime]) -> None:
        self._tokens = tokens
        self._engines = engines
        self._rate = rate
        self._now = now
        self._usages: dict[str, TokenUsage] = {}
        self.bodies = Bodies(protocol.MAX_REQUEST, 4 * protocol.MAX_REQUEST)
        # Those of webhooks are read before the sender is known, so they do not take the memory of the others.
        self._hook_bodies = Bodies(hooks.BODY_BYTES, 16 * hooks.BODY_BYTES)

    # --- routes ----------------------------------------------------------------------------

    def document(self, request: Request) -> Response:
        """Return the OpenAPI document, which needs no token."""
        return Response(openapi.document(), headers=_HEADERS, media_type="application/json")

    def method(self, method: PortMethod) -> Callable[[Request], Awaitable[Response]]:
        """Return the handler of a method of the port."""

        async def handle(request: Request) -> Response:
            token = self._authenticated(request)
            usage = self._usage_of(token)
            usage.count()
            if request.url.query:
                raise UsageError(f"{method.name} takes its arguments as a JSON object in the body")
            with usage.active("calls"):
                result = await self._call(request, token, method)
            if method.kind == "action":
                log.info(
                    "token:%s %s %s", token.name, method.name, request.client.host if request.client else ""
                )
            return Response(result, headers=_HEADERS, media_type="application/json")

        return handle

    async def subscribe(self, request: Request) -> Response:
        """Return the stream of events."""
        token = self._authenticated(request)
        usage = self._usage_of(token)
        usage.count()
        if unknown := set(request.query_params) - {"after"}:
            raise UsageError(f"subscribe has no parameter {sorted(unknown)[0][:40]!r}; it has: after")
        after = events.resume_after(request.headers.get("last-event-id"), request.query_params.get("after"))
        if request.method == "HEAD":
            return Response(headers=_HEADERS, media_type="text/event-stream")
        stack = AsyncExitStack()
        try:
            stack.enter_context(usage.active("streams"))
            client = await stack.enter_async_context(self._engines.client(token))
            if after is None:
                after = (await client.engine()).last_event
        except BaseException:
            await stack.aclose()
            raise
        content = events.stream(client, after, partial(self._check, token))
        return _Stream(content, stack)

    async def hook(self, request: Request) -> Response:
        """Start the run of a webhook. A request that is sent twice starts one run."""
        token = self._tokens.find_hook(request.path_params["name"])
        if token is None or token.hook is None:
            raise hooks.refused()
        signed = hooks.signed_headers(request.headers)
        async with self._hook_bodies.read(request) as body:
            hooks.verify(token.hook.secret, signed, body, self._now())
            self._check_expiry(token)
            usage = self._usage_of(token)
            usage.count()
            inputs = hooks.inputs_of(body)
        with usage.active("calls"):
            async with self._engine(token, "start_run") as client:
                run = await hooks.start(client, token.hook, signed.key, inputs)
        log.info("token:%s hook %s", token.name, run.id)
        content = msgspec.json.encode({"run": run.id, "workflow": run.workflow, "status": run.status})
        return Response(content, 202, headers=_HEADERS, media_type="application/json")

    # --- calls -----------------------------------------------------------------------------

    async def _call(self, request: Request, token: Token, method: PortMethod) -> bytes:
        async with self.bodies.read(request) as body:
            given = await _arguments(method, body)
        async with self._engine(token, method.name) as client:
            return await client.call_raw(method.name, given)

    @asynccontextmanager
    async def _engine(self, token: Token, name: str) -> AsyncIterator[Client]:
        """Yield the connection of a token for a call. Raise HttpError 504 if the engine does not answer in time."""
        try:
            async with asyncio.timeout(CALL_SECONDS), self._engines.client(token) as client:
                yield client
        except TimeoutError:
            raise HttpError(
                504,
                EngineUnavailableError(
                    f"{name}: the engine did not answer within {CALL_SECONDS:g} seconds; look at the state before you "
                    "try again, or give the start of a run a key"
                ),
            ) from None

    def _authenticated(self, request: Request) -> Token:
        """Return the token of a request. Raise HttpError 401 without a valid one."""
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not text:
            raise _unauthorized("this request has no token; send the header `Authorization: Bearer TOKEN`")
        token = self._tokens.find(text.strip())
        if token is None:
            raise _unauthorized("the token is unknown or was revoked; add one: victor api token add NAME")
        self._check_expiry(token)
        return token

    def _check_expiry(self, token: Token) -> None:
        if not token.valid_at(self._now()):
            raise _unauthorized(
                f"token:{token.name} has expired ({token.expires:%Y-%m-%d %H:%M} UTC). Revoke it, and add it again: "
                f"{_replacing(token)}"
            )

    def _check(self, token: Token) -> None:
        """Raise PermissionDeniedError if a token was revoked or has expired since its request."""
        if not self._tokens.has(token) or not token.valid_at(self._now()):
            raise PermissionDeniedError(f"token:{token.name} was revoked or has expired")

    def _usage_of(self, token: Token) -> TokenUsage:
        found = self._usages.get(token.digest)
        if found is None:
            if len(self._usages) >= MOST_LIMITED:
                self._usages = {key: each for key, each in self._usages.items() if not each.idle}
            found = self._usages[token.digest] = TokenUsage(token.name, self._rate, time.monotonic)
        return found


class _Stream(StreamingResponse):
    """A stream of events, which closes its resources at its end however it ends."""

    def __init__(self, content: AsyncGenerator[bytes, None], resources: AsyncExitStack) -> None:
        super().__init__(content, headers=_HEADERS, media_type="text/event-stream")
        self._content = content
        self._resources = resources

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._resources, aclosing(self._content):
            await super().__call__(scope, receive, send)


def application(api: Api) -> Starlette:
    """Return the application with the routes of all methods of the port."""
    routes = [
        Route(openapi.path_of(method), api.method(method), methods=["POST"])
        for method in port.methods().values()
    ]
    subscribe = port.declared()["subscribe"]
    return Starlette(
        routes=[
            Route("/openapi.json", api.document, methods=["GET"]),
            Route(openapi.HOOKS, api.hook, methods=["POST"]),
            Route(openapi.path_of(subscribe), api.subscribe, methods=["GET"]),
            *routes,
        ],
        exception_handlers={
            VictorError: _refused,
            HttpError: _refused_by_http,
            HTTPException: _unknown,
            ClientDisconnect: _gone,
            Exception: _failed,
        },
    )


class _Key(msgspec.Struct):
    """The key of a call as its program wrote it: an omitted key has the default of the port, which is empty."""

    key: str | None = None


async def _arguments(method: PortMethod, body: bytes) -> dict[str, Any]:
    """Return the arguments of a call. Raise UsageError, which names the invalid parameter."""
    try:
        protocol.check_values(body)
        raw = msgspec.Raw(body)
    except ValueError as error:
        raise UsageError(f"{method.name}: {error}") from None
    given = await frames.arguments(protocol.methods()[method.name], protocol.FromClient(params=raw))
    if given.get("key") == "" and msgspec.json.decode(raw, type=_Key).key is not None:
        raise UsageError(f"{method.name}: the key is empty; give a key, or omit it")
    return given


def _replacing(token: Token) -> str:
    """Return the commands that put a new token or webhook in place of one, which keeps its name until it is revoked."""
    name = token.name
    add = f"hook add {name} {token.hook.workflow}" if token.hook else f"token add {name}"
    return f"victor api token revoke {name}, then victor api {add}"


def _unauthorized(message: str) -> HttpError:
    return HttpError(401, PermissionDeniedError(message), {"WWW-Authenticate": "Bearer"})


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, VictorError)
    return problems.response(error, headers=_HEADERS)


def _refused_by_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HttpError)
    return problems.response(error.error, error.status, {**_HEADERS, **error.headers})


def _unknown(request: Request, error: Exception) -> Response:
    """Return the response for a path or a method of HTTP that does not exist."""
    assert isinstance(error, HTTPException)
    found: VictorError = NotFoundError("this path does not exist; /openapi.json lists all paths")
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        found = UsageError(f"{request.method} is not possible here, use {allowed}")
    return problems.response(found, error.status_code, {**_HEADERS, **(error.headers or {})})


def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)


def _failed(request: Request, error: Exception) -> Response:
    return problems.response(VictorError("internal error; the log of victor api has it"), headers=_HEADERS)
