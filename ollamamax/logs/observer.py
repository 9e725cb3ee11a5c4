"""From Twisted's log events to the lines of the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO, Any

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogFilterPredicate,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    PredicateResult,
    formatEvent,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from ollamamax.logs.access import AccessEntry
from ollamamax.logs.lines import json_line, text_line
from ollamamax.settings import Log

ACCESS = "ollamamax.access"
"""The logger of the lines of requests, which a level does not silence: they have a setting of their own."""

# What Twisted's older logging puts into every event.
_LEGACY = frozenset(("time", "system", "message", "format", "isError", "printed", "failure", "why", "debug"))


def observer_factory(settings: Log) -> Callable[[IO[str]], ILogObserver]:
    """What makes an observer that writes to a file as the settings want it; the form in which `twist` asks for one."""
    line_of = json_event if settings.format == "json" else text_event
    levels = LogLevelFilterPredicate(defaultLogLevel=LogLevel.levelWithName(settings.level))

    def observer(file: IO[str]) -> ILogObserver:
        return FilteringLogObserver(FileLogObserver(file, line_of), [_AccessPasses(), levels])

    return observer


@implementer(ILogFilterPredicate)
class _AccessPasses:
    """Lets the lines of requests pass, whatever the level."""

    def __call__(self, event: LogEvent) -> Any:  # noqa: ANN401 - Twisted's constants have no types
        """`yes` for them; of all others somebody else decides."""
        return PredicateResult.yes if event.get("log_namespace") == ACCESS else PredicateResult.maybe


def text_event(event: LogEvent) -> str | None:
    """An event as text; None for one that says nothing."""
    access = event.get("access")
    message = str(access) if isinstance(access, AccessEntry) else formatEvent(event)
    traceback = _traceback(event)
    if not message and not traceback:
        return None
    source = event.get("log_system") or f"{_logger(event)}#{_level(event)}"
    return text_line(event.get("log_time") or 0.0, str(source), message, traceback)


def json_event(event: LogEvent) -> str | None:
    """An event as JSON; None for one that says nothing."""
    access = event.get("access")
    if isinstance(access, AccessEntry):
        message, fields = access.summary, access.fields
    else:
        message, fields = formatEvent(event), _fields(event)
    traceback = _traceback(event)
    if not message and not traceback:
        return None
    return json_line(
        event.get("log_time") or 0.0,
        level=_level(event),
        logger=_logger(event),
        message=message,
        fields=fields,
        traceback=traceback,
    )


def _fields(event: LogEvent) -> Mapping[str, object]:
    return {
        name: value
        for name, value in event.items()
        if name not in _LEGACY and not name.startswith("log_") and isinstance(value, str | int | float)
    }


def _level(event: LogEvent) -> str:
    return str(getattr(event.get("log_level"), "name", "info"))


def _logger(event: LogEvent) -> str:
    return str(event.get("log_namespace") or "-")


def _traceback(event: LogEvent) -> str:
    failure = event.get("log_failure")
    if not isinstance(failure, Failure):
        return ""
    try:
        return failure.getTraceback()
    except Exception as error:  # noqa: BLE001 - an exception whose own text fails must not cost the line
        return f"{failure.type}, whose traceback cannot be told: {type(error)}"
