"""The configuration: layers of settings, and the trusted workspaces."""

from victor_engine.config.layers import load_config
from victor_engine.config.model import (
    Binding,
    ChatTarget,
    Config,
    ConsoleConfig,
    HitlConfig,
    HttpTarget,
    NotifyRule,
    PermissionsConfig,
    ScheduleDefaults,
    SchedulerConfig,
    SecretSource,
    SocketConfig,
    TrustConfig,
)
from victor_engine.config.trust_list import is_trusted, trust

__all__ = [
    "Binding",
    "ChatTarget",
    "Config",
    "ConsoleConfig",
    "HitlConfig",
    "HttpTarget",
    "NotifyRule",
    "PermissionsConfig",
    "ScheduleDefaults",
    "SchedulerConfig",
    "SecretSource",
    "SocketConfig",
    "TrustConfig",
    "is_trusted",
    "load_config",
    "trust",
]
