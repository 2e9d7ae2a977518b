"""Each private name of Textual that the console uses, and none by accident."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import textual
from rich.segment import Segment
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.color import Color
from textual.command import Provider
from textual.dom import DOMNode
from textual.drivers._writer_thread import WriterThread
from textual.drivers.headless_driver import HeadlessDriver
from textual.drivers.linux_driver import LinuxDriver
from textual.filter import LineFilter
from textual.geometry import Region
from textual.notifications import Notification
from textual.screen import Screen
from textual.widgets import Label
from textual.widgets.option_list import Option

import victor_tui
from victor_tui.changed_cells import ShownCells
from victor_tui.textual_compat import (
    CachedStylesheet,
    ChangedCells,
    GutterOptionList,
    QuietFile,
    add_line_filter,
    binding_chain,
    build_mode,
    is_mode_built,
    keep_copied,
    mode_screen,
    persistent_driver,
    remove_notification,
    write_to_terminal,
)


class Other(Screen[None]):
    BINDINGS = [Binding("z", "nothing", "Nothing")]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "nothing"

    def compose(self) -> ComposeResult:
        yield Label("other")


class Gutter(GutterOptionList):
    def gutter_width(self) -> int:
        return 7


class Sample(App[None]):
    MODES = {"main": Screen, "other": Other}
    DEFAULT_MODE = "main"


async def test_a_mode_is_built_without_being_shown() -> None:
    app = Sample()
    async with app.run_test() as pilot:
        assert not is_mode_built(app, "other")
        built = await build_mode(app, "other")
        assert is_mode_built(app, "other")
        assert built is mode_screen(app, "other")
        assert built.query_one(Label).is_attached
        assert app.current_mode == "main"
        await app.switch_mode("other")
        await pilot.pause()
        assert app.screen is built


async def test_the_binding_chain_includes_disabled_bindings() -> None:
    app = Sample()
    async with app.run_test() as pilot:
        await app.switch_mode("other")
        await pilot.pause()
        keys = {key for _, bindings in binding_chain(app.screen) for key in bindings.key_to_bindings}
        assert "z" in keys
        assert "z" not in app.screen.active_bindings


class Upper(LineFilter):
    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(text.upper(), style, control) for text, style, control in segments]


async def test_a_line_filter_sees_every_line() -> None:
    app = Sample()
    async with app.run_test() as pilot:
        add_line_filter(app, Upper())
        await app.switch_mode("other")
        await pilot.pause()
        assert "OTHER" in app.screen.query_one(Label).render_lines(Region(0, 0, 5, 1))[0].text


async def test_a_notification_is_removed() -> None:
    app = Sample()
    async with app.run_test(notifications=True) as pilot:
        app.notify("one")
        await pilot.pause()
        shown: Notification = next(iter(app._notifications))
        remove_notification(app, shown)
        await pilot.pause()
        assert not list(app._notifications)


async def test_a_headless_application_has_no_terminal_to_write_to() -> None:
    app = Sample()
    assert not write_to_terminal(app, "\x1b]0;x\x07")
    async with app.run_test():
        assert not write_to_terminal(app, "\x1b]0;x\x07")


def test_the_writer_outlives_a_terminal_that_is_gone() -> None:
    class Gone:
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

        def flush(self) -> None:
            raise OSError(5, "Input/output error")

        def fileno(self) -> int:
            return 2

    writer = WriterThread(QuietFile(Gone()))  # type: ignore[arg-type]
    writer.start()
    for _ in range(500):  # more than its queue holds
        writer.write("x")
    writer.stop()
    assert not writer.is_alive()
    assert issubclass(persistent_driver(LinuxDriver), LinuxDriver)
    assert persistent_driver(HeadlessDriver) is HeadlessDriver


async def test_the_gutter_narrows_the_options() -> None:
    class Listing(App[None]):
        def compose(self) -> ComposeResult:
            yield Gutter(Option("x" * 30))

    app = Listing()
    async with app.run_test(size=(20, 10)) as pilot:
        await pilot.pause()
        listing = app.query_one(Gutter)
        drawn = listing.render_line(0).text
        assert "x" in drawn
        assert drawn.count("x") <= listing.scrollable_content_region.width - 7


def test_a_stylesheet_keeps_its_rules_until_the_variables_change(monkeypatch: pytest.MonkeyPatch) -> None:
    from textual.css import stylesheet as module

    parsed: list[str] = []
    parse = module.parse

    def counted(scope: str, css: str, *rest: object, **more: object) -> object:
        parsed.append(css)
        return parse(scope, css, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "parse", counted)
    sheet = CachedStylesheet(variables={"x": "red"})
    sheet.add_source("Screen { color: $x; }", ("a", ""))
    sheet.reparse()
    sheet.reparse()
    sheet.set_variables({"x": "red"})
    sheet.reparse()
    assert len(parsed) == 1
    sheet.set_variables({"x": "blue"})
    sheet.reparse()
    assert len(parsed) == 2


# --- nothing is overwritten by accident ---------------------------------------------------------


METACLASS_NAMES = {
    "_abc_impl",
    "_computes",
    "_css_type_name",
    "_css_type_names",
    "_decorated_handlers",
    "_inherit_bindings",
    "_inherit_component_classes",
    "_inherit_css",
    "_merged_bindings",
    "_reactives",
}
"""Names that metaclasses set on every class."""


@cache
def _classes(file: str) -> dict[str, ast.ClassDef]:
    """Return the classes of a module by their qualified names."""
    found: dict[str, ast.ClassDef] = {}

    def collect(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                found[f"{prefix}{child.name}"] = child
                collect(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                collect(child, f"{prefix}{child.name}.<locals>.")
            else:
                collect(child, prefix)

    collect(ast.parse(Path(file).read_text()), "")
    return found


@cache
def _assigned(cls: type) -> set[str]:
    """Return the names of attributes that `cls` itself defines or assigns on `self`."""
    names = set(vars(cls))
    file = getattr(sys.modules[cls.__module__], "__file__", None)
    tree = _classes(file).get(cls.__qualname__) if file is not None else None
    for node in ast.walk(tree) if tree is not None else ():
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
        ):
            names.add(node.attr)
    return names


def _private(names: set[str]) -> set[str]:
    return {name for name in names if name.startswith("_") and not name.startswith("__")} - METACLASS_NAMES


def _ours(cls: type) -> Iterator[type]:
    for sub in cls.__subclasses__():
        yield from _ours(sub)
        if sub.__module__.split(".")[0] == "victor_tui" and sub.__module__ != "victor_tui.textual_compat":
            yield sub


def _import_all() -> None:
    for module in pkgutil.walk_packages(victor_tui.__path__, "victor_tui."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


async def test_only_changed_cells_of_both_kinds_of_updates_are_written() -> None:
    class Lines(App[None]):
        def compose(self) -> ComposeResult:
            yield Label("the clock shows 14:05:09")

    app = Lines()
    async with app.run_test(size=(40, 4)) as pilot:
        shown = ShownCells()

        def written(full: bool) -> str:
            compositor = app.screen._compositor
            update = compositor.render_full_update() if full else compositor.render_partial_update()
            assert isinstance(update, LayoutUpdate if full else ChopsUpdate)
            return ChangedCells(update, shown).render_segments(app.console)

        assert "the clock shows 14:05:09" in written(full=True)
        assert written(full=True) == ""
        app.query_one(Label).update("the clock shows 14:05:10")
        await pilot.pause()
        app.screen._compositor._dirty_regions.add(app.query_one(Label).region)
        changed = written(full=False)
        assert "10" in changed
        assert "clock" not in changed


def test_a_kept_text_is_pasted_without_a_sequence_for_the_terminal() -> None:
    app = Sample()
    keep_copied(app, "text")
    assert app.clipboard == "text"


def test_no_class_overwrites_a_private_attribute_of_textual() -> None:
    _import_all()
    errors = []
    for cls in {*_ours(DOMNode), *_ours(Provider)}:
        own = _private(_assigned(cls))
        for base in cls.__mro__[1:]:
            if base.__module__.split(".")[0] == "textual" and (both := own & _private(_assigned(base))):
                errors.append(
                    f"{cls.__module__}.{cls.__qualname__} overwrites {sorted(both)} of {base.__qualname__}"
                )
    assert not errors, "\n".join(errors)


def test_private_names_of_textual_are_used_in_one_module() -> None:
    ours: set[str] = set()
    used: dict[str, list[str]] = {}
    for path in Path(victor_tui.__file__).parent.rglob("*.py"):
        if path.name == "textual_compat.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                ours.add(node.name)
            elif isinstance(node, ast.AnnAssign | ast.Assign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                ours |= {t.id for t in targets if isinstance(t, ast.Name)}
            if isinstance(node, ast.Attribute):
                if (
                    isinstance(node.ctx, ast.Store)
                    and isinstance(node.value, ast.Name)
                    and node.value.id == "self"
                ):
                    ours.add(node.attr)
                else:
                    used.setdefault(node.attr, []).append(f"{path.name}:{node.lineno}")
    of_textual: set[str] = set()
    for path in Path(textual.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                of_textual.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                of_textual.add(node.attr)
    errors = {name: places for name, places in used.items() if name in _private(of_textual) - ours}
    assert not errors
