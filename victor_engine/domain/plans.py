"""Plans: the effect of an action on each of several items, tied to their stored facts.

The token contains the whole plan. The engine stores nothing when it plans, so a preview writes nothing, works without
an engine, and stays valid after a restart. The token is a precondition, not a permission: to apply it, a user needs
the right to perform the action. The engine compares each item with its stored facts in the transaction that changes
it.
"""

from __future__ import annotations

import binascii
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from victor_engine import jsonio
from victor_engine.clock import from_us, to_us
from victor_engine.errors import PlanChangedError, PlanExpiredError, PlanTokenError

VALID = timedelta(hours=24)
"""The time for which a plan can be applied."""

MAX_BYTES = 32 * 1024 * 1024
"""The maximum size of an unpacked plan in bytes. A larger one is refused."""

_PREFIX = "p1"
_DIGEST = 12

Facts = dict[str, str | int | None]
"""The stored facts on which the effect on an item depends. People can read the names."""


class PlanItem(Struct, frozen=True, omit_defaults=True, array_like=True):
    """One item that was shown. An empty `effect` means that the action does not change it, for `reason`.

    `given` is the digest of the arguments of the action for this item.
    """

    id: str
    facts: Facts
    effect: str = ""
    reason: str = ""
    given: str = ""


class Plan(Struct, frozen=True, omit_defaults=True):
    """The effect of an action on each item. `kind` is the name of the action.

    `rule` selects the items, with its names resolved. `target` is the result for the items, with checksums of the
    definitions that it depends on. `options` are the other arguments of the action.
    """

    kind: str
    rule: Facts
    target: Facts
    options: Facts
    items: tuple[PlanItem, ...]
    made_at: int  # microseconds

    @property
    def digest(self) -> str:
        """Return the first digits of the SHA-256 of the plan without its time."""
        content = [self.kind, self.rule, self.target, self.options, self.items]
        return jsonio.digest(content)[:_DIGEST]

    def token(self) -> str:
        """Return the plan as text, for `read_plan`."""
        packed = zlib.compress(msgspec.msgpack.encode(self), 6)
        return f"{_PREFIX}.{self.digest}.{urlsafe_b64encode(packed).decode().rstrip('=')}"

    def only(self, item: PlanItem) -> Plan:
        """Return the same plan with only one of its items."""
        return msgspec.structs.replace(self, items=(item,))

    def check(self, rule: Facts, target: Facts, options: Facts | None = None) -> None:
        """Raise PlanChangedError if the target, rule or options are not those of the plan."""
        changed = [
            *differences(self.rule, rule),
            *differences(self.target, target),
            *differences(self.options, options or {}),
        ]
        if changed:
            raise PlanChangedError(
                f"plan {self.digest} no longer applies: {'; '.join(changed)}. Nothing was changed; plan again",
                changed=changed,
            )


def plan_of(
    kind: str,
    now: datetime,
    *,
    rule: Facts,
    target: Facts,
    items: list[PlanItem],
    options: Facts | None = None,
) -> Plan:
    """Return a plan with the time `now`."""
    return Plan(kind, rule, target, options or {}, tuple(items), to_us(now))


def open_plan(token: str) -> Plan:
    """Return the plan in a token. Raise PlanTokenError if the token is incomplete or invalid."""
    prefix, _, rest = token.strip().partition(".")
    digest, _, body = rest.partition(".")
    try:
        if prefix != _PREFIX:
            raise ValueError
        packed = urlsafe_b64decode(body + "=" * (-len(body) % 4))
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(packed, MAX_BYTES)
        if not unpacker.eof:
            raise ValueError
        plan = msgspec.msgpack.decode(raw, type=Plan)
        if plan.digest != digest:
            raise ValueError
    except (ValueError, binascii.Error, zlib.error, msgspec.MsgspecError):
        raise PlanTokenError(
            "this is not the token of a plan, or it is incomplete; plan again, and copy the whole token"
        ) from None
    return plan


def read_plan(token: str, kind: str, now: datetime) -> Plan:
    """Return the plan in a token, if it can be applied now.

    Raise PlanTokenError if the token is invalid or belongs to another action, PlanExpiredError if it is too old.
    """
    plan = open_plan(token)
    if plan.kind != kind:
        raise PlanTokenError(f"plan {plan.digest} is a plan of {plan.kind}, not of {kind}; plan {kind} first")
    age = now - from_us(plan.made_at)
    if age > VALID:
        hours = VALID // timedelta(hours=1)
        raise PlanExpiredError(
            f"plan {plan.digest} was made at {from_us(plan.made_at).isoformat(timespec='seconds')} and was valid for "
            f"{hours} hours; plan again"
        )
    return plan


def differences(was: Mapping[str, str | int | None], now: Mapping[str, str | int | None]) -> list[str]:
    """Return a text for each name with different values."""
    missing = object()
    return [
        f"{name.replace('_', ' ')} was {_said(was.get(name))}, now {_said(now.get(name))}"
        for name in dict.fromkeys([*was, *now])
        if was.get(name, missing) != now.get(name, missing)
    ]


def _said(value: str | int | None) -> str:
    return "none" if value in (None, "") else str(value)


def what_changed(was: Facts, now: Facts | None, standing: tuple[str, ...] = ()) -> str:
    """Return the change of an item as text; empty without a change. `now` is None if the item was deleted.

    `standing` names two facts that are combined: "was running at b, now waiting at c".
    """
    if now is None:
        return f"was {_standing(was, standing) or 'present'}, now deleted"
    if was == now:
        return ""
    before, after = _standing(was, standing), _standing(now, standing)
    if before != after:
        return f"was {before}, now {after}"
    rest = differences(
        {name: value for name, value in was.items() if name not in standing},
        {name: value for name, value in now.items() if name not in standing},
    )
    return "; ".join(rest)


def _standing(facts: Facts, names: tuple[str, ...]) -> str:
    return " at ".join(str(facts[name]) for name in names if facts.get(name))


def left_out(changed: str) -> str:
    """Return the sentence that reports an item that was left out."""
    return f"left out, because it changed since the plan: {changed}; plan again"
