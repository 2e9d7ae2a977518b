"""A note of the run and node that the engine evaluates now. It survives the death of the process.

The note is a few bytes of a memory-mapped file, so that writing it costs less than a microsecond.
"""

from __future__ import annotations

import mmap
import os
import struct
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from victor_engine.errors import StorageError

T = TypeVar("T")

_NODE = 120
"""Bytes of the id of a node that are noted."""

_NOTE = struct.Struct(f"<q{_NODE}s")
_NOTHING = bytes(8)
_BESIDE = 256
"""The place of the note of the thread of the store."""

_LENGTH = mmap.PAGESIZE


class Note:
    """The noted run, with its current node. `packed` is written while the run uses the event loop."""

    __slots__ = ("key", "packed")

    def __init__(self, run_key: int) -> None:
        self.key = run_key
        self.packed = _NOTE.pack(run_key, b"")

    def visit(self, node_id: str) -> None:
        """Set the node that is evaluated from now on."""
        self.packed = _NOTE.pack(self.key, node_id.encode("utf-8", "replace")[:_NODE])


class Memory:
    """The memory of the note: of a file, or without a path of this process alone."""

    def __init__(self, path: Path | None = None) -> None:
        self._map = _anonymous() if path is None else _mapped(path)

    def read(self) -> list[tuple[int, str]]:
        """Return the noted runs and nodes; an empty list if nothing was evaluated."""
        found = [_NOTE.unpack_from(self._map, place) for place in (0, _BESIDE)]
        return [(key, node.rstrip(b"\0").decode("utf-8", "replace")) for key, node in found if key > 0]

    def write(self, note: Note) -> None:
        self._map[: _NOTE.size] = note.packed

    def clear(self) -> None:
        self._map[:8] = self._map[_BESIDE : _BESIDE + 8] = _NOTHING

    @contextmanager
    def beside(self, note: Note) -> Iterator[None]:
        """Note a run while the thread of the store evaluates its content, beside the event loop."""
        self._map[_BESIDE : _BESIDE + _NOTE.size] = note.packed
        try:
            yield
        finally:
            self._map[_BESIDE : _BESIDE + 8] = _NOTHING

    @types.coroutine
    def noted(self, note: Note, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        """Await `work`, with the note written each time that it uses the event loop."""
        memory, step, given = self._map, work.send, None
        while True:
            memory[: _NOTE.size] = note.packed
            try:
                waits_for = step(given)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                memory[:8] = _NOTHING
            try:
                given, step = (yield waits_for), work.send
            except BaseException as error:
                given, step = error, work.throw

    async def strand(self, note: Note, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work of a strand of a run in a task of its own, as `noted` does."""

        async def strand() -> T:
            return await work()

        return await self.noted(note, strand())

    def close(self) -> None:
        self._map.close()


def _anonymous() -> mmap.mmap:
    return mmap.mmap(-1, _LENGTH)


def _mapped(path: Path) -> mmap.mmap:
    """Map a file. Without free space it is not used, since writing into its memory would end the process."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StorageError(f"{path}: cannot be opened: {error.strerror}") from error
    try:
        os.posix_fallocate(fd, 0, _LENGTH)
        return mmap.mmap(fd, _LENGTH)
    except OSError:
        return _anonymous()
    finally:
        os.close(fd)
