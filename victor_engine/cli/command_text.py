"""A command as a person reads it before it runs: quoted, without hidden characters, with the digests of its files."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import stat
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

_RUNNERS = re.compile(
    r"(?:ba|da|z|k|fi)?sh|python[\d.]*|perl[\d.]*|ruby[\d.]*|node|nodejs|deno|bun|php[\d.]*|lua[\d.]*|Rscript|tclsh|awk|sed|"
    r"make|env|sudo|doas|nohup|nice|ionice|timeout|time|setsid|stdbuf|xargs|chroot|busybox"
)
"""Programs that run their arguments: the files among them are digested too."""
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "'": "\\'"}
_CHUNK = 1 << 20
LINE_CELLS = 66
"""Maximum width of a line of a code block, in cells. The console shows it whole at 80 columns."""


def shown_word(word: str) -> str:
    """Return a word of a command, quoted for a shell. Characters that a reader cannot see are escaped."""
    if all(_is_visible(char) for char in word):
        return shlex.quote(word)
    return "$'" + "".join(_ESCAPES.get(char) or _escaped(char) for char in word) + "'"


def shown_command(argv: Sequence[str]) -> str:
    """Return a command on one line, as a shell reads it."""
    return " ".join(shown_word(word) for word in argv)


def shown_text(text: str) -> str:
    """Return text with the characters escaped that a reader cannot see, except line ends."""
    return "".join(char if char == "\n" or _is_visible(char) else _escaped(char) for char in text)


def _is_visible(char: str) -> bool:
    return (
        char.isprintable()
        and unicodedata.category(char) not in ("Mn", "Me")
        and char not in "\u115f\u1160\u3164\uffa0"
    )


def _escaped(char: str) -> str:
    code = ord(char)
    if char in "\n\t\r":
        return _ESCAPES[char]
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if _is_visible(char):
        return char
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _wrapped(line: str) -> str:
    """Return a line in parts that fit into a narrow terminal, which cuts a code block off. Parts end with a backslash."""
    parts: list[str] = []
    part, width = "", 0
    for char in line:
        cells = 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if width + cells > LINE_CELLS:
            parts.append(part + "\\")
            part, width = "", 0
        part, width = part + char, width + cells
    return "\n".join([*parts, part])


def fenced(text: str) -> str:
    """Return text as a code block of Markdown that it cannot end, with its long lines divided."""
    text = "\n".join(_wrapped(line) for line in text.split("\n"))
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def program_of(argv: Sequence[str]) -> str | None:
    """Return the absolute path of the program that a command runs; None if it does not exist."""
    found = shutil.which(argv[0])
    return None if found is None else os.path.abspath(found)


def digests(program: str, argv: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256 of the program, if it is a script, and of the files that it runs, by absolute path.

    Raise OSError if one of them cannot be read.
    """
    found: dict[str, str] = {}
    with open(program, "rb") as file:
        if file.read(2) == b"#!":
            found[program] = digest(program)
    if program in found or _RUNNERS.fullmatch(Path(program).name) or _RUNNERS.fullmatch(Path(argv[0]).name):
        for word in argv[1:]:
            path = os.path.abspath(word)
            if path not in found and _is_file(path):
                found[path] = digest(path)
    return found


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def digest(path: str) -> str:
    """Return the SHA-256 of a file."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(_CHUNK):
            found.update(part)
    return found.hexdigest()


def question(argv: Sequence[str], directory: str, user: str, program: str, files: Mapping[str, str]) -> str:
    """Return the prompt that asks whether a command may run."""
    lines = [f"Run this command as {shown_word(user)}?", "", fenced(shown_command(argv)), ""]
    facts = [f"directory {shown_word(directory)}", f"program   {shown_word(program)}"]
    for path, value in files.items():
        facts += [f"SHA-256 of {shown_word(path)}:", value]
    return "\n".join([*lines, fenced("\n".join(facts))])
