import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.runs.recorder import Recorder, make_call
from tests.runs.server import Server, delta, plain, stream
from victor_engine.api import UsageInfo
from victor_engine.clock import LONGEST
from victor_engine.config import load_config
from victor_engine.definition.model import AgentNode
from victor_engine.errors import NodeError, NodeTimeoutError
from victor_engine.work.bindings import BindingTable
from victor_engine.work.invokers import chat as chat_invoker
from victor_engine.work.invokers import http
from victor_engine.work.invokers.http import retry_after
from victor_engine.work.invokers.results import time_limit


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as found:
        yield found


async def invoke(
    tmp_path: Path, binding: str, recorder: Recorder | None = None, more: str = "", **call: Any
) -> Any:
    (tmp_path / "victor.yaml").write_text(f"agents:\n  a: {{{binding}}}\n{more}\n")
    config = load_config(tmp_path, environ={"HOME": str(tmp_path)}, system_file=tmp_path / "none")
    table = BindingTable(config, environ={"VICTOR_SECRET_TOK": "s3cret-token"})
    invoker = table.resolve("w", AgentNode(id="n", role="a"))
    try:
        return await invoker(make_call(role="a", **call), recorder or Recorder())
    finally:
        await table.close()


def chat(server: Server, more: str = "") -> str:
    return f"chat: {{base_url: '{server.url}/v1', model: m1{', ' + more if more else ''}}}"


async def test_http_sends_the_payload_and_reads_json(tmp_path: Path, server: Server) -> None:
    server.replies = [plain(b'{"ok": 1}'), plain(b"just text\n")]
    binding = f"http: {{url: '{server.url}/x', headers: {{Authorization: 'Bearer $secret.tok'}}}}"
    recorder = Recorder()
    assert await invoke(tmp_path, binding, recorder, inputs={"a": 1}) == {"ok": 1}
    assert await invoke(tmp_path, binding) == "just text"
    first, headers, body = server.requests[0]
    assert first == "POST /x HTTP/1.1"
    assert headers["authorization"] == "Bearer s3cret-token"
    assert headers["idempotency-key"] == "r1:n:2"
    assert body["inputs"] == {"a": 1}
    assert "s3cret" not in json.dumps(recorder.lines)


async def test_http_fills_a_body(tmp_path: Path, server: Server) -> None:
    server.replies = [plain(b"")]
    binding = f"http: {{url: '{server.url}', method: put, body: {{text: $inputs.a.b, fixed: [1, $run_id]}}}}"
    assert await invoke(tmp_path, binding, inputs={"a": {"b": 7}}) is None
    assert server.requests[0][2] == {"text": 7, "fixed": [1, "r1"]}
    with pytest.raises(NodeError, match=r"\$inputs.a.b"):
        await invoke(tmp_path, binding)


async def test_http_status_and_retry_after(tmp_path: Path, server: Server) -> None:
    server.replies = [plain(b"slow s3cret-token down", "429 Too Many Requests", "Retry-After: 17")]
    with pytest.raises(NodeError, match=r"429 Too Many Requests: slow \*\*\* down") as caught:
        await invoke(tmp_path, f"http: '{server.url}/$secret.tok'")
    error = caught.value
    assert (error.http_status, error.retry_after, error.error_type) == (429, 17, "HTTP429")


async def test_http_that_cannot_be_reached(tmp_path: Path, server: Server) -> None:
    with pytest.raises(NodeError) as caught:
        await invoke(tmp_path, "http: 'http://127.0.0.1:1/'")
    assert caught.value.error_type == "ConnectionError"


async def test_http_timeout(tmp_path: Path, server: Server) -> None:
    server.replies = [stream("a", hold=server.hold)]
    with pytest.raises(NodeTimeoutError):
        await invoke(tmp_path, f"http: {{url: '{server.url}', timeout: 0.3}}")


def test_retry_after_dates() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_after("Thu, 01 Jan 2026 00:01:00 GMT", now) == 60
    assert retry_after("Wed, 31 Dec 2025 00:00:00 GMT", now) == 0
    assert retry_after("Fri, 31 Dec 9999 23:59:59 GMT", now) is not None


@pytest.mark.parametrize(
    "text",
    [
        "soon", "-1", "nan", "inf", "1e9", "²", "١٢", "Thu, 01 Jan 99999999999 00:00:00 GMT",
        "Thu, 01 Jan 2026 00:00:00 +99999999", "Thu, 99 Jan 2026 99:99:99 GMT", "Mon, , ,", "0000",
    ],
)  # fmt: skip
def test_an_invalid_retry_after_is_ignored(text: str) -> None:
    assert not retry_after(text)
    assert retry_after("9" * 5000) == LONGEST


