"""From Twisted's events to lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from ollamamax.logs.access import AccessEntry
from ollamamax.logs.observer import ACCESS, json_event, observer_factory, text_event
from ollamamax.settings import Log

ENTRY = AccessEntry("GET", "/", 200, 0.5, "0f2c", 17)
Told = Callable[[Logger], None]


def logged(settings: Log, tell: Told, namespace: str = "ollamamax.x") -> str:
    """What a file holds when something has been told."""
    file = StringIO()
    tell(Logger(namespace, observer=observer_factory(settings)(file)))
    return file.getvalue()


def failing(logger: Logger) -> None:
    """Tells of an exception that a client provoked."""
    try:
        raise ValueError("b\x1b[1m\nc")
    except ValueError:
        logger.failure("it failed for {who}", who="a\nb")


def test_a_message_as_text() -> None:
    """Time, logger, level and the words."""
    line = logged(Log(), lambda teller: teller.warn("node {node} is down", node="de\nsk"))
    assert line[24:] == " [ollamamax.x#warn] node de\\nsk is down\n"


def test_a_message_as_json() -> None:
    """The words, and what they were made of by name."""
    line = logged(
        Log(format="json"), lambda teller: teller.warn("node {node} is down", node="desk", at=3, lease=object())
    )
    read = json.loads(line)
    assert read.pop("time").endswith("Z")
    assert read == {
        "level": "warn",
        "logger": "ollamamax.x",
        "message": "node desk is down",
        "node": "desk",
        "at": 3,
    }


def test_a_failure_as_text() -> None:
    """Its traceback is below it, and is all of one event."""
    lines = logged(Log(), failing).splitlines()
    assert lines[0].endswith("[ollamamax.x#critical] it failed for a\\nb")
    assert lines[1].startswith("\tTraceback")
    assert lines[-2:] == ["\tbuiltins.ValueError: b\\x1b[1m", "\tc"]
    assert all(line.startswith("\t") for line in lines[1:])


def test_a_failure_as_json() -> None:
    """Its traceback is a field of the one line."""
    (line,) = logged(Log(format="json"), failing).splitlines()
    read = json.loads(line)
    assert (read["level"], read["message"]) == ("critical", "it failed for a\\nb")
    assert read["traceback"].startswith("Traceback")
    assert read["traceback"].endswith("builtins.ValueError: b\\x1b[1m\nc")


def test_a_failure_that_cannot_be_told_has_its_line() -> None:
    """An exception whose own text raises costs its traceback, not the line."""

    class Untellable(Failure):
        def getTraceback(self, *_: Any, **__: Any) -> str:  # noqa: N802 - Twisted's name
            raise ValueError

    event = {"log_format": "it failed", "log_failure": Untellable(ValueError("x")), "log_level": LogLevel.critical}
    assert "it failed" in str(text_event(event))
    assert "cannot be told" in json.loads(str(json_event(event)))["traceback"]


def test_the_line_of_a_request() -> None:
    """Its words in text, its fields in JSON; any other observer of Twisted's has the words too."""
    told: Told = lambda logger: logger.info("{access}", access=ENTRY)  # noqa: E731
    assert logged(Log(), told, ACCESS)[24:] == f" [{ACCESS}#info] GET / 200 0.500s 0f2c bytes_out=17\n"
    read = json.loads(logged(Log(format="json"), told, ACCESS))
    assert (read["message"], read["logger"], read["seconds"]) == ("GET / 200", ACCESS, 0.5)
    assert "client" not in read
    assert "access" not in read


@pytest.mark.parametrize(("level", "told"), [("debug", 4), ("info", 3), ("warn", 2), ("error", 1)])
@pytest.mark.parametrize("form", ["text", "json"])
def test_what_is_less_serious_is_not_told(form: str, level: str, told: int) -> None:
    """Only requests are, whatever the level."""
    settings = Log(format=form, level=level)  # type: ignore[arg-type]

    def tell(logger: Logger) -> None:
        for method in (logger.debug, logger.info, logger.warn, logger.critical):
            method("x")

    assert len(logged(settings, tell).splitlines()) == told
    assert len(logged(settings, lambda logger: logger.info("{access}", access=ENTRY), ACCESS).splitlines()) == 1


@pytest.mark.parametrize("line_of", [text_event, json_event])
def test_events_of_twisteds_older_logging(line_of: Callable[[Any], str | None]) -> None:
    """They have a text, keys that tell nothing, and sometimes neither; what says nothing has no line."""
    old = {"log_format": "{log_text}", "log_text": "Port closed", "log_system": "-", "isError": 0, "system": "-"}
    line = str(line_of(old))
    assert "Port closed" in line
    assert "isError" not in line
    assert line_of({"log_time": 0.0}) is None
