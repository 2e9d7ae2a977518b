"""The content of a workspace that an engine executes: its files, and their digests.

The content is `victor.yaml`, the workflow files, and each file inside the workspace that the work names: words of
commands, functions of bindings, expressions and migrations, and the Python modules of the workspace that these import.
Python files are parsed and never imported, so that the content can be read before anyone trusts it.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import os
import re
import shlex
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from victor_engine import jsonio
from victor_engine.config.model import Binding, Config
from victor_engine.files import LARGEST, read_bounded

CONFIGURATION = "victor.yaml"
FUNCTIONS = "functions"
"""The key in `Content.bound` of the functions that expressions call. The engine imports them."""
MIGRATIONS = "migrations"
"""The key in `Content.bound` of the functions of migrations."""

UNREADABLE = "unreadable"
"""The digest of a file that exists and cannot be read."""

_OPTION = re.compile(r"--?[\w-]+=(.+)", re.DOTALL)
_PYTHON = re.compile(r"python[\d.]*\Z")


class Content(Struct, frozen=True):
    """The digest of each file of the content, by its path in the workspace.

    `bound` has the files of each binding (`agents.analyst`), of `functions` and of `migrations`. They include files
    that do not exist: one that is created there later would be executed.
    """

    files: dict[str, str]
    bound: dict[str, tuple[str, ...]] = {}

    @property
    def digest(self) -> str:
        """Return one digest over all files."""
        return jsonio.digest(sorted(self.files.items()))

    def code_of(self, bindings: Iterable[str]) -> dict[str, str]:
        """Return a digest of the existing files of each binding that has any."""
        found = {}
        for key in bindings:
            files = [
                (name, self.files[name]) for name in sorted(self.bound.get(key, ())) if name in self.files
            ]
            if files:
                found[key] = jsonio.digest(files)[:16]
        return found

    def of(self, workflow_files: Mapping[str, str]) -> Content:
        """Return the content with the workflow files that were read, by their paths in the workspace."""
        return Content({**self.files, **workflow_files}, self.bound)


def read_content(config: Config, migrations: Iterable[str] = ()) -> Content:
    """Return the content of a workspace without its workflow files. `migrations` are the functions of migrations."""
    search = _Search(config.workspace)
    bound = {key_of(binding): search.binding(binding) for binding in config.bindings()}
    bound[FUNCTIONS] = search.functions(config.functions.values())
    bound[MIGRATIONS] = search.functions(migrations)
    files = {name: digest for names in bound.values() for name in names if (digest := search.digest(name))}
    if config.digest:
        files[CONFIGURATION] = config.digest
    return Content(files, {key: names for key, names in bound.items() if names})


def key_of(binding: Binding) -> str:
    """Return the key of a binding in `Content.bound`."""
    return f"{binding.section}.{binding.name}".rstrip(".")


def file_digest(path: Path | str) -> str:
    """Return the SHA-256 (hex) of a regular file; empty if there is none, `UNREADABLE` if it cannot be read."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return ""
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
        return ""
    except OSError:
        return UNREADABLE


def inside(workspace: Path, path: Path | str) -> str | None:
    """Return the path in the workspace, also of a file that only a symbolic link leads to; None if it is outside."""
    root = os.path.abspath(workspace)
    written = os.path.abspath(path)
    if written.startswith(root + os.sep):
        return os.path.relpath(written, root)
    real = os.path.realpath(path)
    if real.startswith(os.path.realpath(root) + os.sep):
        return os.path.relpath(real, os.path.realpath(root))
    return None


class _Search:
    """The search for the files of one workspace. Each file is read once."""

    def __init__(self, workspace: Path) -> None:
        self._root = Path(os.path.abspath(workspace))
        self._digests: dict[str, str] = {}
        self._imports: dict[str, tuple[tuple[str, int], ...]] = {}

    def digest(self, name: str) -> str:
        if name not in self._digests:
            self._digests[name] = file_digest(self._root / name)
        return self._digests[name]

    def binding(self, binding: Binding) -> tuple[str, ...]:
        if binding.kind == "python":
            return self.functions([binding.function])
        if binding.kind != "command":
            return ()
        found: dict[str, None] = {}
        roots = [binding.cwd / each for each in binding.env.get("PYTHONPATH", "").split(os.pathsep) if each]
        program = shutil.which(binding.command[0], path=binding.env.get("PATH") or os.environ.get("PATH"))
        words = [word for each in binding.command for word in _words(each)]
        paths = [binding.cwd / Path(word).expanduser() for word in words]
        if program is not None and "/" not in binding.command[0]:
            paths.append(Path(program))
        for path in paths:
            name = self._file(path)
            if name is not None:
                found[name] = None
                self._follow(name, [Path(os.path.dirname(self._root / name)), *roots], found)
        if any(_PYTHON.search(word) for word in words):
            for option, module in itertools.pairwise(words):
                if option == "-m":
                    self._module(module, [binding.cwd, *roots], found)
                    self._module(f"{module}.__main__", [binding.cwd, *roots], found)
        return tuple(found)

    def functions(self, references: Iterable[str]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for reference in references:
            self._module(reference.partition(":")[0], [self._root], found)
        return tuple(found)

    def _file(self, path: Path | str) -> str | None:
        """Return the name of an existing regular file inside the workspace."""
        try:
            name = inside(self._root, path) if os.path.isfile(path) else None
        except (OSError, ValueError):
            return None
        return name

    def _follow(self, name: str, roots: list[Path], found: dict[str, None]) -> None:
        """Add the modules of the workspace that a Python file imports."""
        for module, level in self._imported(name):
            if level:
                folder = Path(self._root / name).parent
                for _ in range(level - 1):
                    folder = folder.parent
                self._module(module, [folder], found)
            else:
                self._module(module, roots, found)

    def _module(self, module: str, roots: list[Path], found: dict[str, None]) -> None:
        """Add the files of a module and of its packages. Those of the first root that has it are executed."""
        steps = [step for step in module.split(".") if step]
        for root in roots:
            for end in range(1, len(steps) + 1):
                base = root.joinpath(*steps[:end])
                for path in (base.with_name(base.name + ".py"), base / "__init__.py"):
                    name = inside(self._root, path)
                    if name is None or name in found:
                        continue
                    if self.digest(name):
                        found[name] = None
                        self._follow(name, roots, found)
                    elif end == 1:
                        found[name] = (
                            None  # a file that is created there takes the place of a module elsewhere
                        )

    def _imported(self, name: str) -> tuple[tuple[str, int], ...]:
        if name not in self._imports:
            self._imports[name] = tuple(dict.fromkeys(_imports(self._root / name)))
        return self._imports[name]


def _words(word: str) -> Iterator[str]:
    """Yield the words of an argument that can be file names: whole, the value of an option, those of a script."""
    yield word
    option = _OPTION.fullmatch(word)
    if option is not None:
        yield option[1]
    if any(c.isspace() or c in ";&|<>()" for c in word):
        try:
            lexer = shlex.shlex(word, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            yield from lexer
        except ValueError:
            yield from word.split()


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the modules that a Python file imports, with the level of relative imports."""
    try:
        source = read_bounded(path, largest=LARGEST)
        if path.suffix != ".py" and b"python" not in source[:200].partition(b"\n")[0]:
            return
        tree = ast.parse(source, str(path))
    except (OSError, SyntaxError, ValueError, SystemError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                yield each.name, 0
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module:
                yield module, node.level
            for each in node.names:
                yield f"{module}.{each.name}".lstrip("."), node.level
