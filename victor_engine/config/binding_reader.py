"""The reader of bindings: mappings with exactly one of command, python, http or chat."""

from __future__ import annotations

import codecs
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from victor_engine.api import ProblemInfo
from victor_engine.config.model import Binding, BindingKind, ChatTarget, HttpTarget, Redirects, ResultKind
from victor_engine.config.setting_readers import Reader, kind_of
from victor_engine.config.yaml_locations import Key, Source
from victor_engine.secretrefs import secret_names

KINDS: tuple[BindingKind, ...] = ("command", "python", "http", "chat")
COMMON = (
    "env", "inherit_env", "cwd", "timeout", "grace", "state", "description", "parameters", "result", "result_schema",
    "encoding",
)  # fmt: skip
HTTP = ("url", "method", "headers", "body", "timeout", "redirects")
CHAT = (
    "base_url", "model", "api_key_env", "api_key_file", "stream", "headers", "system", "options",
    "input_cost", "output_cost", "allow_empty",
)  # fmt: skip
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_URL = re.compile(r"https?://[^\s/]+\S*")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
RESULTS: tuple[ResultKind, ...] = ("json", "text", "lines")
REDIRECTS: tuple[Redirects, ...] = ("fail", "follow", "accept")
_REMEDY = "Write one of: command: [./program], python: package.module:function, http: {url: …}, chat: {…}"


def read_binding(
    source: Source, key_path: Key, data: Any, section: str, name: str, workspace: Path
) -> Binding:
    """Return the binding at `key_path`. Raises ConfigError with the place and the remedy if it is invalid."""
    what = f"{section}.{name}" if name else section
    if not isinstance(data, Mapping):
        raise source.fail(key_path, f"{what} must be a mapping, not {kind_of(data)}", _REMEDY)
    reader = Reader(source, key_path, data, what)
    reader.only((*KINDS, *COMMON))
    kinds = [kind for kind in KINDS if kind in data]
    if len(kinds) != 1:
        given = "has none of them" if not kinds else f"has {' and '.join(kinds)}"
        raise source.fail(key_path, f"{what} needs exactly one of {', '.join(KINDS)}, and {given}", _REMEDY)
    kind = kinds[0]
    if kind == "chat" and section not in ("agents", "default_agent", "nodes"):
        raise reader.fail("chat", f"{what} is not an agent, and chat can do only the work of agents", _REMEDY)
    timeout = reader.seconds("timeout", None)
    http = _read_http(reader) if kind == "http" else None
    if http is not None and timeout is None and isinstance(data["http"], Mapping):
        timeout = Reader(source, (*key_path, "http"), data["http"], what).seconds("timeout", None)
    return Binding(
        section=section,
        name=name,
        kind=kind,
        place=source.place(key_path),
        command=_read_command(reader) if kind == "command" else (),
        function=_read_function(reader) if kind == "python" else "",
        http=http,
        chat=_read_chat(reader, workspace) if kind == "chat" else None,
        env=reader.text_map("env"),
        inherit_env=reader.flag("inherit_env") if "inherit_env" in data else None,
        cwd=resolve_path(reader.text("cwd", "."), workspace),
        timeout=timeout,
        grace=reader.seconds("grace", 5.0, zero=True) or 0.0,
        state=reader.flag("state"),
        description=reader.text("description"),
        parameters=_read_parameters(reader),
        result=_read_result(reader, kind),
        result_schema=_read_result_schema(reader, kind),
        encoding=_read_encoding(reader, kind),
    )


