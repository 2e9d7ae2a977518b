"""The documents name each key that the readers accept, commands and options that exist, and existing headings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

from tests.docs.guides import ROOT, blocks
from victor_engine.cli.api import PARTS
from victor_engine.cli.main import cli
from victor_engine.config import binding_reader, notify
from victor_engine.config.layers import ENVIRONMENT, SECTIONS
from victor_engine.config.model import ConsoleConfig, HitlConfig, ScheduleDefaults, SchedulerConfig
from victor_engine.definition import dialect_keys
from victor_engine.scheduling import declarations, spec_clauses
from victor_engine.versioning import migration_reader


def names(model: type) -> list[str]:
    return [field.name for field in fields(model)]  # type: ignore[arg-type]


KEYS: dict[str, list[Iterable[str]]] = {
    "bindings": [
        binding_reader.KINDS, binding_reader.COMMON, binding_reader.HTTP, binding_reader.CHAT,
    ],
    "configuration": [
        SECTIONS, names(SchedulerConfig), names(ScheduleDefaults), names(HitlConfig), names(ConsoleConfig),
    ],
    "nodes": [
        dialect_keys.COMMON, dialect_keys.WORKFLOW, dialect_keys.EXECUTION, dialect_keys.RETRY,
        dialect_keys.BREAKER, dialect_keys.MEMBER, dialect_keys.WAIT_HTTP, dialect_keys.TEST,
        *(keys for kind, keys in dialect_keys.BY_TYPE.items() if kind != "hitl"),
    ],
    "people": [dialect_keys.BY_TYPE["hitl"], notify.KEYS],
    "scheduling": [declarations.KEYS, spec_clauses.AFTER_KEYS, spec_clauses.EXPECT_KEYS],
    "versions": [migration_reader._BLOCK_KEYS],
}  # fmt: skip
"""The keys of each page. A test, and no program, may read the tables of keys that start with an underscore."""


def code_words(page: str) -> set[str]:
    """Return the words in code of a page: in spans, not in blocks."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / "docs" / f"{page}.md").read_text("utf-8"), flags=re.M | re.S)
    return {word for span in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"\w+", span)}


@pytest.mark.parametrize("page", sorted(KEYS))
def test_a_reference_page_names_each_key(page: str) -> None:
    missing = {key for keys in KEYS[page] for key in keys} - code_words(page)
    assert not missing, f"docs/{page}.md does not describe these keys"


def test_the_page_on_configuration_names_the_environment_variables() -> None:
    words = code_words("configuration")
    assert all(any(word.startswith(prefix) for word in words) for prefix in ENVIRONMENT)


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, formed as on GitHub."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))


@pytest.mark.parametrize("page", ["security", "guides/http-api"])
def test_the_pages_on_tokens_name_the_parts_of_the_port(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    listed = re.search(r"parts\s+of\s+the\s+port: ((`\w+`(,\s+)?)+)", text)
    assert listed is not None
    assert sorted(re.findall(r"\w+", listed[1])) == PARTS


def test_links_between_documents_lead_to_a_heading() -> None:
    broken = []
    for page in DOCUMENTS:
        text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if link.startswith(("http:", "https:")):
                continue
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert not broken


def commands(page: Path) -> Iterator[str]:
    """Yield the arguments of each `victor` command of a page, in blocks and in text."""
    lines = [
        line
        for block in blocks(page)
        if block.language == "sh"
        for line in block.text.replace("\\\n", " ").splitlines()
    ]
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    for line in [*lines, *re.findall(r"`(victor [^`\n]+)`", text)]:
        for part in re.split(r"\s[|;&]+\s", line.strip()):
            if part.startswith("victor "):
                yield part.removeprefix("victor ")


def problems(arguments: str) -> Iterator[str]:
    """Yield the commands and options of a command line that do not exist."""
    words = shlex.split(arguments, comments=True)
    words = (
        words[: words.index("--")] if "--" in words else words
    )  # a command that `victor gate` runs follows
    found: list[click.Command] = [cli]
    options = {option for parameter in cli.params for option in parameter.opts}
    for word in words:
        if not isinstance(found[0], click.Group):
            break
        if word.startswith("-"):
            continue
        # The documents write several commands as list|show.
        subcommands = [found[0].get_command(click.Context(found[0]), name) for name in word.split("|")]
        if None in subcommands:
            yield f"victor {arguments}: {word} does not exist"
            return
        found = [command for command in subcommands if command is not None]
    options |= {
        option
        for command in found
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    for word in words:
        option, _, _ = word.partition("=")
        if option.startswith("--") and option not in {*options, "--help"}:
            yield f"victor {arguments}: {option} does not exist"


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_the_commands_of_a_document_exist(page: Path) -> None:
    assert [problem for arguments in commands(page) for problem in problems(arguments)] == []
