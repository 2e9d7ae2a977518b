"""The public names of requests to people: handlers that answer requests, and `serve`."""

from victor_engine.people.handlers import (
    AutoApproveHandler,
    HITLFallback,
    HITLHandler,
    HITLNodeType,
    HITLRequest,
    HITLResponse,
    HITLStatus,
    RecordingHandler,
    ReplayHandler,
    ScriptedHandler,
    serve,
)

__all__ = [
    "AutoApproveHandler",
    "HITLFallback",
    "HITLHandler",
    "HITLNodeType",
    "HITLRequest",
    "HITLResponse",
    "HITLStatus",
    "RecordingHandler",
    "ReplayHandler",
    "ScriptedHandler",
    "serve",
]
