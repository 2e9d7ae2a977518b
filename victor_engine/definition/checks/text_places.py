"""The places in a file of positions inside a text of it."""

from __future__ import annotations

from victor_engine.definition.yaml_document import Document, Path


def place_in_text(document: Document, path: Path, line: int, column: int, words: str = "") -> tuple[int, int]:
    """Return line and column in the file of a line and column (from 1) inside the text at a path.

    In a folded text, whose lines are joined, it is the place of the first line that has the `words`.
    """
    block = document.blocks.get(path)
    if block is not None:
        for number, source in enumerate(document.folded.get(path, ())):
            if words and words in source:
                return block[0] + number, source.index(words) + 1
        return block[0] + line - 1, block[1] + column
    line0, column0 = document.place(path)
    quoted = path in document.quoted
    return line0 + line - 1, column0 + column - 1 + quoted if line == 1 else column


__all__ = ["place_in_text"]
