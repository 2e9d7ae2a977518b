"""Changes of the documents for the site: its Markdown knows fewer forms than that of GitHub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_FENCE = re.compile(r"( *)```(\w*)(?: .*)?$")


SECTIONS = {"guides": "Guides", "contributing": "Contributing"}
"""The section of the navigation for the pages of a directory; the others belong to the reference."""


def on_config(config: Any) -> Any:
    """Add the pages that `nav` does not list to the end of their section."""
    sections = {title: pages for entry in config["nav"] for title, pages in entry.items()}
    listed = {page for pages in sections.values() for page in ([pages] if isinstance(pages, str) else pages)}
    docs = Path(config["docs_dir"])
    for path in sorted(docs.rglob("*.md")):
        page = path.relative_to(docs)
        if str(page) not in listed:
            sections[SECTIONS.get(page.parts[0], "Reference")].append(str(page))
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a document in the form that the site reads."""
    lines: list[str] = []
    fence: str | None = None
    for line in markdown.splitlines():
        found = _FENCE.match(line)
        if found is not None and found[1]:
            # A block in a list is indented code there, below the text of its item.
            fence = found[1] if fence is None else None
            lines.append("")
        elif found is not None:
            fence = "" if fence is None else None
            lines.append(f"```{found[2]}")  # the site refuses the words after the language
        elif fence is None:
            lines.append(re.sub(r"^ {2,3}(?=\S)", "    ", line))
        else:
            lines.append(f"        {line.removeprefix(fence)}" if fence else line)
    return "\n".join(lines)
