"""Secrets: read when needed, given to the work that names them, masked everywhere else.

`$secret.name` is allowed in the inputs of a node, in the URL and headers of a wait, and in the `env`, URL,
headers and body of a binding. The store contains the reference, never the value.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from victor_engine.config.model import SecretSource
from victor_engine.errors import ConfigError
from victor_engine.files import read_text_bounded, reason
from victor_engine.secretrefs import authored, revealed

MASK = "***"
LARGEST_SECRET = 1_000_000
"""Maximum size of a file that holds a secret, in bytes."""

PREFIX = "VICTOR_SECRET_"
"""Prefix of the variables that hold secrets without a declaration in the configuration."""
BASIC = frozenset(
    (
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VICTOR_STATE",
        "VICTOR_RUNTIME",
    )
)  # fmt: skip
"""Variables of the engine that all work gets, besides those that begin with `LC_`."""

PRIVATE = ("CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID")
"""Variables that only the engine gets."""
_LARGEST = 65_536
"""Maximum size, in bytes, of a file whose content is masked before its first use."""
_CUT = re.compile(r" … \[\d+ (?:bytes|characters) cut\]$")
"""The mark of invokers on a line that was too long."""
_SHORTEST = 4
"""Minimum length of masked values: shorter ones would occur in ordinary text."""


class Masker:
    """Masks known secrets in texts and values, also in the forms that URLs and JSON give them."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        self._longest = 0
        self._pattern: re.Pattern[str] | None = None
        for value in values:
            self.add(value)

    def add(self, value: str) -> None:
        """Mask `value` from now on, and each of its lines by itself, because logs are processed by line."""
        parts = {value.strip(), *(line.strip() for line in value.splitlines())}
        for part in parts:
            if len(part) >= _SHORTEST:
                forms = {quote(part), quote(part, safe=""), quote_plus(part), json.dumps(part)[1:-1]}
                self._values |= {part, *forms}
        # the longest first, so that a secret that contains another is masked as a whole
        words = sorted(self._values, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, words))) if words else None
        self._longest = len(words[0]) if words else 0

    def text(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text

    def line(self, text: str) -> str:
        """Return a line of a log with secrets masked. The line may have been cut in the middle of a secret."""
        if self._pattern is None:
            return text
        cut = _CUT.search(text)
        if cut is None:
            return self.text(text)
        # The end of the line may be the beginning of a secret, shorter than the longest secret.
        return self.text(text[: cut.start()])[: -self._longest] + cut[0]

    def value(self, value: Any) -> Any:
        """Return a JSON value with the secrets in its texts, numbers and keys masked."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return MASK if self._pattern.search(str(value)) else value
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        return value


class SecretStore:
    """Finds secrets by name. `masker` masks the declared secrets and those that were used.

    A declared name is read from its source. Any other name is read from the variable
    `VICTOR_SECRET_<NAME>` (upper case, `-` as `_`), then from a systemd credential, which is a file of that
    name in `$CREDENTIALS_DIRECTORY`. Values are not cached, so a rotated secret takes effect immediately.

    `keys` are sources of secrets without a name, such as the key of a chat endpoint.
    """

    def __init__(
        self,
        declared: Mapping[str, SecretSource] | None = None,
        environ: Mapping[str, str] | None = None,
        keys: Iterable[SecretSource] = (),
    ) -> None:
        self._declared = declared or {}
        self._environ = os.environ if environ is None else environ
        sources = (*self._declared.values(), *keys)
        self._withheld = frozenset(source.env for source in sources if source.env is not None)
        self.masker = Masker(self._known(sources))

    def _known(self, sources: Iterable[SecretSource]) -> Iterator[str]:
        """Yield the values that can be read now. A missing one is reported when it is used."""
        for name, value in self._environ.items():
            if name.startswith(PREFIX) or name in self._withheld:
                yield value
        for source in sources:
            path = self._credential(source.credential) if source.credential else source.file
            with contextlib.suppress(ConfigError, OSError):
                # Only a regular file: the configuration may name a device or a pipe, which may never end.
                if path is not None and path.is_file() and path.stat().st_size <= _LARGEST:
                    yield read_secret_file(path, path.name)

    def environ(self, given: Mapping[str, str] | None = None, *, inherit: bool = True) -> dict[str, str]:
        """Return the environment for work: that of the engine, updated with `given`, with references replaced.

        Variables that hold secrets and variables of the engine are removed. A command that needs such a variable
        names it in `env` of its binding. Without `inherit`, only `BASIC` variables of the engine remain.
        """
        open_to_all = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(PREFIX)
            and name not in PRIVATE
            and name not in self._withheld
            and (inherit or name in BASIC or name.startswith("LC_"))
        }
        return {**open_to_all, **(self.resolve(given) if given else {})}

    def get(self, name: str) -> str:
        """Return the value of a secret. Raise ConfigError that names the secret and its source.

        After a dot, `name` has text that follows the reference, such as a domain after the name of a host.
        """
        name, dot, rest = name.partition(".")
        source = self._declared.get(name)
        value = self._standard(name) if source is None else self._read(name, source)
        self.masker.add(value)
        return value + dot + rest

    def resolve(self, value: Any) -> Any:
        """Return a JSON value of an author with each `$secret.name` in its texts replaced.

        Never call it with text that contains parts of a state: see `reveal`.
        """
        return revealed(authored(value), self.get)

    def reveal(self, value: Any) -> Any:
        """Return a value with its references to secrets replaced. Plain text is never changed."""
        return revealed(value, self.get)

    def _read(self, name: str, source: SecretSource) -> str:
        if source.env is not None:
            value = self._environ.get(source.env)
            if value is None:
                raise _missing(name, f"the environment variable {source.env} is not set")
            return value
        path = source.file if source.file is not None else self._credential(source.credential or name)
        if path is None:
            raise _missing(name, "no systemd credentials are available ($CREDENTIALS_DIRECTORY is not set)")
        return read_secret_file(path, name)

    def _standard(self, name: str) -> str:
        variable = PREFIX + name.upper().replace("-", "_")
        value = self._environ.get(variable)
        if value is not None:
            return value
        path = self._credential(name)
        if path is not None and path.is_file():
            return read_secret_file(path, name)
        raise _missing(
            name, f"set {variable}, or declare its source in victor.yaml: secrets: {{{name}: {{file: PATH}}}}"
        )

    def _credential(self, name: str) -> Path | None:
        directory = self._environ.get("CREDENTIALS_DIRECTORY")
        return Path(directory) / name if directory else None


def read_secret_file(path: Path, name: str) -> str:
    """Return the text of a file without its final line break. Raise ConfigError."""
    try:
        return read_text_bounded(path, largest=LARGEST_SECRET).rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else "not text"
        raise _missing(name, f"{path} cannot be read: {why}") from error


def _missing(name: str, why: str) -> ConfigError:
    return ConfigError(f"the secret {name!r} is not available: {why}", secret=name)
