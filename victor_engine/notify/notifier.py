"""The notifier of an engine. It reads events after the transitions of runs, and sends messages after that.

The messages and the cursor in the event log are committed together, so that a restart neither loses nor
repeats messages. Only a message that was sent immediately before a crash, and not yet recorded as sent, is
sent again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from victor_engine.api import Actor, EventInfo, StorageInfo
from victor_engine.clock import Clock, from_us
from victor_engine.config.model import COMMAND, Binding, NotifyRule
from victor_engine.errors import ConfigError, VictorError
from victor_engine.events import EventKind
from victor_engine.graph_walk.stopwatch import first_of
from victor_engine.notify import outbox
from victor_engine.notify.command import run_command
from victor_engine.notify.messages import (
    KINDS,
    Message,
    NotifiableEvent,
    compose,
    heartbeat,
    is_obsolete,
    storage_lost,
    unseen,
)
from victor_engine.notify.sender import NotifyError, Sender
from victor_engine.people.roles import GROUP, ROLE, USER, Person, person, unix_groups
from victor_engine.store.db import Store, Tx
from victor_engine.store.queries import last_event
from victor_engine.store.queries.runs import id_of
from victor_engine.store.repositories import outbox as stored
from victor_engine.store.repositories.outbox import Announcement
from victor_engine.work.content_guard import ContentGuard
from victor_engine.work.secrets import SecretStore

log = logging.getLogger(__name__)

PAGE = 200
LOOK_AGAIN = 30.0
"""Maximum seconds between two checks for due messages, because the system clock can jump."""
LOOKING_SECONDS = 10.0
GROUPS_KEPT = 300.0
CLOSING_SECONDS = 5.0
"""Maximum seconds to finish the current message when the engine stops."""

_WATCHED = frozenset(str(kind) for kind in KINDS)


def _facts(item: Announcement, run: str | None) -> dict[str, str]:
    """Return the occasion of a stored message and its subjects, for a command."""
    facts = {
        "occasion": item.occasion, "workflow": item.workflow, "node": item.node_id, "run": run, "request": item.request_id,
    }  # fmt: skip
    return {key: value for key, value in facts.items() if value}


class Notifier:
    """The notifier. `rules`, `roles` and `secrets` return the current values of the configuration."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        rules: Callable[[], tuple[NotifyRule, ...]],
        roles: Callable[[], Mapping[str, tuple[str, ...]]],
        secrets: Callable[[], SecretStore],
        sender: Sender,
        guard: Callable[[], ContentGuard | None] = lambda: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._rules = rules
        self._roles = roles
        self._secrets = secrets
        self._sender = sender
        self._guard = guard
        self._host = socket.gethostname()
        self._cursor: int | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._outage_tasks: set[asyncio.Task[None]] = set()
        self._people: tuple[float, dict[str, Person]] = (-1.0, {})

    async def start(self) -> None:
        """Start. Events from before the first rule are ignored; later events that were missed are processed."""
        self._store.listen(self.on_events)
        await self._begin()
        self._task = asyncio.create_task(self._work(), name="victor-notify")

    async def stop(self) -> None:
        """Stop. Unsent messages stay in the store. Wait shortly for a message that is being sent."""
        self.storage_changed(None)
        if self._task is None:
            return
        self._stopping = True
        self._wake.set()
        done, _ = await asyncio.wait([self._task], timeout=CLOSING_SECONDS)
        if not done:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._cursor is not None:
            with suppress(VictorError):
                cursor = self._cursor
                await self._store.write(lambda tx: outbox.write_cursor(tx, cursor))

    def on_events(self, events: list[EventInfo]) -> None:
        """Handle committed events. The store calls this in the event loop."""
        if self._cursor is not None and any(event.kind in _WATCHED for event in events):
            self._wake.set()

    def storage_changed(self, info: StorageInfo | None) -> None:
        """Handle the begin of a storage outage, or its end (None).

        Messages about the begin are sent and retried without the store until the outage ends. Its end is a
        stored event.
        """
        for task in self._outage_tasks:
            task.cancel()
        if info is None or self._task is None:
            return
        for message in storage_lost(info, self._rules(), self._host):
            for url in message.rule.targets:
                task = asyncio.create_task(self._send_outage(message, url), name="victor-notify-storage")
                self._outage_tasks.add(task)
                task.add_done_callback(self._outage_tasks.discard)

    async def _send_outage(self, message: Message, url: str) -> None:
        for seconds in (0.0, *outbox.RETRIES):
            await self._clock.sleep(seconds)
            error = await self._hand_over(
                message.rule.name, url, message.title, message.body, {"occasion": message.occasion}
            )
            if error is None or error[1]:
                return

    async def beat(self) -> None:
        """Send the messages of the rules for heartbeats. A message that fails is not sent again: the next one follows."""
        if self._task is None or self._stopping:
            return
        for message in heartbeat(self._clock.now(), self._rules(), self._host):
            for url in message.rule.targets:
                await self._hand_over(
                    message.rule.name, url, message.title, message.body, {"occasion": message.occasion}
                )

    async def changed(self) -> None:
        """Use the rules of a changed configuration. New rules do not apply to earlier events."""
        self._people = (-1.0, {})
        await self._begin()
        self._wake.set()

    async def _begin(self) -> None:
        rules = self._rules()
        if removed := await self._store.read(lambda c: outbox.removed_targets(c, rules)):
            await self._store.write(lambda tx: outbox.forget(tx, removed))
        known = await self._store.read(outbox.read_cursor)
        if not rules:
            self._cursor = None
            if known is not None:
                await self._store.write(lambda tx: outbox.write_cursor(tx, None))
            return
        if self._cursor is not None:
            return

        def begin(tx: Tx) -> int:
            last = last_event(tx)
            outbox.write_cursor(tx, last)
            outbox.forget_old(tx)
            return last

        self._cursor = known if known is not None else await self._store.write(begin)

    async def _work(self) -> None:
        while not self._stopping:
            self._wake.clear()
            upcoming = None
            try:
                await self._announce_head()
                await self._plan()
                await self._deliver()
                upcoming = await self._store.read(stored.next_due)
            except VictorError as error:
                log.error("notify: %s", error)
            except Exception:
                # Continue: the messages are planned or sent again.
                log.exception("notify")
            seconds = LOOK_AGAIN
            if upcoming is not None:
                seconds = min(max((from_us(upcoming) - self._clock.now()).total_seconds(), 0.0), LOOK_AGAIN)
            if not self._stopping:
                await first_of(self._clock.sleep(seconds), self._wake.wait())

    async def _announce_head(self) -> None:
        """Write the event of a new head of the audit chain, if a rule sends it."""
        if not any("audit" in rule.on for rule in self._rules()):
            return
        if await self._store.read(lambda c: outbox.head_is_due(c, self._clock.now())):
            await self._store.write(outbox.announce_head)

    async def _plan(self) -> None:
        """Read the new events, and store the messages about them."""
        while (after := self._cursor) is not None and not self._stopping:
            page, last = await self._store.read(partial(unseen, after=after, kinds=KINDS, limit=PAGE))
            rules = self._rules()
            if page and rules:
                people = await self._known(rules)
                await self._store.write(
                    partial(self._store_messages, page=page, last=last, rules=rules, people=people)
                )
            if self._cursor == after:
                self._cursor = last
            if len(page) < PAGE:
                return

    def _store_messages(
        self,
        tx: Tx,
        page: Sequence[NotifiableEvent],
        last: int,
        rules: tuple[NotifyRule, ...],
        people: Mapping[str, Person],
    ) -> None:
        messages, errors = compose(tx, page, rules, people, self._host)
        outbox.plan(tx, messages)
        for event, error in errors:
            log.error("notify: event %d: %s", event.seq, error)
            tx.event(EventKind.NOTIFY_FAILED, request_id=event.request_id, data={"message": error})
        outbox.write_cursor(tx, last)

    async def _known(self, rules: tuple[NotifyRule, ...]) -> dict[str, Person]:
        """Return the users among the assignees of the rules, with their groups."""
        known_until, people = self._people
        if known_until > self._clock.monotonic():
            return people
        names = {name for rule in rules for name in rule.assignees if not name.startswith((GROUP, ROLE))}

        def look_up() -> dict[str, Person]:
            users = {name: name.removeprefix(USER) for name in names}
            roles = self._roles()
            return {name: person(Actor(user=user), roles, unix_groups(user)) for name, user in users.items()}

        if names:
            try:
                async with asyncio.timeout(LOOKING_SECONDS):
                    people = await asyncio.to_thread(look_up)
            except TimeoutError:
                log.warning(
                    "notify: the user database did not return the groups of %s", ", ".join(sorted(names))
                )
        self._people = (self._clock.monotonic() + GROUPS_KEPT, people)
        return people

    # --- sending -------------------------------------------------------------------------------

    async def _deliver(self) -> None:
        """Send due messages one after the other, and plan messages about new events in between."""
        while not self._stopping:
            items = await self._store.read(lambda c: outbox.due(c, self._clock.now(), 20))
            for item in items:
                # After a failure, all messages to that address wait, so read the due messages again.
                if self._stopping or not await self._send(item):
                    break
            if not items:
                return
            await self._plan()

    async def _send(self, item: Announcement) -> bool:
        """Send one message and record the result; return whether it did not fail."""
        url = next(
            (
                url
                for rule in self._rules()
                if rule.name == item.rule
                for url in rule.targets
                if outbox.target_of(url) == item.target
            ),
            None,
        )
        obsolete = await self._store.read(lambda c: is_obsolete(c, item.occasion, item.request_id))
        if url is None or obsolete:
            await self._store.persist(lambda tx: outbox.dropped(tx, item))
            return True
        where = outbox.label(url)
        key = item.run_key
        run = await self._store.read(lambda c: id_of(c, key)) if key is not None else None
        error = await self._hand_over(item.rule, url, item.title, item.body, _facts(item, run))
        if error is not None:
            text, permanent = error
            await self._store.persist(lambda tx: outbox.failed(tx, item, where, text, permanent=permanent))
            return False
        await self._store.persist(lambda tx: outbox.sent(tx, item, where))
        return True

    async def _hand_over(
        self, rule: str, url: str, title: str, body: str, facts: Mapping[str, str] | None = None
    ) -> tuple[str, bool] | None:
        """Send once. Return None, or the error and whether it is permanent.

        `facts` are more fields of the message of a command.
        """
        secrets = self._secrets()
        title, body = secrets.masker.text(title), secrets.masker.text(body)
        try:
            if url == COMMAND:
                message = {"rule": rule, **(facts or {}), "title": title, "body": body}
                await run_command(self._command_of(rule), secrets, message, self._guard())
            else:
                await self._sender.send(secrets.resolve(url), title, body)
        except Exception as error:  # a sender can raise any error; it is logged and recorded
            known = isinstance(error, (NotifyError, ConfigError))
            text = error.message if isinstance(error, VictorError) else f"{type(error).__name__}: {error}"
            text = secrets.masker.text(text)[:500]
            log.warning("notify: %s to %s failed: %s", rule, outbox.label(url), text, exc_info=not known)
            return text, isinstance(error, VictorError) and bool(error.details.get("permanent"))
        return None

    def _command_of(self, name: str) -> Binding:
        for rule in self._rules():
            if rule.name == name and rule.command is not None:
                return rule.command
        raise NotifyError(f"the rule {name} has no command any longer", permanent=True)
