"""The bindings of the workspace, resolved into invokers for the work of nodes."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from msgspec.structs import replace

from victor_engine.api import ProblemInfo
from victor_engine.config.content import key_of
from victor_engine.config.model import Binding, Config, TracingConfig
from victor_engine.definition.limits import NO_CONSTRAINTS, Constraints
from victor_engine.definition.model import AgentNode, Node, TeamNode, WorkflowDefinition
from victor_engine.errors import ConfigError, NodeError
from victor_engine.work import withheld_variables
from victor_engine.work.binding_checks import constraint_problems, without_process
from victor_engine.work.calls import CallContext, Invoker, NodeCall
from victor_engine.work.content_guard import ContentGuard
from victor_engine.work.invokers.command import CommandInvoker, find_program
from victor_engine.work.invokers.output import check_schema, schema_problem
from victor_engine.work.invokers.results import error_of
from victor_engine.work.masking import MaskedContext, masked
from victor_engine.work.secrets import SecretStore
from victor_engine.work.trace_context import traceparent
from victor_engine.work.working_nodes import nodes_with_roles

if TYPE_CHECKING:
    from victor_engine.work.invokers.python import WorkerPool


Machine = tuple[str, list[tuple[str, str]]]
"""Findings on this machine about a binding: the missing program, and withheld variables with remedies."""


class _Closer(Protocol):
    async def close(self) -> None: ...


class BindingTable:
    """The bindings of one configuration. Make a new table after a reload, and `close` the old one."""

    def __init__(self, config: Config, *, environ: Mapping[str, str] | None = None) -> None:
        self.config = config
        self._environ = os.environ if environ is None else environ
        self._invokers: dict[tuple[str, str], Invoker] = {}
        self._closers: list[_Closer] = []
        self._pool: WorkerPool | None = None
        self.guard: ContentGuard | None = None
        """Refuses work whose files are not trusted; None while none of it runs."""

    @cached_property
    def secrets(self) -> SecretStore:
        """The secrets of the configuration. Those that can be read now are masked from now on."""
        return SecretStore(self.config.secrets, self._environ, tuple(withheld_variables.keys_of(self.config)))

    @property
    def workspace(self) -> Path:
        return self.config.workspace

    @property
    def timezone(self) -> str:
        """The default time zone of wall times."""
        return self.config.scheduler.defaults.timezone

    def binding(self, workflow: str, node: Node, role: str | None = None) -> Binding:
        """Return the binding for the work of a node; `role` is the role of a team member.

        Entries of `nodes` come first, then the handler of the node. Work without a role is done by the only
        bound tool of the node. Work of a role is done by the agent bound to it, then by the default agent,
        and by the only bound tool if neither exists, because the tools of an agent are those that it may use.
        Raise ConfigError, with the lines to add, if no binding or several bindings match.
        """
        config = self.config
        role = getattr(node, "role", "") if role is None else role
        found = config.nodes.get(f"{workflow}.{node.id}")
        handler = getattr(node, "handler", None)
        if found is None and handler:
            found = config.handlers.get(handler)
        if found is None and role:
            found = config.agents.get(role) or config.default_agent
        if found is not None:
            return found
        tools = [name for name in dict.fromkeys(getattr(node, "tools", ())) if name in config.tools]
        if len(tools) == 1:
            return config.tools[tools[0]]
        if isinstance(node, (AgentNode, TeamNode)) and not role and not tools and config.default_agent:
            return config.default_agent
        raise _unbound(workflow, node, role, tools)

    def resolve(self, workflow: str, node: Node, role: str | None = None) -> BoundInvoker:
        """Return the invoker for the work of a node. Raise ConfigError as `binding` does.

        The invoker replaces references to secrets (`SecretText`) in its call, and masks secrets in the log, the
        result and errors.
        """
        return self._guarded(self.binding(workflow, node, role))

    def check(
        self, definition: WorkflowDefinition, places: Mapping[str, tuple[int, int]] | None = None
    ) -> list[ProblemInfo]:
        """Return the problems that prevent nodes from running (errors) and limits that are not enforced (warnings).

        `places` maps node ids to line and column in the file.
        """
        problems: list[ProblemInfo] = []
        shown: dict[str, str] = {}
        machine: dict[tuple[str, str], Machine] = {}
        for node, role in nodes_with_roles(definition):
            line, column = (places or {}).get(node.id, (0, 0))
            at = ProblemInfo("warning", "", path=definition.path or "", line=line, column=column)
            try:
                binding = self.binding(definition.name, node, role)
            except ConfigError as error:
                problem = str(error.details.get("problem", error.message))
                remedy = str(error.details.get("remedy", ""))
                first = shown.setdefault(remedy, node.id)
                if remedy and first != node.id:
                    remedy = f"The lines for node {first!r} bind this node too"
                problems.append(replace(at, severity="error", message=problem, remedy=remedy))
                continue
            key = binding.section, binding.name
            if key not in machine:
                machine[key] = self._machine(binding)
            missing, secret = machine[key]
            if schema := schema_problem(binding):
                problems.append(replace(at, severity="error", message=f"node {node.id!r}: {schema}"))
            problems += [
                replace(at, severity="error", message=m, remedy=r) for m, r in without_process(binding, node)
            ]
            found = [missing]
            found += constraint_problems(binding, getattr(node, "constraints", NO_CONSTRAINTS))
            problems += [replace(at, message=message, remedy=remedy) for message, remedy in secret]
            problems += [replace(at, message=f"node {node.id!r}: {each}") for each in found if each]
        return problems

    def check_inputs(self) -> list[Any]:
        """Return the inputs of `check` besides definitions and settings: the programs and scripts of all bindings."""
        return [(b.section, b.name, self._machine(b)) for b in self.config.bindings()]

    def _machine(self, binding: Binding) -> Machine:
        return self._missing_program(binding), self._withheld(binding)

    def _withheld(self, binding: Binding) -> list[tuple[str, str]]:
        """Return a message for each variable that the work reads but does not get, with the line to add."""
        found = []
        for variable in withheld_variables.variables(self.config):
            if withheld_variables.is_withheld(binding, variable) and withheld_variables.mentions(
                binding, variable, self.workspace
            ):
                name = f"{binding.section}.{binding.name}".rstrip(".")
                message = f"{name} reads {variable}, which is withheld because its binding does not name it"
                found.append((message, withheld_variables.remedy(self.config, variable)))
        return found

    def functions(self) -> dict[str, Callable[..., Any]]:
        """Return the functions of the configuration that expressions may call, by name.

        This imports modules of the workspace, so call it only for a trusted workspace. Raise ConfigError
        that names the function if it cannot be loaded.
        """
        from victor_engine.work.python_worker import load_function

        found: dict[str, Callable[..., Any]] = {}
        for name, reference in self.config.functions.items():
            try:
                found[name] = load_function(reference, str(self.config.workspace))
            except Exception as error:
                place = self.config.origins.get(f"functions.{name}", "functions")
                raise ConfigError(
                    f"{place}: functions.{name}: {reference} cannot be loaded: {type(error).__name__}: {error}"
                ) from error
        return found

    def _missing_program(self, binding: Binding) -> str:
        if binding.kind != "command":
            return ""
        try:
            find_program(binding.command[0], binding.cwd, {"PATH": os.environ.get("PATH", ""), **binding.env})
        except NodeError as error:
            return f"{error.message} ({binding.place})"
        return ""

    def summary(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """Return the commands, functions and addresses of the bindings, for the trust dialog."""
        commands: dict[str, None] = {}
        functions: dict[str, None] = dict.fromkeys(self.config.functions.values())
        urls: dict[str, None] = {}
        for binding in self.config.bindings():
            if binding.kind == "command":
                commands[" ".join(binding.command)] = None
            elif binding.kind == "python":
                functions[binding.function] = None
            elif binding.http is not None:
                urls[f"{binding.http.method} {binding.http.url}"] = None
            elif binding.chat is not None:
                urls[f"{binding.chat.base_url} ({binding.chat.model})"] = None
        for rule in self.config.notify:
            urls |= dict.fromkeys(f"{rule.name} (notify): {url}" for url in rule.urls)
        return tuple(commands), tuple(functions), tuple(urls)

    async def close(self) -> None:
        """End idle workers and close connections. Active calls continue."""
        for closer in self._closers:
            await closer.close()
        self._closers.clear()
        self._invokers.clear()
        self._pool = None

    def _guarded(self, binding: Binding) -> BoundInvoker:
        key = (binding.section, binding.name)
        if key not in self._invokers:
            self._invokers[key] = self._build(binding)
        traced = self.config.tracing != TracingConfig()
        return BoundInvoker(self._invokers[key], binding, self.secrets, self.guard, traced=traced)

    def _build(self, binding: Binding) -> Invoker:
        if binding.kind == "python":
            from victor_engine.work.invokers.python import PythonInvoker, WorkerPool

            if self._pool is None:
                self._pool = WorkerPool(self.config.workspace, self.secrets)
                self._closers.append(self._pool)
            return PythonInvoker(binding, self._pool, self.secrets)
        if binding.http is not None:
            from victor_engine.work.invokers.http import HttpClient, HttpInvoker

            client = HttpClient()
            self._closers.append(client)
            return HttpInvoker(binding, binding.http, client, self.secrets)
        if binding.chat is not None:
            from victor_engine.work.invokers.chat import ChatInvoker
            from victor_engine.work.invokers.http import HttpClient

            client = HttpClient()
            self._closers.append(client)
            tools = {name: self._guarded(tool) for name, tool in self.config.tools.items()}
            return ChatInvoker(binding, binding.chat, client, self.secrets, tools)
        return CommandInvoker(binding, self.secrets)


class BoundInvoker:
    """An invoker that resolves secrets in its call and masks them in its output."""

    def __init__(
        self,
        inner: Invoker,
        binding: Binding,
        secrets: SecretStore,
        guard: ContentGuard | None = None,
        *,
        traced: bool = False,
    ) -> None:
        self._inner = inner
        self._binding = binding
        self._secrets = secrets
        self._guard = guard
        self._traced = traced

    @property
    def description(self) -> str:
        return self._secrets.masker.text(self._binding.description or self._inner.description)

    @property
    def wants_state(self) -> bool:
        """Whether the binding asks for the whole state of the run in `NodeCall.state`."""
        return self._binding.state

    @property
    def binding(self) -> Binding:
        return self._binding

    async def needs_process(self) -> bool:
        needs = getattr(self._inner, "needs_process", None)
        return needs is not None and await needs()

    async def __call__(self, call: NodeCall, context: CallContext) -> Any:
        masker = self._secrets.masker
        _refuse(self._binding, call.constraints)
        for problem in constraint_problems(self._binding, call.constraints):
            context.log("log", problem)
        await self._check_content()
        try:
            call = dataclasses.replace(
                call,
                inputs=self._secrets.reveal(call.inputs),
                config=self._secrets.reveal(call.config),
                process=self._secrets.reveal(call.process),
                traceparent=self._trace(call),
            )
            result = await self._inner(call, MaskedContext(context, self._secrets))
            await check_schema(result, self._binding, self._inner.description)
        except ConfigError as error:
            raise NodeError(masker.text(error.message), error_type="ConfigError", retryable=False) from None
        except Exception as error:
            raise masked(error_of(error), masker) from None
        return masker.value(result)

    def _trace(self, call: NodeCall) -> str:
        if not self._traced:
            return ""
        return traceparent(call.run_id, call.node_id, call.iteration, call.attempt)

    async def _check_content(self) -> None:
        """Raise NodeError if a file that the work executes is not trusted."""
        if self._guard is None or self._binding.kind not in ("command", "python"):
            return
        why = await asyncio.to_thread(self._guard.refusal, key_of(self._binding))
        if why is not None:
            raise NodeError(
                f"{self._binding.title} was not started: {why}. Review it, run `victor trust`, and retry the run",
                error_type="UntrustedContent",
                retryable=False,
            )


def _refuse(binding: Binding, constraints: Constraints) -> None:
    """Raise NodeError if the constraints of the node forbid the work."""
    if binding.kind == "chat" and constraints.llm_allowed is False:
        raise NodeError(
            f"llm_allowed is false, and {binding.title} calls a language model",
            error_type="ConstraintError",
            retryable=False,
        )
    if binding.kind in ("http", "chat") and constraints.network_allowed is False:
        raise NodeError(
            f"network_allowed is false, and {binding.title} needs the network",
            error_type="ConstraintError",
            retryable=False,
        )


def _unbound(workflow: str, node: Node, role: str, tools: list[str]) -> ConfigError:
    where = f"workflow {workflow!r}, node {node.id!r}"
    if tools:
        problem = (
            f"{where}: several of its tools are bound ({', '.join(tools)}), and only one can do the work"
        )
        section, name = "nodes", f"{workflow}.{node.id}"
    elif role:
        problem = f"{where}: the role {role!r} has no binding"
        section, name = "agents", role
    elif getattr(node, "handler", None):
        problem = f"{where}: the handler {getattr(node, 'handler', '')!r} has no binding"
        section, name = "handlers", str(getattr(node, "handler", ""))
    elif len(getattr(node, "tools", ())) == 1:
        problem = f"{where}: the tool {getattr(node, 'tools', ('',))[0]!r} has no binding"
        section, name = "tools", getattr(node, "tools", ("",))[0]
    else:
        problem = f"{where}: it has no binding"
        section, name = "nodes", f"{workflow}.{node.id}"
    program = re.sub(r"[^\w-]+", "-", name.rsplit(".", 1)[-1])
    lines = f"{section}:\n  {_key(name)}:\n    command: [./bin/{program}]"
    remedy = f"Add to victor.yaml:\n{lines}"
    return ConfigError(
        f"{problem}. {remedy}", problem=problem, remedy=remedy, node=node.id, role=role, lines=lines
    )


def _key(name: str) -> str:
    """Return a name as a YAML key, in quotes unless it is a plain word."""
    return (
        name
        if name.replace(".", "").replace("_", "").replace("-", "").isalnum() and name[0].isalpha()
        else repr(name)
    )
