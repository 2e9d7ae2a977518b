"""The configuration: layers of settings, and the trusted workspaces."""

from victor_engine.addresses import address_of
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
from victor_engine.config.yaml_locations import Source, did_you_mean, read_yaml

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
    "Source",
    "TrustConfig",
    "address_of",
    "did_you_mean",
    "is_trusted",
    "load_config",
    "read_yaml",
    "trust",
]
