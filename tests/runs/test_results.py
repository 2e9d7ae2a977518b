"""The reading of output as a result: `result`, `result_schema` and `encoding` of a binding."""

from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import Bench, Work
from tests.runs.recorder import Recorder, make_call
from victor_engine.config import load_config
from victor_engine.config.model import Binding
from victor_engine.definition.model import ComputeNode, WorkflowDefinition
from victor_engine.errors import ConfigError, NodeError
from victor_engine.work.bindings import BindingTable
from victor_engine.work.invokers.output import Output, lines_of, read_text


def binding(**more: Any) -> Binding:
    return Binding(section="handlers", name="h", kind="command", place="victor.yaml:2:6", **more)


def read(output: str | bytes, **more: Any) -> tuple[Any, list[str]]:
    warnings: list[str] = []
    data = output if isinstance(output, bytes) else output.encode()
    return Output(data, binding(**more), "the command h").result(warnings.append), warnings


ALMOST_JSON = [
    '{"rows": 12, "file": "a', '{"score": NaN}', '{"a": 1} done', "[1, 2", '[{"a": 1}', "[NaN]", "[1] and more",
    "{name} is missing", "{", '[["a"', "[true, false",
]  # fmt: skip
TEXT = [
    "[INFO] 12 files", "[[INFO]] 12 files", "12 files", "true story", "[2026-11-29 16:00] begins", "[12:30] begins",
    "[nullable] x", "(a)",
]  # fmt: skip


@pytest.mark.parametrize("output", ALMOST_JSON)
def test_without_result_almost_json_is_text_with_a_warning(output: str) -> None:
    value, warnings = read(output)
    assert value == output
    assert "begins like JSON and is not one JSON value" in warnings[0]
    assert "result: json or result: text in handlers.h (victor.yaml:2:6)" in warnings[0]


@pytest.mark.parametrize("output", TEXT)
def test_without_result_other_text_is_text(output: str) -> None:
    assert read(output + "\n") == (output, [])


def test_without_result_one_json_value_is_that_value() -> None:
    assert read(' {"a": [1]} \n') == ({"a": [1]}, [])
    assert read("12") == (12, [])
    assert read("") == (None, [])


@pytest.mark.parametrize("output", [*ALMOST_JSON, *TEXT, "", " \n"])
def test_result_json_refuses_everything_else(output: str) -> None:
    with pytest.raises(NodeError) as caught:
        read(output, result="json")
    assert caught.value.error_type == "ResultNotJSON"
    assert "write result: text in handlers.h (victor.yaml:2:6)" in caught.value.message


def test_result_text_and_lines_read_nothing_as_json() -> None:
    assert read('{"error": {"type": "X"}}\n', result="text") == ('{"error": {"type": "X"}}', [])
    assert read("12\n\n", result="text") == ("12", [])
    assert read("", result="text") == ("", [])
    assert read("a\r\n\n[1]\n", result="lines") == (["a", "", "[1]"], [])
    assert read("", result="lines") == ([], [])
    assert lines_of("a\x0bb\u2028c\n") == ["a\x0bb\u2028c"]


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ('{"error": {"type": "Late"}}', "Late"),
        ('{"error": {"message": "m"}}', "CommandError"),
        ('{"error": {"type": 5, "message": "m"}}', "CommandError"),
    ],
)
def test_an_error_object_with_a_text_is_a_failure(output: str, kind: str) -> None:
    with pytest.raises(NodeError) as caught:
        read(output)
    assert caught.value.error_type == kind


@pytest.mark.parametrize("value", ['{"type": 5}', '{"code": 1}', "null", "0", "[]", '""'])
def test_another_error_is_data(value: str) -> None:
    found, warnings = read(f'{{"error": {value}}}')
    assert "error" in found
    assert warnings == []


def test_an_error_that_is_a_text_is_data_with_a_warning() -> None:
    found, warnings = read('{"error": "disk full"}', result="json")
    assert found == {"error": "disk full"}
    assert "an `error` that is a text, which is data" in warnings[0]


def test_bytes_that_are_not_utf_8_fail_with_byte_and_place() -> None:
    data = b"one\ncaf\xe9\n"
    for kind in ("text", "json", "lines"):
        with pytest.raises(NodeError) as caught:
            read(data, result=kind)
        assert caught.value.error_type == "ResultEncodingError"
        assert "is not utf-8: byte 0xE9 at offset 7 (line 2)" in caught.value.message
        assert "encoding: latin-1" in caught.value.message
    assert read(data, result="text", encoding="iso8859-1") == ("one\ncafé", [])
    assert read('{"a": "é"}'.encode("utf-16"), result="json", encoding="utf-16") == ({"a": "é"}, [])
    value, warnings = read(data)  # the old reading, for one release
    assert value == "one\ncaf\ufffd"
    assert "byte 0xE9 at offset 7" in warnings[0]


