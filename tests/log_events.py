"""What one part of the server logs during a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer


@implementer(ILogObserver)
class LogEvents:
    """Keeps the events of one namespace.

    Args:
        namespace: that of the logger; empty for all of them.
    """

    def __init__(self, namespace: str) -> None:
        self.events: list[LogEvent] = []
        self._namespace = namespace

    def __call__(self, event: LogEvent) -> None:
        if not self._namespace or event.get("log_namespace") == self._namespace:
            self.events.append(event)

    @property
    def lines(self) -> list[str]:
        """The events as text."""
        return [formatEvent(event) for event in self.events]


@contextmanager
def logged_by(namespace: str = "") -> Iterator[LogEvents]:
    """Listens while the context lasts."""
    events = LogEvents(namespace)
    globalLogPublisher.addObserver(events)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(events)
