"""The invoker of agents that calls an OpenAI-compatible chat endpoint (`POST BASE_URL/chat/completions`)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from victor_engine import jsonio
from victor_engine.api import UsageInfo
from victor_engine.config.model import Binding, ChatTarget
from victor_engine.errors import ConfigError, NodeError
from victor_engine.work.calls import CallContext, Invoker, NodeCall, process_slot_of
from victor_engine.work.invokers.http import HttpClient, read_body, status_error
from victor_engine.work.invokers.output import read_text
from victor_engine.work.invokers.results import MAX_OUTPUT, LineSplitter, limited, time_limit, too_large
from victor_engine.work.secrets import SecretStore, read_secret_file
from victor_engine.work.trace_context import TRACEPARENT

if TYPE_CHECKING:
    import httpx

DEFAULT_TIMEOUT = 600.0
"""Time limit of an attempt in seconds if neither the node nor the binding has one."""

DEFAULT_TOOL_BUDGET = 50
"""Maximum tool calls of one attempt if the node has no `tool_budget`."""

_LLM_OPTIONS = (
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "presence_penalty",
    "frequency_penalty", "response_format", "reasoning_effort", "model",
)  # fmt: skip
MOST_TOKENS = 10**12
"""Maximum plausible number of tokens in one response; a larger number is ignored."""

_FINISHED = ("stop", "tool_calls", "function_call")


@dataclass(slots=True)
class _Reply:
    """One message of the model, assembled from its parts."""

    content: str = ""
    tools: dict[int, dict[str, Any]] = field(default_factory=dict)
    finish: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)

    def add(self, choice: Mapping[str, Any], part: Mapping[str, Any]) -> None:
        self.content += part.get("content") or ""
        for place, part_call in enumerate(part.get("tool_calls") or []):
            call = self.tools.setdefault(
                part_call.get("index", place),
                {"id": "", "type": "function", "function": {"name": "", "arguments": ""}},
            )
            call["id"] = part_call.get("id") or call["id"]
            function = part_call.get("function") or {}
            call["function"]["name"] += function.get("name") or ""
            call["function"]["arguments"] += function.get("arguments") or ""
        self.finish = choice.get("finish_reason") or self.finish

    def message(self) -> dict[str, Any]:
        calls = [self.tools[place] for place in sorted(self.tools)]
        return {
            "role": "assistant",
            "content": self.content or None,
            **({"tool_calls": calls} if calls else {}),
        }


class ChatInvoker:
    """Sends the goal of the node to a model and returns its text, or the JSON value in it.

    The role is the system message, the inputs are context, and `llm_config` sets parameters such as the
    temperature. Bound tools of the node are offered as functions; each call of one
    counts against `tool_budget`. Tokens, tool calls and cost are recorded with the attempt as they come.
    The key is read for each call.
    """

    def __init__(
        self,
        binding: Binding,
        target: ChatTarget,
        client: HttpClient,
        secrets: SecretStore,
        tools: Mapping[str, Invoker],
    ) -> None:
        self._binding = binding
        self._target = target
        self._client = client
        self._secrets = secrets
        self._tools = tools

    @property
    def description(self) -> str:
        return f"chat {self._target.model} at {self._target.base_url}"

    async def __call__(self, call: NodeCall, context: CallContext) -> Any:
        limit = time_limit(call, self._binding.timeout, DEFAULT_TIMEOUT)
        async with limited(limit, f"the model {self._target.model}"):
            return await self._converse(call, context)

    async def _converse(self, call: NodeCall, context: CallContext) -> Any:
        messages = self._opening(call)
        budget = DEFAULT_TOOL_BUDGET if call.tool_budget is None else call.tool_budget
        offered = [name for name in call.tools if name in self._tools]
        used = UsageInfo(self._target.model)
        while True:
            reply = await self._ask(call, context, messages, offered if used.tool_calls < budget else [])
            used = self._count(used, reply)
            await context.used(used)
            if not reply.tools:
                _log_usage(context, used)
                return self._result(reply.content, context)
            messages.append(reply.message())
            for tool_call in reply.message()["tool_calls"]:
                if used.tool_calls >= budget:
                    _log_usage(context, used)
                    raise NodeError(
                        f"the model {self._target.model} asked for more than {budget} tool calls",
                        error_type="ToolBudgetExceeded",
                        retryable=False,
                    )
                used = msgspec.structs.replace(used, tool_calls=used.tool_calls + 1)
                await context.used(used)
                messages.append(await self._use_tool(tool_call, call, context, offered))

    def _result(self, text: str, context: CallContext) -> Any:
        who = f"the model {self._target.model}"
        if not text.strip() and not self._target.allow_empty:
            raise NodeError(
                f"{who} gave an empty answer. If that is a result, write allow_empty: true in the chat of its binding",
                error_type="EmptyAnswer",
                bases=("ValueError", "Exception"),
            )
        return read_text(text, self._binding, who, context.warn)

    def _count(self, used: UsageInfo, reply: _Reply) -> UsageInfo:
        """Return the usage including one more reply of the model."""
        target = self._target
        taken = used.input_tokens + _tokens(reply.usage, "prompt_tokens")
        given = used.output_tokens + _tokens(reply.usage, "completion_tokens")
        cost = None
        if target.input_cost or target.output_cost:
            cost = (taken * target.input_cost + given * target.output_cost) / 1_000_000
        return msgspec.structs.replace(used, input_tokens=taken, output_tokens=given, cost=cost)

    def _opening(self, call: NodeCall) -> list[dict[str, Any]]:
        system = "\n\n".join(
            text for text in (self._target.system, call.role and f"Role: {call.role}") if text
        )
        parts = [call.goal or call.node_id]
        if call.inputs:
            parts.append("Inputs (JSON):\n" + msgspec.json.encode(call.inputs).decode())
        if call.state is not None:
            parts.append("State (JSON):\n" + msgspec.json.encode(call.state).decode())
        opening = [{"role": "system", "content": system}] if system else []
        return [*opening, {"role": "user", "content": "\n\n".join(parts)}]

    async def _ask(
        self, call: NodeCall, context: CallContext, messages: list[dict[str, Any]], tools: list[str]
    ) -> _Reply:
        target = self._target
        options = {key: call.llm_config[key] for key in _LLM_OPTIONS if key in call.llm_config}
        request: dict[str, Any] = {"model": target.model, **target.options, **options, "messages": messages}
        if target.stream:
            request.update(stream=True, stream_options={"include_usage": True})
        if tools:
            request["tools"] = [_function(name, self._tools[name]) for name in tools]
        headers = {"Content-Type": "application/json", **self._secrets.resolve(target.headers)}
        key = self._key()
        if call.traceparent:
            headers[TRACEPARENT] = call.traceparent
        if key:
            headers["Authorization"] = f"Bearer {key}"
        url = f"{target.base_url}/chat/completions"
        body = msgspec.json.encode(request)
        async with self._client.send("POST", url, headers, body) as response:
            if response.status_code >= 300:
                raise status_error(response, await read_body(response, url), f"the model {target.model}")
            if "text/event-stream" in response.headers.get("Content-Type", ""):
                reply = await self._read_stream(response, context)
            else:
                reply = self._read_whole(await read_body(response, url), context)
        if reply.finish not in _FINISHED:
            why = "was cut off" if reply.finish is None else f"ended with {reply.finish!r}"
            raise NodeError(
                f"the response of {target.model} {why}",
                error_type="IncompleteAnswer",
                bases=("ConnectionError", "OSError", "Exception") if reply.finish is None else ("Exception",),
            )
        return reply

    async def _read_stream(self, response: httpx.Response, context: CallContext) -> _Reply:
        reply = _Reply()
        lines = LineSplitter(lambda text: context.log("stdout", text))
        size = 0
        try:
            async for line in response.aiter_lines():
                size += len(line)
                if size > MAX_OUTPUT:
                    raise too_large(f"the model {self._target.model}")
                if not line.startswith("data:"):
                    continue
                data = line[5:].strip()
                if data == "[DONE]":
                    break
                text = self._take(reply, data.encode(), "delta")
                lines.feed(text.encode("utf-8", "replace"))
        finally:
            lines.close()  # also emits the text before an interruption
        return reply

    def _read_whole(self, data: bytes, context: CallContext) -> _Reply:
        reply = _Reply()
        text = self._take(reply, data, "message")
        for line in text.splitlines():
            context.log("stdout", line)
        if reply.finish is None:
            reply.finish = "stop"
        return reply

    def _take(self, reply: _Reply, data: bytes, part: str) -> str:
        """Add one chunk to the reply and return its text. Raise NodeError (MalformedAnswer)."""
        try:
            chunk = jsonio.read(data)
            before = len(reply.content)
            reply.usage = chunk.get("usage") or reply.usage
            for choice in (chunk.get("choices") or [])[:1]:
                reply.add(choice, choice[part])
            if part == "message" and not chunk.get("choices"):
                raise KeyError("choices")
            return reply.content[before:]
        except (ValueError, AttributeError, KeyError, TypeError, IndexError) as error:
            raise NodeError(
                f"the model {self._target.model} sent an invalid chat completion: {error}",
                error_type="MalformedAnswer",
                bases=("ValueError", "Exception"),
            ) from error

    async def _use_tool(
        self, tool_call: Mapping[str, Any], call: NodeCall, context: CallContext, offered: list[str]
    ) -> dict[str, Any]:
        """Call one tool. Errors are returned to the model, which can try again."""
        name = tool_call["function"]["name"]
        content: Any
        try:
            arguments = jsonio.read(tool_call["function"]["arguments"] or "{}")
            if name not in offered:
                raise NodeError(f"the tool {name!r} does not exist", error_type="UnknownTool")
            if not isinstance(arguments, dict):
                raise NodeError("the arguments must be an object", error_type="ToolArguments")
            context.log("log", f"tool {name} {msgspec.json.encode(arguments).decode()}")
            inner = dataclasses.replace(
                call, inputs=arguments, tools=(), tool_budget=None, state=None, timeout=None
            )
            tool = self._tools[name]
            async with process_slot_of(tool):
                content = await tool(inner, context)
        except ValueError as error:
            content = {"error": {"type": "ToolArguments", "message": f"not JSON: {error}"}}
        except NodeError as error:
            context.log("log", f"tool {name} failed: {error.message}")
            content = {"error": {"type": error.error_type, "message": error.message}}
        # the output of a tool may contain a secret, and the model must not receive it
        content = self._secrets.masker.value(content)
        text = content if isinstance(content, str) else msgspec.json.encode(content).decode()
        return {"role": "tool", "tool_call_id": tool_call["id"], "content": text}

    def _key(self) -> str:
        target = self._target
        key = ""
        if target.api_key_file is not None:
            key = read_secret_file(target.api_key_file, f"key of {target.model}").strip()
        elif target.api_key_env is not None:
            key = os.environ.get(target.api_key_env, "")
            if not key:
                raise ConfigError(
                    f"the environment variable {target.api_key_env}, which holds the key of {target.model}, "
                    "is not set"
                )
        self._secrets.masker.add(key)
        return key


def _log_usage(context: CallContext, used: UsageInfo) -> None:
    summary = (
        f"{used.model}: {used.input_tokens} tokens in, {used.output_tokens} out, {used.tool_calls} tool calls"
    )
    context.log("log", summary if used.cost is None else f"{summary}, cost {used.cost:.6f}")


def _function(name: str, invoker: Invoker) -> dict[str, Any]:
    binding: Binding | None = getattr(invoker, "binding", None)
    parameters = dict(binding.parameters) if binding is not None else {}
    parameters = parameters or {"type": "object", "additionalProperties": True}
    return {
        "type": "function",
        "function": {"name": name, "description": invoker.description, "parameters": parameters},
    }


def _tokens(usage: Mapping[str, Any], key: str) -> int:
    value = usage.get(key, 0)
    return value if isinstance(value, int) and 0 <= value <= MOST_TOKENS else 0