def without_effect(
    source: Source, key_path: Key, data: Mapping[str, Any], binding: Binding
) -> list[ProblemInfo]:
    """Return a warning for each key of a binding that is accepted and has no effect."""
    name = f"{binding.section}.{binding.name}".rstrip(".")
    kind = binding.kind
    found: list[ProblemInfo] = []

    def warn(key: Key, why: str, remedy: str) -> None:
        found.append(
            source.warning(
                (*key_path, *key), f"{name}: {'.'.join(map(str, key))} has no effect: {why}", remedy
            )
        )

    if kind in ("http", "chat"):
        for key in ("env", "inherit_env", "cwd", "grace"):
            if key in data:
                warn((key,), f"{kind} starts no process", "Remove it")
    if "parameters" in data and binding.section != "tools":
        warn(("parameters",), "it describes a tool to a model", "Move it to the binding of a tool")
    inner = data[kind] if isinstance(data[kind], Mapping) else {}
    if binding.http is not None:
        if inner.get("body") is not None and binding.http.method in ("GET", "HEAD"):
            warn(
                ("http", "body"), f"{binding.http.method} requests have no body", "Use a method such as POST"
            )
        if data.get("timeout") is not None and inner.get("timeout") is not None:
            warn(("http", "timeout"), "the timeout of the binding takes precedence", "Remove one of the two")
    if binding.chat is not None and binding.chat.api_key_file is not None and binding.chat.api_key_env:
        warn(("chat", "api_key_env"), "the key is read from api_key_file", "Remove one of the two")
    texts: dict[tuple[str, ...], Any] = {
        ("command",): binding.command,
        ("cwd",): data.get("cwd"),
        **{
            ("chat", key): inner.get(key)
            for key in ("base_url", "model", "system", "options")
            if kind == "chat"
        },
    }
    for at, value in texts.items():
        names = secret_names(value)
        if names:
            remedy = (
                f"Pass it in env: {{NAME: $secret.{names[0]}}}" if kind == "command" else "Use it in headers"
            )
            message = f"$secret.{names[0]} in {'.'.join(at)} is not replaced with the secret"
            found.append(source.warning((*key_path, *at), f"{name}: {message}", remedy))
    return found


def _read_parameters(reader: Reader) -> dict[str, Any]:
    """Return the JSON Schema of the arguments of a tool, for a model.

    The configuration gives the schema of an object, or only its properties. Then all of them are required.
    """
    given = reader.data.get("parameters")
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise reader.fail(
            "parameters", f"{reader.what}: parameters must be a mapping", "Write: {path: {type: string}}"
        )
    if given.get("type") == "object":
        return dict(given)
    for name, schema in given.items():
        if not isinstance(schema, Mapping):
            raise reader.fail(
                "parameters",
                f"{reader.what}: the parameter {name!r} must be a JSON Schema",
                f"Write: {name}: {{type: string}}",
            )
    return {"type": "object", "properties": dict(given), "required": list(given)}


def _read_result(reader: Reader, kind: BindingKind) -> ResultKind:
    if kind == "python" and reader.data.get("result") is not None:
        raise reader.fail(
            "result",
            f"{reader.what}: a function returns its value, so result has no meaning",
            "Remove result",
        )
    return cast(ResultKind, reader.one_of("result", RESULTS, ""))


def _read_result_schema(reader: Reader, kind: BindingKind) -> Mapping[str, Any] | None:
    schema = reader.data.get("result_schema")
    if schema is None:
        return None
    if not isinstance(schema, Mapping):
        raise reader.fail(
            "result_schema", f"{reader.what}: result_schema must be a JSON Schema", "Write: {type: object}"
        )
    if kind != "python" and reader.data.get("result") is None:
        raise reader.fail(
            "result_schema", f"{reader.what}: result_schema needs the form of the result", "Add result: json"
        )
    return dict(schema)


def _read_encoding(reader: Reader, kind: BindingKind) -> str:
    name = reader.text("encoding")
    if not name:
        return ""
    if kind not in ("command", "http"):
        raise reader.fail("encoding", f"{reader.what}: {kind} has no bytes to decode", "Remove encoding")
    try:
        "\n".encode(codecs.lookup(name).name)
    except (LookupError, UnicodeError):
        raise reader.fail(
            "encoding", f"{reader.what}: the encoding {name!r} does not exist", "Write a name such as latin-1"
        ) from None
    return codecs.lookup(name).name


