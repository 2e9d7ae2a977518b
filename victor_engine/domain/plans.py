"""Plans: what an action would do to each of several things, tied to what is stored.

A plan travels in its token: the engine stores nothing when it plans, so a preview writes nothing, works without an
engine, and outlives a restart of one. The token is a precondition, not a permission. Who applies it needs the right
to do what it says, and the engine compares every item with what is stored in the transaction that changes it.
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
"""How long a plan can be applied."""

MAX_BYTES = 32 * 1024 * 1024
"""Bytes of a plan, unpacked. A token that unpacks to more is refused."""

_PREFIX = "p1"
_DIGEST = 12

Facts = dict[str, str | int | None]
"""What is stored of an item and what its effect depends on, by names that a person can read."""


class PlanItem(Struct, frozen=True, omit_defaults=True, array_like=True):
    """One thing that was shown. An empty `effect` means that nothing is done to it, for `reason`.

    `given` is the digest of what the action is given for this item alone.
    """

    id: str
    facts: Facts
    effect: str = ""
    reason: str = ""
    given: str = ""


class Plan(Struct, frozen=True, omit_defaults=True):
    """What would be done to each item. `kind` is the name of the action.

    `rule` is what was asked for, with its names resolved; `target` is what the items become, with checksums of the
    definitions that lead there; `options` is how it is done.
    """

    kind: str
    rule: Facts
    target: Facts
    options: Facts
    items: tuple[PlanItem, ...]
    made_at: int  # microseconds

    @property
    def digest(self) -> str:
        """Return the first digits of the SHA-256 of all that is planned; the time of planning is left out."""
        content = [self.kind, self.rule, self.target, self.options, self.items]
        return jsonio.digest(content)[:_DIGEST]

    def token(self) -> str:
        """Return the plan as text, for `read_plan`."""
        packed = zlib.compress(msgspec.msgpack.encode(self), 6)
        return f"{_PREFIX}.{self.digest}.{urlsafe_b64encode(packed).decode().rstrip('=')}"

    def only(self, item: PlanItem) -> Plan:
        """Return the same plan with one of its items, to apply that one by itself."""
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
                f"plan {self.digest} was made for something else: {'; '.join(changed)}. Nothing was changed; "
                "plan again",
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
    """Return a plan that is made now."""
    return Plan(kind, rule, target, options or {}, tuple(items), to_us(now))


def open_plan(token: str) -> Plan:
    """Return the plan in a token. Raise PlanTokenError if the token is not whole."""
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
            "this is not the token of a plan, or it is not complete; plan again, and copy the whole token"
        ) from None
    return plan


def read_plan(token: str, kind: str, now: datetime) -> Plan:
    """Return the plan in a token that may be applied now.

    Raise PlanTokenError if the token is not whole or belongs to another action, PlanExpiredError if it is too old.
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
    """Return in words each name whose value is not the same in both."""
    missing = object()
    return [
        f"{name.replace('_', ' ')} was {_said(was.get(name))}, now {_said(now.get(name))}"
        for name in dict.fromkeys([*was, *now])
        if was.get(name, missing) != now.get(name, missing)
    ]


def _said(value: str | int | None) -> str:
    return "none" if value in (None, "") else str(value)


def what_changed(was: Facts, now: Facts | None, standing: tuple[str, ...] = ()) -> str:
    """Return in words what changed of an item; empty if nothing did. None for `now` means that it is gone.

    `standing` names two facts that are said together: "was running at b, now waiting at c".
    """
    if now is None:
        return f"was {_standing(was, standing) or 'there'}, now deleted"
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
    return f"left out, it changed since it was planned: {changed}; plan again"
