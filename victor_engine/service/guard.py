"""The check of each call of a client: its role, or that a request asks this user."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import aclosing
from typing import Any, Protocol

import msgspec

from victor_engine.api import Actor, EngineInfo, EventInfo, Port, QueueInfo, RequestInfo, RequestQuery
from victor_engine.api.port import PortMethod, declared
from victor_engine.api.roles import Role, granting_users, refusal
from victor_engine.clock import Clock
from victor_engine.errors import PermissionDeniedError, VictorError
from victor_engine.identity import acting_as, current_actor, user_name
from victor_engine.people.rights import Rights, current_grant, is_owner
from victor_engine.service.identity import Peer
from victor_engine.store.queries.people import ALL_STATUSES

RECHECK_SECONDS = 25.0
"""Seconds between two checks of the role of a subscriber."""

_ANY = RequestQuery(statuses=ALL_STATUSES, named=True)


class Gate(Protocol):
    """The part of a server that decides which users connect, and what their calls do."""

    async def may_connect(self, peer: Peer) -> bool:
        """Return whether a process can connect at all."""
        ...

    def may_act_for_tokens(self, peer: Peer) -> bool:
        """Return whether a process may act on behalf of tokens."""
        ...

    async def call(self, actor: Actor, method: PortMethod, given: dict[str, Any]) -> Any:
        """Call a method of the port for a user. Raise PermissionDeniedError without the role."""
        ...

    def subscribe(self, actor: Actor, after: int) -> AsyncIterator[EventInfo]:
        """Yield the events that a user may see."""
        ...

    async def changed(self, actor: Actor) -> PermissionDeniedError | None:
        """Wait until a subscription must end: with an error, or with None to subscribe again."""
        ...


class OwnerOnly:
    """The gate of a port without permissions: root and the user of the process do everything, others nothing."""

    def __init__(self, port: Port) -> None:
        self._port = port

    async def may_connect(self, peer: Peer) -> bool:
        return is_owner(peer.uid)

    def may_act_for_tokens(self, peer: Peer) -> bool:
        return False

    async def call(self, actor: Actor, method: PortMethod, given: dict[str, Any]) -> Any:
        return await getattr(self._port, method.name)(**given)

    def subscribe(self, actor: Actor, after: int) -> AsyncIterator[EventInfo]:
        return self._port.subscribe(after)

    async def changed(self, actor: Actor) -> PermissionDeniedError | None:
        await asyncio.Event().wait()
        return None


class Guard:
    """The gate of an engine. It knows a user by the uid that the kernel reports, and nothing that a client sends.

    `assignees` returns those of the loaded workflows: such a user can connect before the first request.
    """

    def __init__(
        self, port: Port, rights: Rights, clock: Clock, assignees: Callable[[], Collection[str]]
    ) -> None:
        self._port = port
        self._rights = rights
        self._clock = clock
        self._assignees = assignees

    async def may_connect(self, peer: Peer) -> bool:
        """Return whether the user of a process has a role, or is asked by a request or by a loaded workflow."""
        actor = Actor(user=user_name(peer.uid), uid=peer.uid)
        if await self._rights.of(actor):
            return True
        if not self._rights.configured:
            return False
        if await self._rights.is_one_of(actor, self._assignees()):
            return True
        with acting_as(actor):
            return await self._port.request_count(_ANY) > 0

    def may_act_for_tokens(self, peer: Peer) -> bool:
        """Return whether `proxies` lists the user of a process."""
        return self._rights.may_act_for_tokens(user_name(peer.uid))

    async def call(self, actor: Actor, method: PortMethod, given: dict[str, Any]) -> Any:
        _check_grant(actor, method)
        if actor.via == "web" and method.role is Role.APPROVER and not self._rights.answers_in_browsers:
            raise PermissionDeniedError(
                f"permission denied: {method.name}: requests cannot be answered in a browser. Answer in a terminal, or ask "
                f"{_owner()} to set `serve: {{may_answer: true}}` in the scheduler.yaml of the engine"
            )
        roles = await self._rights.of(actor)
        current_actor.set(actor)
        if method.role is not None and method.role not in roles:
            given = await self._as_assignee(actor, roles, method, given)
        found = await getattr(self._port, method.name)(**given)
        if Role.VIEWER not in roles:
            if isinstance(found, EngineInfo):
                return _without_content(found)
            if isinstance(found, QueueInfo):
                return msgspec.structs.replace(
                    found, open=await self._port.request_count(RequestQuery(named=True))
                )
        return found

    async def _as_assignee(
        self, actor: Actor, roles: frozenset[Role], method: PortMethod, given: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the arguments of a call without the role, limited to the requests that ask this user.

        Where the method says so, they include the questions that this user asked without a workflow.
        """
        assert method.role is not None
        denied = PermissionDeniedError(refusal(method.name, method.role, actor.user, roles, _owner()))
        if not method.assignee:
            raise denied
        own = method.asker and Role.ASK in roles
        query = given.get("query")
        if isinstance(query, RequestQuery):
            if query.run_id is not None:
                raise denied  # the error of an unknown or ambiguous id would name runs
            return {**given, "query": msgspec.structs.replace(query, named=True, own=own)}
        if "request_id" not in given:
            return given  # the queue of the calling user
        request = await self._request(given["request_id"], denied if Role.VIEWER not in roles else None)
        if await self._asks(request, own):
            return given
        if Role.VIEWER in roles and request.assignees:
            raise PermissionDeniedError(
                f"permission denied: {method.name}: request {request.id} is assigned to "
                f"{', '.join(request.assignees)}, and you are {actor.user}"
            )
        raise denied

    async def _request(self, request_id: str, hidden: PermissionDeniedError | None) -> RequestInfo:
        """Return a request. With `hidden`, raise that instead of the error that tells whether it exists."""
        try:
            return await self._port.request(request_id)
        except VictorError:
            if hidden is not None:
                raise hidden from None
            raise

    async def _asks(self, request: RequestInfo, own: bool) -> bool:
        """Return whether the acting user is an assignee of a request, or took part in it, or (`own`) asked it."""
        query = msgspec.structs.replace(_ANY, request_id=request.id, own=own)
        return await self._port.request_count(query) > 0

    async def subscribe(self, actor: Actor, after: int) -> AsyncIterator[EventInfo]:
        """Yield the events that a user may see: with the role viewer all, otherwise those of requests to the user."""
        _check_grant(actor, declared()["subscribe"])
        current_actor.set(actor)
        seeing = Role.VIEWER in await self._rights.of(actor)
        async with aclosing(self._port.subscribe(after)) as feed:  # type: ignore[type-var]
            async for event in feed:
                if seeing or await self._is_about(event):
                    yield event

    async def changed(self, actor: Actor) -> PermissionDeniedError | None:
        """Wait until a subscriber gets or loses the role viewer. Return the error if it is lost."""
        method = declared()["subscribe"]
        assert method.role is not None
        seeing = method.role in await self._rights.of(actor)
        while True:
            await self._clock.sleep(RECHECK_SECONDS)
            roles = await self._rights.of(actor)
            if seeing and method.role not in roles:
                return PermissionDeniedError(refusal(method.name, method.role, actor.user, roles, _owner()))
            if method.role in roles and not seeing:
                return None

    async def _is_about(self, event: EventInfo) -> bool:
        """Return whether an event is about a request that asks the acting user, or that this user asked."""
        if event.request_id is None:
            return False
        query = msgspec.structs.replace(_ANY, request_id=event.request_id, own=True)
        return await self._port.request_count(query) > 0


def _check_grant(actor: Actor, method: PortMethod) -> None:
    """Raise PermissionDeniedError if the grant of a token does not include a method."""
    grant = current_grant.get()
    if actor.proxy is None or grant is None or method.role is None:
        return
    if grant.scopes and method.part not in grant.scopes:
        raise PermissionDeniedError(
            f"permission denied: {method.name} needs the scope {method.part}; {actor.user} has "
            f"{', '.join(grant.scopes)}. Add a token with this scope"
        )
    if method.role is Role.APPROVER and not grant.may_answer:
        raise PermissionDeniedError(
            f"permission denied: {method.name}: {actor.user} may not answer requests. Add a token with --may-answer"
        )


def _owner() -> str:
    """Return the users who can grant roles."""
    return granting_users(user_name(os.geteuid()))


def _without_content(info: EngineInfo) -> EngineInfo:
    """Return the state of an engine without its numbers and problems, for a user without the role viewer."""
    kept = {
        name: getattr(info, name)
        for name in (
            "mode", "pid", "epoch", "user", "host", "state_dir", "workspace", "product_version", "started_at",
            "now", "trusted", "untrusted", "last_event", "engine_user", "socket",
        )
    }  # fmt: skip
    return EngineInfo(**kept, limited=True)
