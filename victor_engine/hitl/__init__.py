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
)
from victor_engine.people.serving import Report, serve

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
    "Report",
    "ScriptedHandler",
    "serve",
]
