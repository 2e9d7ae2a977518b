"""The title of a request, and the texts of lists about it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.people.bench import ALICE, BOB, NO, YES, bench
from victor_engine.api import Answer, counted_text, first_line, held_text, question_text
from victor_engine.definition.model import Choice
from victor_engine.store.queries import request

DELETE = {"name": "Delete {vol} in {env.name}", "prompt": "# Delete volume **{vol}**?\n\nIt has `{size}` GB."}


@pytest.mark.parametrize(
    ("fields", "state", "title", "line"),
    [
        (DELETE, {"vol": "v2", "env": {"name": "prod"}}, "Delete v2 in prod", "Delete v2 in prod · Delete volume v2?"),
        (DELETE, {"vol": "v2"}, "Delete v2 in ⟨env.name is missing⟩", None),
        ({"name": "Delete volume"}, {}, "Delete volume", "Delete volume · Ship it?"),
        ({"name": "Ship"}, {}, "Ship", "Ship it?"),
        ({}, {}, "Approval: gate", "Ship it?"),
        ({"prompt": ""}, {}, "Approval: gate", "Approval: gate"),
        ({"name": "{a}"}, {"a": "one\n two\x1b"}, "one two\x1b", None),
        ({"name": "{a}"}, {"a": "x" * 500}, "x" * 199 + "…", None),
        ({"name": "Pay {{100}}"}, {}, "Pay {100}", None),
    ],
)  # fmt: skip
async def test_a_name_is_a_template_and_lists_show_the_question(
    tmp_path: Path, fields: dict[str, Any], state: dict[str, Any], title: str, line: str | None
) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(state, **fields)
        info = await b.store.read(lambda c: request(c, ref.id))
        assert info.title == title
        if line is not None:
            assert question_text(info) == line
        (opened,) = await b.events(ref, "request.opened")
        assert [f"⟨{name} is missing⟩" in title + info.prompt for name in opened["missing"]] == [True] * len(
            opened["missing"]
        )


@pytest.mark.parametrize(
    ("prompt", "line"),
    [
        ("", ""),
        ("\n\n---\n```\nplain\n```", "plain"),
        ("## Roll out **4.2**?\nmore", "Roll out 4.2?"),
        ("> * [the plan](https://example.org) is `ready`", "the plan is ready"),
        ("1. snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"),
        ("__really__ *now*?", "really now?"),
    ],
)
def test_the_first_line_of_a_prompt_has_no_marks(prompt: str, line: str) -> None:
    assert first_line(prompt) == line


async def test_an_answer_that_is_not_in_force_names_its_author_and_the_time_left(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(undo_window=5.0)
        await b.answer(ref, YES, BOB)
        info = await b.store.read(lambda c: request(c, ref.id))
        now = b.clock.now()
        assert held_text(info, now + timedelta(seconds=0.5)) == "approved by bob, in force in 5 s"
        assert held_text(info, now + timedelta(seconds=1)) == "approved by bob, in force in 4 s"
        assert held_text(info, now + timedelta(seconds=5)) == ""


NAMES = {"assignees": ("alice", "bob", "carol"), "required_approvals": 2, "reject_policy": "quorum"}
CHOICES = {
    "hitl_type": "choice",
    "choices": (Choice(value="one", label="One"), Choice(value="two", label="Two")),
}


@pytest.mark.parametrize(
    ("fields", "answers", "expected"),
    [
        (NAMES, [YES], "your approval counts: 1 of 2 approvals"),
        (NAMES, [YES, NO], "your rejection counts: 1 of 2 rejections (1 of 2 approvals)"),
        ({**NAMES, "reject_policy": "majority"}, [NO], "your rejection counts: 1 of 2 rejections"),
        (
            {**NAMES, **CHOICES},
            [Answer("answered", "one"), Answer("answered", "two")],
            "your vote counts: 1 of 2 for two (1 of 2 for one)",
        ),
        ({"chain": ("alice", "bob")}, [YES], "your approval counts; the next people of the chain are asked"),
    ],
)
async def test_a_vote_that_does_not_decide_says_what_it_counts(
    tmp_path: Path, fields: dict[str, Any], answers: list[Answer], expected: str
) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(**fields)
        voters = [ALICE, BOB][: len(answers)]
        for answer, voter in zip(answers, voters, strict=True):
            await b.answer(ref, answer, voter)
        info = await b.store.read(lambda c: request(c, ref.id))
        assert info.status == "open"
        assert counted_text(info, voters[-1].user) == expected
