"""The tree of errors: its page and its docstring match the code."""

from __future__ import annotations

import textwrap

from tests.write_errors import PAGE, errors, outline, page
from victor_engine import errors as module
from victor_engine.errors import VictorError


def test_the_page_of_errors_is_generated_from_the_code() -> None:
    assert PAGE.read_text("utf-8") == page(), "generate it: python -m tests.write_errors"


def test_the_docstring_of_the_module_shows_the_whole_tree() -> None:
    assert textwrap.indent(outline(), "    ") in (module.__doc__ or "")


def test_each_code_belongs_to_one_error_and_survives_the_wire() -> None:
    # A subclass without its own code is received as its parent.
    own = [cls for _, cls in errors() if "code" in vars(cls)]
    assert len({cls.code for cls in own}) == len(own)
    for cls in own:
        raised = VictorError.from_wire({"code": cls.code, "message": "x", "details": {"a": 1}})
        assert (type(raised), raised.message, raised.details) == (cls, "x", {"a": 1})