async def test_chat_streams_its_text_and_counts_tokens(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M1_KEY", "sk-very-secret")
    usage = {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3}}
    server.replies = [stream(delta("first\nsec"), delta("ond"), delta("", "stop"), usage)]
    recorder = Recorder()
    result = await invoke(
        tmp_path,
        chat(server, "api_key_env: M1_KEY, system: Be brief., input_cost: 2"),
        recorder,
        goal="Say it",
        inputs={"a": 1},
        llm_config={"temperature": 0.1, "unknown": 1},
    )
    assert result == "first\nsecond"
    assert recorder.text("stdout") == ["first", "second"]
    assert recorder.text("log") == ["m1: 12 tokens in, 3 out, 0 tool calls, cost 0.000024"]
    assert recorder.usage == [UsageInfo("m1", 12, 3, 0, 0.000024)]
    first, headers, body = server.requests[0]
    assert first == "POST /v1/chat/completions HTTP/1.1"
    assert headers["authorization"] == "Bearer sk-very-secret"
    assert body["temperature"] == 0.1
    assert "unknown" not in body
    assert body["messages"] == [
        {"role": "system", "content": "Be brief.\n\nRole: a"},
        {"role": "user", "content": 'Say it\n\nInputs (JSON):\n{"a":1}'},
    ]


async def test_chat_without_streaming_and_with_json(tmp_path: Path, server: Server) -> None:
    text = '```json\n{"x": [1]}\n```'
    answer = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    server.replies = [plain(json.dumps(answer).encode())]
    assert await invoke(tmp_path, chat(server, "stream: false")) == {"x": [1]}
    assert "stream" not in server.requests[0][2]


def tool_call(arguments: str, name: str = "t") -> dict[str, Any]:
    said = {"index": 0, "id": "c1", "function": {"name": name, "arguments": arguments}}
    return delta("", "tool_calls", tool_calls=[said])


TOOLS = "tools: {t: {command: [cat], description: Echoes, parameters: {q: {type: integer}}}, other: {command: [x]}}"


@pytest.mark.process
async def test_chat_uses_tools_within_the_budget(tmp_path: Path, server: Server) -> None:
    server.replies = [
        stream(tool_call('{"q": 4}')),
        stream(tool_call("{", "t")),
        stream(delta("done", "stop")),
    ]
    recorder = Recorder()
    result = await invoke(tmp_path, chat(server), recorder, more=TOOLS, tools=("t", "unbound"), tool_budget=2)
    assert result == "done"
    assert [(used.tool_calls, used.cost) for used in recorder.usage] == [(n, None) for n in (0, 1, 1, 2, 2)]
    bodies = [body for _, _, body in server.requests]
    assert [tool["function"]["name"] for tool in bodies[0]["tools"]] == ["t"]
    assert bodies[0]["tools"][0]["function"]["description"] == "Echoes"
    assert bodies[0]["tools"][0]["function"]["parameters"] == {
        "type": "object", "properties": {"q": {"type": "integer"}}, "required": ["q"],
    }  # fmt: skip
    assert json.loads(bodies[1]["messages"][-1]["content"])["inputs"] == {"q": 4}
    assert "not JSON" in bodies[2]["messages"][-1]["content"]
    assert "tools" not in bodies[2]  # the budget is spent


@pytest.mark.process
async def test_chat_past_its_budget_fails(tmp_path: Path, server: Server) -> None:
    server.replies = [stream(tool_call("{}")), stream(tool_call("{}"))]
    with pytest.raises(NodeError, match="more than 1 tool calls") as caught:
        await invoke(tmp_path, chat(server), more=TOOLS, tools=("t",), tool_budget=1)
    assert caught.value.error_type == "ToolBudgetExceeded"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (plain(b'{"error": {"message": "no"}}', "500 Internal Server Error"), "HTTP500"),
        (plain(b"{not json"), "MalformedAnswer"),
        (plain(b'{"choices": []}'), "MalformedAnswer"),
        (stream("{broken"), "MalformedAnswer"),
        (stream(delta("half a sen"), done=False), "IncompleteAnswer"),
        (stream(delta("too long", "length")), "IncompleteAnswer"),
    ],
)
async def test_chat_errors_are_typed(tmp_path: Path, server: Server, reply: Any, kind: str) -> None:
    server.replies = [reply]
    with pytest.raises(NodeError) as caught:
        await invoke(tmp_path, chat(server))
    assert caught.value.error_type == kind


async def test_a_slow_chat_stream_is_ended_by_its_limit(tmp_path: Path, server: Server) -> None:
    server.replies = [stream(delta("slow"), hold=server.hold)]
    recorder = Recorder()
    with pytest.raises(NodeTimeoutError, match="the model m1"):
        await invoke(tmp_path, chat(server), recorder, timeout=0.3)


