"""The actions of the port on requests to people."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from datetime import datetime
from typing import Any

from msgspec import UNSET, convert, to_builtins
from msgspec.structs import replace

from victor_engine.api import Answer, AuditHead, Question, RequestInfo
from victor_engine.clock import to_us
from victor_engine.definition.secret_fields import split, with_secrets
from victor_engine.engine import asking
from victor_engine.engine.current_workspace import CurrentWorkspace
from victor_engine.engine.queries import Reader, RequestQueries
from victor_engine.errors import InvalidAnswerError, UsageError, VictorError
from victor_engine.events import EventKind
from victor_engine.graph_walk.stopwatch import committed
from victor_engine.identity import acting
from victor_engine.people import commands
from victor_engine.people.answers import Decision
from victor_engine.people.roles import ROLE, Person, exists, look_up, needs_groups, person
from victor_engine.people.secret_answers import Sealed, require_key, seal
from victor_engine.people.stored_request import read_row
from victor_engine.runs.commands import Cancel
from victor_engine.runs.evaluation_note import Note
from victor_engine.runs.supervisor import RunSupervisor
from victor_engine.store import queries
from victor_engine.store.db import Store, Tx
from victor_engine.store.repositories import audit
from victor_engine.store.repositories.run_rows import StoredRun


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts and numbers in a value, as text."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


GROUPS_SECONDS = 10.0
"""Maximum seconds for the system to look up the groups of a user before a write."""


class RequestService:
    """The actions on requests. Users and groups are looked up before the transition."""

    def __init__(
        self,
        store: Store,
        reader: Reader,
        current: CurrentWorkspace,
        runtime: RunSupervisor,
        queries: RequestQueries,
    ) -> None:
        self._store = store
        self._reader = reader
        self._current = current
        self._runtime = runtime
        self._queries = queries

    async def answer(self, request_id: str, revision: int, answer: Answer) -> RequestInfo:
        full = await self._reader.read(queries.request_id, request_id)
        row = await self._reader.read(read_row, full)
        value, found = answer.value, dict[str, Any]()
        if row.ask.sealed and row.ask.input_schema is not None:
            if value is UNSET:
                value = row.ask.recommendation if row.ask.kind == "override" else row.ask.default
            value, found = split(row.ask.input_schema, value)
        masker = self._current.bindings().secrets.masker  # before anything of the answer is logged
        for text in _texts(found):
            masker.add(text)
        value, comment = self._current.masked(value), self._current.masked(answer.comment)
        sealed: tuple[Sealed, ...] = ()
        if found:
            key = await asyncio.to_thread(require_key, self._store.path.parent)
            sealed = seal(key, row.run_id, row.node_id, found)
        if answer.value is not UNSET:
            answer = replace(answer, value=with_secrets(value, found))
        answer = replace(answer, comment=comment)
        try:
            note = Note(row.run_key)
            note.visit(row.node_id)
            return await self._send(
                full, lambda full: commands.AnswerIt(full, revision, answer, sealed), note
            )
        except InvalidAnswerError as error:
            raise InvalidAnswerError(masker.text(error.message), **masker.value(error.details)) from None

    async def prune_audit(self, before: datetime, note: str = "") -> AuditHead:
        actor = acting()

        def prune(tx: Tx) -> None:
            if before > tx.now:
                raise UsageError(f"{before:%Y-%m-%d %H:%M:%S %Z} is in the future; give an earlier time")
            seq, digest, deleted = audit.prune(tx, to_us(before))
            data = {"seq": seq, "digest": digest, "deleted": deleted, **({"note": note} if note else {})}
            tx.event(EventKind.AUDIT_PRUNED, actor=actor, data=data)

        await self._store.write(prune)
        return await self._queries.audit_head()

    async def claim(self, request_id: str) -> RequestInfo:
        return await self._send(request_id, commands.Claim)

    async def release(self, request_id: str) -> RequestInfo:
        return await self._send(request_id, commands.Release)

    async def reassign(
        self, request_id: str, revision: int, assignees: list[str], note: str = ""
    ) -> RequestInfo:
        people = tuple(assignees)
        await self._must_exist(people)
        return await self._send(request_id, lambda full: commands.Reassign(full, revision, people, note))

    async def delegate(self, request_id: str, revision: int, to: str, note: str = "") -> RequestInfo:
        await self._must_exist((to,))
        return await self._send(request_id, lambda full: commands.Delegate(full, revision, to, note))

    async def undo_answer(self, request_id: str) -> RequestInfo:
        return await self._send(request_id, commands.UndoAnswer)

    async def push_back(self, request_id: str, revision: int, to_node: str, comment: str) -> RequestInfo:
        return await self._send(request_id, lambda full: commands.PushBack(full, revision, to_node, comment))

    async def ask_requester(self, request_id: str, question: str) -> RequestInfo:
        return await self._send(request_id, lambda full: commands.AskRequester(full, question))

    async def reply(self, request_id: str, text: str) -> RequestInfo:
        return await self._send(request_id, lambda full: commands.Reply(full, text))

    async def ask(self, question: Question) -> RequestInfo:
        self._current.require_trust()  # without it, the engine does not act on deadlines and answers
        question = convert(self._current.masked(to_builtins(question)), Question)
        asking.check(question)
        await self._must_exist(question.assignees)
        actor, config = acting(), self._current.loaded.config.hitl
        definition = await self._store.write(asking.definition_id)
        commit = self._store.write(lambda tx: asking.ask(tx, question, actor, definition, config))

        def react(asked: tuple[int, str]) -> None:
            self._runtime.enqueue(asked[0], question.priority, again=True)
            self._runtime.deadlines_changed()

        _, request_id = await committed(commit, react)
        return await self._queries.request(request_id)

    async def withdraw(self, request_id: str, note: str = "") -> RequestInfo:
        full = await self._reader.read(queries.request_id, request_id)
        row, actor = await self._reader.read(read_row, full), acting()

        def withdraw(tx: Tx, run: StoredRun) -> None:
            asking.withdraw(tx, run, full, actor, note)

        await self._runtime.command(Cancel(row.run_id, note), actor, withdraw)
        return await self._queries.request(full)

    async def _send(
        self, request_id: str, command: Callable[[str], commands.Command], note: Note | None = None
    ) -> RequestInfo:
        """Commit a command on a request by its full id, and then apply its decision.

        With `note`, the command evaluates a form of that run.
        """
        full, who = await self._who(request_id)
        given = command(full)

        def react(decision: Decision | None) -> None:
            if decision is not None:
                self._runtime.deliver(full, decision)
            else:
                self._runtime.deadlines_changed()

        def commit(tx: Tx) -> Decision | None:
            with nullcontext() if note is None else self._runtime.quarantine.memory.beside(note):
                return commands.commit(tx, given, who)

        await committed(self._store.write(commit), react)
        return await self._queries.request(full)

    async def _who(self, request_id: str) -> tuple[str, Person]:
        """Return the full id of the request, and the acting person."""
        full = await self._reader.read(queries.request_id, request_id)
        return full, await self._person(full)

    async def _must_exist(self, names: tuple[str, ...]) -> None:
        """Raise UsageError for a user, group or role that does not exist, because it could not answer the request."""
        config = self._current.loaded.config
        if config.hitl.unknown_assignees != "error":
            return

        def unknown() -> list[str]:
            return [name for name in names if name.strip() and not exists(name.strip(), config.roles)]

        try:
            async with asyncio.timeout(GROUPS_SECONDS):
                found = await asyncio.to_thread(unknown)
        except TimeoutError:
            raise VictorError(
                f"the user database did not look up {', '.join(names)} within {GROUPS_SECONDS:g} seconds; "
                "nothing was written; try again"
            ) from None
        if found:
            raise UsageError(
                f"unknown on this machine: {', '.join(found)}; give an existing user, group:<name>, "
                "or a @<role> of the configuration"
            )

    async def _person(self, request_id: str) -> Person:
        """Return the acting person. Look up the groups of the user unless the request is assigned by name."""
        actor, config = acting(), self._current.loaded.config
        admins = config.permissions.admin if config.permissions is not None else ()
        assignees = (await self._reader.read(read_row, request_id)).ask.assignees
        if not needs_groups(assignees, actor) and not any(name.startswith(ROLE) for name in admins):
            return person(actor, config.roles, frozenset(), admins)
        try:
            async with asyncio.timeout(GROUPS_SECONDS):
                return await asyncio.to_thread(look_up, actor, config.roles, admins)
        except TimeoutError:
            raise VictorError(
                f"the user database did not look up the groups of {actor.user} within {GROUPS_SECONDS:g} seconds; "
                "nothing was written; try again"
            ) from None
