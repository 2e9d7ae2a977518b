"""People: what is asked, who may answer, what counts, and programs that answer in their place."""

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
