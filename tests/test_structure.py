"""The size of classes and the owners of their attributes: parts are composed, not mixed in."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

import pytest

import victor_engine
import victor_tui
from victor_engine.api.port import Port, declared
from victor_engine.api.ports import EnginePort
from victor_engine.engine import Engine
from victor_engine.engine.facade import delegate

MAX_METHODS = 40
MAX_LINES = 400
"""The maximum number of methods of a class, with those that it inherits from the project, without derived ones."""

PACKAGES = (victor_engine, victor_tui)


def classes() -> Iterator[type]:
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("__main__"):
                continue
            for found in vars(importlib.import_module(module.name)).values():
                if inspect.isclass(found) and found.__module__ == module.name:
                    yield found


def written_methods(cls: type) -> set[str]:
    """Return the names of the methods that the project has written for a class or its bases."""
    found: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] in ("victor_engine", "victor_tui"):
            found |= vars(base)
    return {name for name, value in found.items() if _is_written(cls, name, value)}


def _is_written(cls: type, name: str, value: object) -> bool:
    if isinstance(value, property):
        value = value.fget
    if isinstance(value, classmethod | staticmethod):
        value = value.__func__
    if not isinstance(value, FunctionType):
        return False
    if issubclass(cls, Port) and name in declared() and hasattr(value, "__wrapped__"):
        return False  # derived from the declaration
    module = value.__module__ or ""
    return module.partition(".")[0] in ("victor_engine", "victor_tui")


def test_no_module_is_too_long() -> None:
    """A table is not code: it is read by its rows."""
    root = Path(__file__).resolve().parents[1]
    lengths = {
        str(path.relative_to(root)): len(path.read_text("utf-8").splitlines())
        for package in ("victor_engine", "victor_tui")
        for path in (root / package).rglob("*.py")
        if path.name != "key_table.py"
    }
    long = {path: lines for path, lines in lengths.items() if lines > MAX_LINES}
    assert not long, f"more than {MAX_LINES} lines; divide these modules: {long}"


def test_no_class_has_too_many_methods() -> None:
    counted = {
        f"{cls.__module__}.{cls.__qualname__}": len(written_methods(cls))
        for cls in classes()
        if not getattr(cls, "_is_protocol", False)
    }
    assert len(counted) > 500
    large = {name: count for name, count in counted.items() if count > MAX_METHODS}
    assert not large, f"more than {MAX_METHODS} methods; divide these classes: {large}"


def test_the_engine_composes_its_parts_and_inherits_none() -> None:
    assert [base for base in Engine.__mro__[1:] if base not in Port.__mro__] == []
    assert len(written_methods(Engine)) <= 25
    for name, method in declared().items():
        found = getattr(Engine, name)
        if method.protocol is not EnginePort:
            assert found.__wrapped__ is method.declaration, f"Engine.{name} is written by hand"


def test_a_part_that_differs_from_the_declaration_is_found_when_the_class_is_made() -> None:
    class Runs:
        async def pause_run(self, run_id: str, note: str = "none") -> None: ...

    class Parts:
        runs: Runs

    Parts.__annotations__ = {"runs": Runs}
    with pytest.raises(TypeError, match=r"Runs\.pause_run.*differs from the declaration in RunsPort"):
        delegate(declared()["pause_run"], "parts", Parts)
    with pytest.raises(TypeError, match=r"Runs\.cancel_run is not defined"):
        delegate(declared()["cancel_run"], "parts", Parts)


def test_a_class_sets_the_attributes_that_it_declares() -> None:
    """If one class declares an attribute and another sets it, readers cannot see the dependency."""
    unset = {}
    for package in PACKAGES:
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            for cls in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(cls, ast.ClassDef) and (missing := _declared_only(cls)):
                    unset[f"{path.stem}.{cls.name}"] = missing
    assert not unset


def _declared_only(cls: ast.ClassDef) -> set[str]:
    """Return the attributes that the body of a class only annotates, and that none of its methods sets."""
    words = [ast.unparse(node) for node in (*cls.bases, *cls.keywords, *cls.decorator_list)]
    # A frozen class is a struct: its constructor sets what it declares.
    frozen = ("Struct", "frozen", "dataclass", "NamedTuple", "Protocol")
    if any(word in text for text in words for word in frozen):
        return set()
    annotated = {
        node.target.id
        for node in cls.body
        if isinstance(node, ast.AnnAssign) and node.value is None and isinstance(node.target, ast.Name)
    }
    assigned = {
        node.attr
        for node in ast.walk(cls)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
    return annotated - assigned
