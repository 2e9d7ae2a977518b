"""The composer of YAML nodes, which limits size, depth and number before recursive code reads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from victor_engine.workers.serving import OverBudgetError

MAX_TEXT = 2_000_000
"""The maximum number of characters of one text."""

MAX_DEPTH = 60
"""The maximum nesting of lists and mappings."""

MAX_VALUES = 200_000
"""The maximum number of values of one text. Each use of an alias counts as all values of its anchor."""

MAX_NUMBER = 400
"""The maximum number of characters of a number: the time to parse one grows with the square of its length."""

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_MERGE = "tag:yaml.org,2002:merge"


class YamlError(Exception):
    """The text is not valid YAML or exceeds the limits. `line` and `column` begin with 1."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


def too_many(mark: Any) -> YamlError:
    """Return the error of a text with too many values, at a mark of PyYAML."""
    return _error(f"more than {MAX_VALUES} values, with the values of aliases counted at each use", mark)


def too_deep(mark: Any) -> YamlError:
    """Return the error of a text that is nested too deeply, at a mark of PyYAML."""
    return _error(f"nested more than {MAX_DEPTH} levels deep", mark)


def _error(message: str, mark: Any) -> YamlError:
    return YamlError(message, mark.line + 1, mark.column + 1)


@contextmanager
def composing(text: str) -> Iterator[Any]:
    """Provide a safe loader of PyYAML that enforces the limits. Raises YamlError for text that is not YAML."""
    import yaml

    if len(text) > MAX_TEXT:
        raise YamlError(f"more than {MAX_TEXT} characters. Split the file")
    loader = None
    try:
        loader = _loader_class()(text)
        yield loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = error.problem or error.context or "not YAML"
        raise (_error(message, mark) if mark is not None else YamlError(message)) from error
    except yaml.YAMLError as error:
        raise YamlError(str(error).splitlines()[0]) from error
    except OverBudgetError as error:
        error.line = loader.line + 1 if loader is not None else 1
        raise
    finally:
        if loader is not None:
            loader.dispose()


def scalar(loader: Any, node: Any) -> Any:
    """Return the value of a scalar node, as the safe loader constructs it. Raises YamlError if it is invalid."""
    import yaml

    if node.tag in _NUMBERS and len(node.value) > MAX_NUMBER:
        raise _error(f"a number with more than {MAX_NUMBER} characters", node.start_mark)
    try:
        return loader.construct_object(node, deep=True)
    except (ValueError, ArithmeticError, LookupError, AttributeError, TypeError, yaml.YAMLError) as error:
        # PyYAML does not convert the errors of its own code: `!!int ""` is an IndexError.
        raise _error(f"{node.value[:80]!r} is not a valid value: {error}", node.start_mark) from error


@cache
def _loader_class() -> type[Any]:
    import yaml

    class Loader(yaml.SafeLoader):
        """PyYAML's safe loader with limits. Its composer and constructor are recursive; its parser is not."""

        def __init__(self, text: str) -> None:
            super().__init__(text)
            self._depth = 0
            self._nodes = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            self._depth += 1
            self._nodes += 1
            parser: Any = self
            if self._depth > MAX_DEPTH:
                raise too_deep(parser.peek_event().start_mark)
            if self._nodes > MAX_VALUES:
                raise too_many(parser.peek_event().start_mark)
            try:
                return super().compose_node(parent, index)
            finally:
                self._depth -= 1

        def flatten_mapping(self, node: Any) -> None:
            self._flatten(node, 0)

        def _flatten(self, node: Any, depth: int) -> None:
            """Merge the mappings of `<<` as PyYAML does. Raises YamlError if the result exceeds the limits."""
            if depth > MAX_DEPTH:
                raise too_deep(node.start_mark)
            merges = [value for key, value in node.value if key.tag == _MERGE]
            if not merges:
                return
            node.value = [(key, value) for key, value in node.value if key.tag != _MERGE]
            pairs: list[Any] = []
            for merge in merges:
                listed = isinstance(merge, yaml.SequenceNode)
                for source in reversed(merge.value) if listed else [merge]:
                    if not isinstance(source, yaml.MappingNode):
                        raise _error("<< must be a mapping, or a list of mappings", merge.start_mark)
                    self._flatten(source, depth + 1)
                    pairs += source.value
                    if len(pairs) > MAX_VALUES:
                        raise too_many(merge.start_mark)
            node.value = pairs + node.value

    return Loader
