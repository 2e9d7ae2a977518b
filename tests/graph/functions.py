"""Functions that a worker process can import."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TypedDict


class Counter(TypedDict, total=False):
    n: int
    pid: int
    key: str
    seen: list[str]


@dataclass
class Order:
    amount: int
    lines: list[str] = field(default_factory=list)
    total: float = 0.0


def add_one(state: Counter) -> Counter:
    from victor_engine.graph import idempotency_key

    return {"n": state["n"] + 1, "pid": os.getpid(), "key": idempotency_key() or ""}


def price(order: Order) -> Order:
    order.total = order.amount * 1.5
    order.lines.append(f"{order.amount} pieces")
    return order


def nothing(state: Counter) -> None:
    state["n"] = 5


def not_json(state: Counter) -> dict[str, object]:
    return {"n": object()}


def mistyped(state: Counter) -> dict[str, object]:
    return {"m": 1}


def endless(state: Counter) -> Counter:
    while True:
        time.sleep(0.05)


def fails(state: Counter) -> Counter:
    raise LookupError("no such thing")
