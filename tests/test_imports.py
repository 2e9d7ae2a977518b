"""The imports between the modules of both packages form no cycle."""

from __future__ import annotations

import grimp


def _cycle_of(graph: grimp.ImportGraph, start: str) -> list[str] | None:
    """Return a shortest chain of imports from a module to itself, or None."""
    before: dict[str, str] = {}
    level = [start]
    while level:
        deeper: list[str] = []
        for importer in level:
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                if imported == start:
                    chain = [importer, start]
                    while chain[0] != start:
                        chain.insert(0, before[chain[0]])
                    return chain
                if imported not in before:
                    before[imported] = importer
                    deeper.append(imported)
        level = deeper
    return None


def test_imports_form_no_cycle() -> None:
    """Include imports in functions and imports for type checkers."""
    graph = grimp.build_graph(
        "victor_engine", "victor_tui", exclude_type_checking_imports=False, cache_dir=None
    )
    cycles = {}
    for module in sorted(graph.modules):
        cycle = _cycle_of(graph, module)
        if cycle is not None:
            cycles.setdefault(frozenset(cycle), " -> ".join(cycle))
    assert not cycles, "\n".join(cycles.values())


def test_a_cycle_is_found() -> None:
    graph = grimp.ImportGraph()
    for importer, imported in (("a", "b"), ("b", "c"), ("c", "b")):
        graph.add_import(importer=importer, imported=imported)
    assert _cycle_of(graph, "a") is None
    assert _cycle_of(graph, "b") == ["b", "c", "b"]
