"""The comparison of the files of a binding with the trusted ones, each time its work starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from victor_engine.config.content import Content, file_digest
from victor_engine.work import content_guard
from victor_engine.work.content_guard import ContentGuard

NAMES = ("moves.py", "json.py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "moves.py").write_text("x = 1\n")
    return tmp_path


def content(root: Path) -> Content:
    digests = {name: digest for name in NAMES if (digest := file_digest(root / name))}
    return Content(digests, {"migrations": NAMES})


def test_a_changed_gone_or_new_file_is_refused_until_it_is_trusted(root: Path) -> None:
    guard = ContentGuard(root, content(root), "pinned", frozenset())
    assert guard.refusal("migrations") is None
    (root / "json.py").write_text("")  # it takes the place of a module of the standard library
    assert guard.refusal("migrations") == "json.py changed since it was trusted"
    guard.trust(content(root))
    assert guard.refusal("migrations") is None
    (root / "moves.py").unlink()
    assert guard.refusal("migrations") == "moves.py changed since it was trusted"
    assert guard.refusal("agents.a") is None


def test_a_file_that_was_not_trusted_at_the_load_is_refused(root: Path) -> None:
    guard = ContentGuard(root, content(root), "watch", frozenset({"moves.py"}))
    assert guard.refusal("migrations") == "moves.py changed since it was trusted"


def test_a_file_is_read_again_only_if_it_changed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = ContentGuard(root, content(root), "pinned", frozenset())
    read: list[Path | str] = []

    def digest(path: Path | str) -> str:
        read.append(path)
        return file_digest(path)

    monkeypatch.setattr(content_guard, "file_digest", digest)
    for _ in range(3):
        assert guard.refusal("migrations") is None
    assert read.count(root / "moves.py") == 1
    before = os.stat(root / "moves.py")
    (root / "moves.py").write_text("x = 2\n")
    os.utime(root / "moves.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert guard.refusal("migrations") == "moves.py changed since it was trusted", "a set time hides nothing"
