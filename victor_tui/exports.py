"""The export of what a screen lists: all rows that match its filter, as JSON Lines or CSV.

Long lists are read from the store page by page, so that neither the store nor the console holds all of them.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TextIO

import msgspec

from victor_engine.api import EventQuery, Port, RequestQuery, RunInfo, RunQuery

PAGE = 500
"""Number of rows of a page."""
MAX_ROWS = 1_000_000
"""Maximum number of exported rows."""
Format = Literal["jsonl", "csv"]
_RISKY = ("=", "+", "-", "@", "\t", "\r")
"""The first characters that make a spreadsheet run a text as a formula."""

Pages = AsyncIterator[Sequence[Any]]


class ExportError(Exception):
    """An export is not possible. The message names the file and the remedy."""


def format_of(path: Path) -> Format:
    """Return the format of a file by its name. Raise ExportError for another name."""
    if path.suffix == ".csv":
        return "csv"
    if path.suffix in (".jsonl", ".ndjson"):
        return "jsonl"
    raise ExportError(f"{path.name}: the name must end with .jsonl or .csv")


def check_new(path: Path) -> None:
    """Raise ExportError if an export cannot create a file with this path."""
    format_of(path)
    if not os.path.isdir(path.parent):
        raise ExportError(f"{path.parent} is not a directory; choose another directory, or create this one")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ExportError(f"{path.parent}: you cannot create files there; choose another directory")
    try:
        os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ExportError(f"{path}: {error.strerror}; choose another name") from None
    raise ExportError(f"{path} exists already; choose another name")


async def run_pages(port: Port, query: RunQuery, keep: Callable[[RunInfo], bool]) -> Pages:
    """Yield the pages of runs that match a query, the newest first."""
    query = msgspec.structs.replace(query, limit=PAGE)
    while rows := await port.runs(query):
        yield [row for row in rows if keep(row)]
        query = msgspec.structs.replace(query, before_id=rows[-1].id)


async def event_pages(port: Port, query: EventQuery) -> Pages:
    """Yield the pages of events that match a query, the newest first."""
    query = msgspec.structs.replace(query, limit=PAGE)
    while rows := await port.events(query):
        yield rows
        query = msgspec.structs.replace(query, before_seq=min(row.seq for row in rows))


async def request_pages(port: Port, query: RequestQuery) -> Pages:
    """Yield the pages of requests that match a query, in its order."""
    offset = 0
    while True:
        wanted = msgspec.structs.replace(query, limit=PAGE, offset=offset, around=None)
        rows = (await port.request_page(wanted)).rows
        if not rows:
            return
        yield rows
        offset += len(rows)


async def listed(rows: Sequence[Any]) -> Pages:
    """Yield rows that are loaded already."""
    yield rows


def plain_row(row: Any) -> dict[str, Any]:
    """Return a row as an object of JSON, with all fields of its kind."""
    found = msgspec.to_builtins(row)
    names = getattr(type(row), "__struct_fields__", ())
    if not names:
        return dict(found)
    return {name: found[name] if name in found else msgspec.to_builtins(getattr(row, name)) for name in names}


def cell(value: Any) -> str:
    """Return a value as a cell of CSV. A text that a spreadsheet would run as a formula gets a quote in front."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_RISKY) else value
    return json.dumps(value, ensure_ascii=False)


def text_of(rows: Sequence[Mapping[str, Any]], format: Format, first: bool) -> str:
    """Return rows as text. The first page of CSV begins with the names of the columns."""
    if format == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    out = io.StringIO()
    writer = csv.writer(out)
    if first and rows:
        writer.writerow(rows[0])
    writer.writerows([cell(value) for value in row.values()] for row in rows)
    return out.getvalue()


async def export(pages: Pages, path: Path) -> int:
    """Write the rows to a new file that only its user can read. Return their number.

    Raise ExportError if the file exists or cannot be written; an incomplete file is removed.
    """
    format = format_of(path)
    file = await asyncio.to_thread(_new_file, path)
    complete = False
    try:
        count = await _write(pages, file, format)
        await asyncio.to_thread(file.close)
        complete = True
    except OSError as error:
        raise ExportError(f"{path}: cannot write it: {error.strerror}") from None
    finally:
        if not complete:
            _remove(path, file)
    return count


def _remove(path: Path, file: TextIO) -> None:
    """Close and remove an incomplete file. Closing writes the rest of the buffer, which can fail again."""
    with suppress(OSError):
        file.close()
    path.unlink(missing_ok=True)


def _new_file(path: Path) -> TextIO:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise ExportError(f"{path} exists already; choose another name") from None
    except OSError as error:
        raise ExportError(f"{path}: cannot write it: {error.strerror}") from None
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="")


async def _write(pages: Pages, file: TextIO, format: Format) -> int:
    """Write the rows page by page, and return their number."""
    count = 0
    async for page in pages:
        rows = [plain_row(row) for row in page][: MAX_ROWS - count]
        await asyncio.to_thread(file.write, text_of(rows, format, count == 0))
        count += len(rows)
        if count >= MAX_ROWS:
            break
    return count
