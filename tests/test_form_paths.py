"""The completion of paths in forms: bounded, and only as far as the names agree."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from victor_tui.widgets import form_row
from victor_tui.widgets.form_row import PathSuggester, completed_path


def test_a_path_is_completed_as_far_as_names_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reports").mkdir()
    for name in ("data-1.csv", "data-2.csv", ".hidden"):
        (tmp_path / name).touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    base = str(tmp_path)
    assert completed_path(f"{base}/r") == f"{base}/reports/"
    assert completed_path(f"{base}/d") == f"{base}/data-"
    assert completed_path(f"{base}/data-") is None, "the names differ here"
    assert completed_path(f"{base}/data-1") == f"{base}/data-1.csv"
    assert completed_path("~/rep") == "~/reports/"
    assert completed_path(f"{base}/.h") == f"{base}/.hidden"
    for nothing in ("", f"{base}/x", f"{base}/gone/x", "a\0b", "~nobody-here/x"):
        assert completed_path(nothing) is None


def test_a_large_directory_is_read_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form_row, "MAX_ENTRIES", 5)
    for number in range(20):
        (tmp_path / f"file-{number}").touch()
    assert completed_path(f"{tmp_path}/f") is not None


async def test_a_file_system_that_hangs_blocks_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, calls = threading.Event(), list[str]()

    def hang(text: str) -> str | None:
        calls.append(text)
        hangs.wait(60)
        return text + "/"

    monkeypatch.setattr(form_row, "completed_path", hang)
    monkeypatch.setattr(form_row, "COMPLETE_SECONDS", 0.01)
    suggester = PathSuggester()
    try:
        assert [await suggester.get_suggestion(text) for text in ("/a", "/ab", "/abc")] == [None, None, None]
        assert calls == ["/a"]
    finally:
        hangs.set()
    monkeypatch.setattr(form_row, "COMPLETE_SECONDS", 60)
    assert await suggester.get_suggestion("/abc") == "/abc/"
