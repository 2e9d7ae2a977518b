"""The order of the locks, and the double that asserts it over all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import locking
from victor_engine.store.db import Store, open_store
from victor_engine.store.locks import OWNED, UNOWNED, Root
from victor_engine.store.repositories import deadletters
from victor_engine.store.transaction import Tx


def _tables(store: Store) -> set[str]:
    connection = store._require_writer()
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


async def test_each_owned_table_exists(tmp_path: Path) -> None:
    store = open_store(tmp_path / "victor.db")
    try:
        assert set(OWNED) | UNOWNED == _tables(store)
        assert set(OWNED) >= locking.CHECKED
    finally:
        store._writer.close()  # type: ignore[union-attr]


async def test_the_double_is_in_use_and_refuses_a_change_without_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadletters, "Root", type("Other", (), {"RUN": Root.REQUEST}))
    store = open_store(tmp_path / "victor.db")
    store.begin_epoch()
    store.start()
    try:
        with pytest.raises(AssertionError, match="dead_letters is changed without a lock of its RUN"):
            await store.write(lambda tx: deadletters.remove_dead_letter(tx, 1))
    finally:
        await store.close()


async def test_the_double_refuses_locks_out_of_order_and_forgets_them_with_the_transition(
    tmp_path: Path,
) -> None:
    def backwards(tx: Tx) -> None:
        tx.lock(Root.REQUEST, "r1")
        tx.lock(Root.RUN, 1)

    def first(tx: Tx) -> None:
        tx.lock(Root.REQUEST, "r1")

    def second(tx: Tx) -> None:
        tx.lock(Root.RUN, 1)

    store = open_store(tmp_path / "victor.db")
    store.begin_epoch()
    store.start()
    try:
        with pytest.raises(AssertionError, match="RUN 1 is locked after REQUEST"):
            await store.write(backwards)
        await store.write(first)
        await store.write(second)
    finally:
        await store.close()


async def test_a_root_that_the_transition_creates_may_be_locked_in_any_order(tmp_path: Path) -> None:
    def fire_two(tx: Tx) -> None:
        tx.lock(Root.SCHEDULE, "a")
        tx.created(Root.RUN, 1)
        tx.lock(Root.SCHEDULE, "b")
        tx.lock(Root.RUN, 1)

    store = open_store(tmp_path / "victor.db")
    store.begin_epoch()
    store.start()
    try:
        await store.write(fire_two)
    finally:
        await store.close()
