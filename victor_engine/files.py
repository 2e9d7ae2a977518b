"""Files that are read within limits, and files that are replaced in one step.

A file with an untrusted name is read only if it is a regular file of limited size inside an allowed directory.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

LARGEST = 2_000_000
"""The maximum number of bytes of a text file that is read as a whole."""


class UnfitFileError(OSError):
    """The file exists and must not be read. The message follows the words "cannot be read: "."""


def read_bounded(path: Path | str, *, largest: int = LARGEST, within: Path | None = None) -> bytes:
    """Return the bytes of a regular file.

    `within` is the directory that must contain the file after all symbolic links are followed. Raises OSError:
    `UnfitFileError` for a device, a pipe, a directory, a file of more than `largest` bytes, or one outside `within`.
    """
    try:
        real = Path(os.path.realpath(path))
        if within is not None and not real.is_relative_to(os.path.realpath(within)):
            raise UnfitFileError(f"it is outside {within}. Copy it into that directory")
        _check(os.stat(real), largest)  # before the open, because opening a device may have side effects
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY
        with open(os.open(real, flags), "rb") as file:
            _check(os.fstat(file.fileno()), largest)
            data = file.read(largest + 1)
    except ValueError as error:  # a name with a null byte or an unpaired surrogate
        raise UnfitFileError(f"{str(path)!r} is not a file name ({error})") from None
    if len(data) > largest:  # it has grown since the check, or its file system reports no sizes
        raise _too_large(largest)
    return data


def read_text_bounded(path: Path | str, *, largest: int = LARGEST, within: Path | None = None) -> str:
    """Return the text (UTF-8) of a regular file with `\\n` at the ends of its lines; see `read_bounded`."""
    text = read_bounded(path, largest=largest, within=within).decode("utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def replace_file(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace a file in one step, so that a reader or a crash never sees a part of it. Raise OSError.

    After an error the old file is unchanged, and no other file is left.
    """
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise


def text_digest(text: str) -> str:
    """Return the SHA-256 (hex) of a text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def reason(error: OSError) -> str:
    """Return the reason why a file could not be read, as text."""
    return error.strerror or str(error)


def _check(found: os.stat_result, largest: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise UnfitFileError(f"it is {_kind(found.st_mode)}, not a regular file")
    if found.st_size > largest:
        raise _too_large(largest)


def _too_large(largest: int) -> UnfitFileError:
    return UnfitFileError(f"it is larger than {largest / 1_000_000:g} MB. Make it smaller, or split it")


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISDIR, "a directory"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
    )  # fmt: skip
    return next((name for test, name in kinds if test(mode)), "something else")
