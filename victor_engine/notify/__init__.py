"""Notifications to other services by the rules of the configuration. Apprise sends them, and runs never wait."""

from victor_engine.notify.notifier import Notifier
from victor_engine.notify.outbox import notify_problems
from victor_engine.notify.sender import Apprise, NotifyError, Sender

__all__ = ["Apprise", "Notifier", "NotifyError", "Sender", "notify_problems"]