def resolve_path(text: str, workspace: Path) -> Path:
    """Return a path of the configuration: `~` is the user's home; others are relative to the workspace."""
    return workspace / Path(text).expanduser()


def is_function_reference(text: str) -> bool:
    """Return whether a text has the form `package.module:function`."""
    return _FUNCTION.fullmatch(text) is not None


def _read_command(reader: Reader) -> tuple[str, ...]:
    value = reader.data["command"]
    if isinstance(value, str):
        try:
            words = tuple(shlex.split(value))
        except ValueError as error:
            raise reader.fail("command", f"{reader.what}: the command cannot be split: {error}") from None
    elif isinstance(value, list) and all(
        isinstance(word, (str, int, float)) and not isinstance(word, bool) for word in value
    ):
        words = tuple(str(word) for word in value)
    else:
        raise reader.fail(
            "command", f"{reader.what}: a command must be a list of words", "Write: [./program, --flag]"
        )
    if not words or not words[0]:
        raise reader.fail("command", f"{reader.what}: the command is empty", "Write: [./program, --flag]")
    if any("\0" in word for word in words):
        raise reader.fail("command", f"{reader.what}: a command must not contain a NUL byte")
    return words


def _read_function(reader: Reader) -> str:
    text = reader.text("python")
    if not is_function_reference(text):
        raise reader.fail(
            "python", f"{reader.what}: {text!r} is not a function reference", "Write package.module:function"
        )
    return text


def _read_url(reader: Reader, key: str) -> str:
    url = reader.text(key)
    if not _URL.fullmatch(url):
        raise reader.fail(key, f"{reader.what}: {url!r} is not an http:// or https:// URL")
    return url


def _read_http(reader: Reader) -> HttpTarget:
    value = reader.data["http"]
    inner = Reader(
        reader.source,
        (*reader.key_path, "http"),
        {"url": value} if isinstance(value, str) else value,
        reader.what,
    )
    inner.only(HTTP)
    if "url" not in inner.data:
        raise reader.fail("http", f"{reader.what}: http needs a url", "Write: http: {url: https://…}")
    method = inner.text("method", "POST").upper()
    if method not in METHODS:
        raise inner.fail(
            "method",
            f"{reader.what}: the method cannot be {method!r}",
            f"Possible here: {', '.join(METHODS)}",
        )
    return HttpTarget(
        url=_read_url(inner, "url"),
        method=method,
        headers=inner.text_map("headers"),
        body=inner.data.get("body"),
        redirects=cast(Redirects, inner.one_of("redirects", REDIRECTS, "fail")),
    )


def _read_chat(reader: Reader, workspace: Path) -> ChatTarget:
    inner = Reader(reader.source, (*reader.key_path, "chat"), reader.data["chat"], reader.what)
    if "api_key" in inner.data:
        raise inner.fail(
            "api_key",
            f"{reader.what}: a file of the workspace must not contain a key",
            "Write api_key_env: NAME, or api_key_file: PATH",
        )
    inner.only(CHAT)
    for needed in ("base_url", "model"):
        if not inner.text(needed):
            raise reader.fail("chat", f"{reader.what}: chat needs {needed}")
    options = inner.data.get("options") or {}
    if not isinstance(options, Mapping):
        raise inner.fail("options", f"{reader.what}: options must be a mapping")
    key_file = inner.text("api_key_file")
    return ChatTarget(
        base_url=_read_url(inner, "base_url").rstrip("/"),
        model=inner.text("model"),
        api_key_env=inner.text("api_key_env") or None,
        api_key_file=resolve_path(key_file, workspace) if key_file else None,
        stream=inner.flag("stream", True),
        headers=inner.text_map("headers"),
        system=inner.text("system"),
        options=dict(options),
        input_cost=inner.seconds("input_cost", 0.0, zero=True) or 0.0,
        output_cost=inner.seconds("output_cost", 0.0, zero=True) or 0.0,
        allow_empty=inner.flag("allow_empty"),
    )