async def test_a_key_that_is_not_set_or_echoed_is_handled(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("M1_KEY", raising=False)
    with pytest.raises(NodeError, match="M1_KEY"):
        await invoke(tmp_path, chat(server, "api_key_env: M1_KEY"))
    (tmp_path / "key").write_text("sk-from-file\n")
    server.replies = [plain(b'{"error": {"message": "bad key sk-from-file"}}', "401 Unauthorized")]
    with pytest.raises(NodeError, match=r"bad key \*\*\*") as caught:
        await invoke(tmp_path, chat(server, "api_key_file: key"))
    assert caught.value.http_status == 401


async def test_a_redirect_fails_unless_it_is_followed_or_accepted(tmp_path: Path, server: Server) -> None:
    def moved() -> Any:
        return plain(b"gone", "302 Found", f"Location: {server.url}/there?token=abc")

    server.replies = [moved(), moved(), plain(b'{"ok": 1}'), moved(), plain(b"", "304 Not Modified")]
    with pytest.raises(
        NodeError, match=r"302 Found and redirects to http://\S+/there\. To follow it"
    ) as caught:
        await invoke(tmp_path, f"http: {{url: '{server.url}/x', method: get}}")
    assert (caught.value.error_type, caught.value.http_status) == ("HTTP302", 302)
    assert "abc" not in caught.value.message
    follow = f"http: {{url: '{server.url}/x', headers: {{X-Key: k}}, redirects: follow}}"
    assert await invoke(tmp_path, follow) == {"ok": 1}
    first, headers, body = server.requests[2]
    assert (first, body) == ("GET /there?token=abc HTTP/1.1", None)
    assert (headers["x-key"], headers["idempotency-key"]) == ("k", "r1:n:2")
    accept = f"http: {{url: '{server.url}/x', redirects: accept}}"
    assert await invoke(tmp_path, accept) == "gone"
    with pytest.raises(NodeError, match="304 Not Modified"):
        await invoke(tmp_path, f"http: {{url: '{server.url}/x'}}")


async def test_a_redirect_to_another_server_gets_no_headers_of_the_binding(
    tmp_path: Path, server: Server
) -> None:
    async with Server() as other:
        server.replies = [plain(b"", "307 Temporary Redirect", f"Location: {other.url}/y")]
        other.replies = [plain(b"moved")]
        headers = "headers: {X-Key: $secret.tok, Authorization: Bearer $secret.tok}"
        binding = f"http: {{url: '{server.url}', body: [1], redirects: follow, {headers}}}"
        assert await invoke(tmp_path, binding) == "moved"
        first, sent, body = other.requests[0]
    assert (first, body) == ("POST /y HTTP/1.1", [1])
    assert "s3cret-token" not in str(sent)
    assert server.requests[0][1]["x-key"] == "s3cret-token"


async def test_redirects_in_a_cycle_end(tmp_path: Path, server: Server) -> None:
    server.replies = [plain(b"", "301 Moved Permanently", "Location: /again")] * 11
    with pytest.raises(NodeError, match="redirects more than 10 times"):
        await invoke(tmp_path, f"http: {{url: '{server.url}', method: get, redirects: follow}}")


async def test_a_response_is_read_in_its_charset(tmp_path: Path, server: Server) -> None:
    latin = "Content-Type: text/plain; charset=ISO-8859-1"
    server.replies = [plain(b"caf\xe9", "200 OK", latin), plain(b"", "204 No Content"), plain(b"")]
    assert await invoke(tmp_path, f"http: '{server.url}', result: text") == "café"
    assert await invoke(tmp_path, f"http: '{server.url}', result: json") is None
    with pytest.raises(NodeError, match="not one JSON value: it is empty"):
        await invoke(tmp_path, f"http: '{server.url}', result: json")


async def test_requests_and_models_have_a_time_limit_of_their_own(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (http.DEFAULT_TIMEOUT, chat_invoker.DEFAULT_TIMEOUT) == (60, 600)
    monkeypatch.setattr(http, "DEFAULT_TIMEOUT", 0.2)
    monkeypatch.setattr(chat_invoker, "DEFAULT_TIMEOUT", 0.2)
    server.replies = [stream(delta("a"), hold=server.hold) for _ in range(2)]
    with pytest.raises(NodeTimeoutError, match=r"longer than 0\.2 s"):
        await invoke(tmp_path, f"http: {{url: '{server.url}'}}")
    with pytest.raises(NodeTimeoutError, match=r"longer than 0\.2 s"):
        await invoke(tmp_path, chat(server))
    call = make_call(timeout=3600.0)
    assert time_limit(call, None, 60) == 3600  # the node, or a default of its workflow
    assert time_limit(make_call(), 7200, 60) == 7200


async def test_an_empty_answer_of_a_model_fails_unless_it_is_allowed(tmp_path: Path, server: Server) -> None:
    server.replies = [stream(delta(" \n"), delta("", "stop")) for _ in range(2)]
    with pytest.raises(NodeError, match="allow_empty: true in the chat of its binding") as caught:
        await invoke(tmp_path, chat(server))
    assert caught.value.error_type == "EmptyAnswer"
    assert await invoke(tmp_path, chat(server, "allow_empty: true")) == " \n"


async def test_options_of_a_model_are_sent_and_a_node_overrides_them(tmp_path: Path, server: Server) -> None:
    server.replies = [stream(delta("yes"), delta("", "stop"))]
    binding = chat(server, "options: {temperature: 0.1, seed: 7}")
    await invoke(tmp_path, binding, llm_config={"temperature": 0.9})
    body = server.requests[0][2]
    assert (body["temperature"], body["seed"]) == (0.9, 7)
