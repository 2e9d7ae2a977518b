"""The blocks of a guide: files to write, and commands to run."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)(?: (?P<info>[^\n]*))?\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """One block of a document.

    `sh` blocks are run, unless their info is `skip: REASON`. A `yaml` block whose info is a path is written to it.
    The lines of a `text` block appear in the output of the commands before it; those of a `log` block are an example.
    """

    language: str
    info: str
    text: str

    @property
    def skipped(self) -> str | None:
        """Return why the commands are not run, if they are not."""
        _, word, reason = self.info.partition("skip:")
        return reason.strip() if word else None


def blocks(path: Path) -> Iterator[Block]:
    """Yield the blocks of a document in order."""
    for found in _BLOCK.finditer(path.read_text("utf-8")):
        text = textwrap.dedent(found["text"])
        yield Block(found["language"], (found["info"] or "").strip(), text)
