"""Announcing outward: what the configuration wants told elsewhere, sent by Apprise, never in a run's way."""

from victor_engine.notify.notifier import Notifier
from victor_engine.notify.outbox import notify_problems
from victor_engine.notify.sender import Apprise, NotifyError, Sender

__all__ = ["Apprise", "Notifier", "NotifyError", "Sender", "notify_problems"]