def test_the_text_of_a_model() -> None:
    warnings: list[str] = []

    def model(text: str, **more: Any) -> Any:
        return read_text(text, binding(**more), "the model m", warnings.append)

    assert model('```json\n{"a": 1}\n```') == {"a": 1}
    assert model('{"a": 1}', result="text") == '{"a": 1}'
    assert model("a\nb", result="lines") == ["a", "b"]
    assert model("yes", result="text") == "yes"
    assert warnings == []
    assert model('{"a": 1') == '{"a": 1'
    assert "begins like JSON" in warnings[0]
    with pytest.raises(NodeError, match="not one JSON value"):
        model("Here it is: {}", result="json")


# --- through the configuration ------------------------------------------------------------------


def table(tmp_path: Path, handler: str) -> BindingTable:
    (tmp_path / "victor.yaml").write_text(f"handlers:\n  h: {{{handler}}}\n")
    return BindingTable(load_config(tmp_path, environ={"HOME": str(tmp_path)}, system_file=tmp_path / "none"))


async def run(tmp_path: Path, handler: str) -> tuple[Any, Recorder]:
    recorder = Recorder()
    bound = table(tmp_path, handler).resolve("w", ComputeNode(id="n", handler="h"))
    return await bound(make_call(), recorder), recorder


@pytest.mark.process
async def test_a_command_with_a_schema(tmp_path: Path) -> None:
    schema = (
        "result: json, result_schema: {type: object, required: [rows], properties: {rows: {type: integer}}}"
    )
    found, _ = await run(tmp_path, f"command: [printf, '{{\"rows\": 3}}'], {schema}")
    assert found == {"rows": 3}
    with pytest.raises(NodeError, match="rows must be a whole number") as caught:
        await run(tmp_path, f'command: [printf, \'{{"rows": "3"}}\'], {schema}')
    assert caught.value.error_type == "ResultSchemaError"
    assert "handlers.h (" in caught.value.message


@pytest.mark.process
async def test_the_log_has_text_in_its_encoding_and_the_output_of_a_failure(tmp_path: Path) -> None:
    found, recorder = await run(
        tmp_path, r"command: [printf, 'caf\351\nb\n'], result: lines, encoding: latin1"
    )
    assert found == ["café", "b"]
    assert recorder.text("stdout") == ["café", "b"]
    recorder = Recorder()
    bound = table(tmp_path, "command: [printf, '{\"a\": ']").resolve("w", ComputeNode(id="n", handler="h"))
    assert await bound(make_call(), recorder) == '{"a": '
    bound = table(tmp_path, "command: [printf, '{\"b\": '], result: json").resolve(
        "w", ComputeNode(id="n", handler="h")
    )
    with pytest.raises(NodeError, match="Print one JSON value"):
        await bound(make_call(), recorder)
    assert recorder.text("stdout") == ['{"a": ', '{"b": ']


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        ("command: [x], result: yaml", "result in handlers.h cannot be 'yaml'"),
        ("python: 'm:f', result: json", "a function returns its value"),
        ("command: [x], result_schema: {type: object}", "Add result: json"),
        ("command: [x], result: json, result_schema: [a]", "must be a JSON Schema"),
        ("command: [x], encoding: utf-9", "the encoding 'utf-9' does not exist"),
        ("command: [x], encoding: base64", "the encoding 'base64' does not exist"),
        ("python: 'm:f', encoding: latin1", "python has no bytes to decode"),
        ("http: {url: 'http://x', redirects: yes}", "redirects in handlers.h cannot be True"),
    ],
)
def test_invalid_keys_of_results_are_refused_with_their_place(
    tmp_path: Path, handler: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        table(tmp_path, handler)
    assert message in str(caught.value)
    assert "victor.yaml:2:" in str(caught.value)


def test_a_schema_that_is_not_one_is_an_error_of_its_nodes(tmp_path: Path) -> None:
    bindings = table(tmp_path, "command: ['true'], result: json, result_schema: {type: objekt}")
    node = ComputeNode(id="n", handler="h")
    found = bindings.check(WorkflowDefinition(name="w", nodes={"n": node}, start_node="n"))
    assert [(p.severity, "result_schema of handlers.h" in p.message) for p in found] == [("error", True)]


async def test_a_large_result_is_stored_once_in_its_patch_and_in_the_whole_state(tmp_path: Path) -> None:
    rows = [f"row {number}" for number in range(10_000)]
    text = """
workflows:
  w:
    nodes:
      - {id: load, type: compute, handler: h, next: [count]}
      - {id: count, type: transform, transform: "n = len(rows) + len(load['rows'])"}
"""
    async with Bench(tmp_path, Work(load={"rows": rows})) as bench:
        run = await bench.start(text)
        assert await bench.end(run) == "succeeded"
        stored = await bench.all("SELECT patch FROM attempts UNION ALL SELECT state FROM run_states")
        assert max((row[0] or "").count('"row 9999"') for row in stored) == 1
        assert (
            sum((row[0] or "").count('"row 9999"') for row in stored) == 2
        )  # the patch, and the whole state
        state = await bench.state(run)
        assert (state["rows"], state["load"], state["n"]) == (rows, {"rows": rows}, 20_000)
