"""What `ollamamax requests` prints, and how it goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from reports.answering import FakeCaller, error, row
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ollamamax.caller import Unanswered
from ollamamax.reports.asking import NoAnswer
from ollamamax.reports.requests import Printer, follow, print_requests


class Ledger:
    """Rows of requests that are over, as the server gives them."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = list(rows)
        self.fault: object = None
        self.most = 1000

    def answer(self, path: str, parameters: Mapping[str, list[str]]) -> object:
        """A page, the newest first."""
        assert path == "/api/v1/inference/requests"
        if self.fault is not None:
            return self.fault
        (since,) = parameters.get("finished_since", ["0"])
        newest = sorted(self.rows, key=lambda row: (row["finished_at"], row["id"]), reverse=True)
        newest = [row for row in newest if row["finished_at"][:23] >= since[:23]]
        begin, limit = int(parameters.get("cursor", ["0"])[0]), min(int(parameters["limit"][0]), self.most)
        following = str(begin + limit) if begin + limit < len(newest) else None
        return {"requests": newest[begin : begin + limit], "pagination": {"next": following}}


class Command:
    """A command that follows, on a clock of its own."""

    def __init__(self, ledger: Ledger, limit: int = 2) -> None:
        self.caller = FakeCaller(ledger.answer)
        self.lines: list[str] = []
        self.complaints: list[str] = []
        self.is_over = False
        self.done: list[object] = []
        printer = Printer(self.lines.append, as_json=True)
        following = follow(
            self.caller.as_caller,
            [("node", "desk")],
            limit,
            printer,
            complain=self.complaints.append,
            is_over=lambda: self.is_over,
        )
        Deferred.fromCoroutine(following).addBoth(self.done.append)

    def printed(self) -> str:
        """The ids of all rows by now."""
        return "".join(json.loads(line)["id"] for line in self.lines)

    def look(self) -> str:
        """Looks once more; what is printed by then."""
        self.caller.clock.advance(1.0)
        return self.printed()

    def end(self) -> None:
        """Nobody reads any more."""
        self.is_over = True
        self.look()
        assert self.done == [None]


def test_the_newest_come_last() -> None:
    """In a table with a head, whose names do nothing to a terminal; what runs has no end."""
    running = row("b", 2, finished_at=None, outcome=None, status=None, output_tokens=None, duration_seconds=None)
    found = {"requests": [running, row("a", 1, end_user="\x1b[2J")], "pagination": {}}
    caller = FakeCaller(lambda path, parameters: found)
    lines: list[str] = []
    printing = print_requests(caller.as_caller, [("model", "tiny")], 20, Printer(lines.append, as_json=False))
    Deferred.fromCoroutine(printing).addErrback(lambda failure: lines.append(str(failure)))
    assert caller.asked == [{"model": ["tiny"], "limit": ["20"]}]
    assert [line.split()[2:] for line in lines[1:]] == [
        [
            *["success", "200", "chat", "tiny:latest", "desk", "12,345", "7", "250", "ms", "1", "m", "15", "s"],
            r"\x1b[2J",
            "a",
        ],
        ["running", "-", "chat", "tiny:latest", "desk", "12,345", "-", "250", "ms", "-", "-", "b"],
    ]


@pytest.mark.parametrize(("limit", "pages"), [(1, 1), (1000, 1), (1001, 2), (2500, 3)])
def test_many_are_read_page_by_page(limit: int, pages: int) -> None:
    """No page is longer than the server makes them, and no more are read than were asked for."""
    caller = FakeCaller(Ledger(*(row(f"{number:04}", number / 10) for number in range(2600))).answer)
    lines: list[str] = []
    Deferred.fromCoroutine(print_requests(caller.as_caller, [], limit, Printer(lines.append, as_json=True)))
    assert [json.loads(line)["id"] for line in lines] == [f"{number:04}" for number in range(2600 - limit, 2600)]
    assert len(caller.asked) == pages


def test_what_ends_is_printed_once_in_its_order() -> None:
    """However late its row comes within some seconds, however many come at once."""
    ledger = Ledger(*(row(name, second) for second, name in enumerate("abcd", start=100)))
    command = Command(ledger)
    assert command.printed() == "cd", "the last ones, and none of those before that the first look finds too"
    assert command.look() == "cd"
    ledger.rows += [row("f", 106), row("e", 105)]
    assert command.look() == "cdef"
    ledger.rows.append(row("g", 103.5))
    assert command.look() == "cdefg", "it ended before others, and is seen after them"
    ledger.most = 2
    ledger.rows += [row(name, 107) for name in "hijkl"]
    assert command.look() == "cdefghijkl"
    assert command.look() == "cdefghijkl"
    assert {parameters["order"][0] for parameters in command.caller.asked} == {"finished"}
    assert {parameters["node"][0] for parameters in command.caller.asked} == {"desk"}
    command.end()


def test_a_ledger_that_was_empty() -> None:
    """Whatever comes is news."""
    ledger = Ledger()
    command = Command(ledger)
    ledger.rows += [row("a", 1), row("b", 2)]
    assert command.look() == "ab"
    command.end()


def test_only_what_comes() -> None:
    """With a limit of 0 nothing is printed that was there."""
    ledger = Ledger(row("a", 1), row("b", 2))
    command = Command(ledger, limit=0)
    ledger.rows.append(row("c", 3))
    assert command.look() == "c"
    command.end()


def test_a_server_that_is_away_for_a_while() -> None:
    """One line tells of it, another of its return, and what ended meanwhile is printed."""
    ledger = Ledger(row("a", 1))
    command = Command(ledger)
    for fault in (Unanswered("no connection: Connection refused"), error(503, "not now")):
        ledger.fault = fault
        assert command.look() == "a"
    ledger.fault = None
    ledger.rows.append(row("b", 2))
    assert command.look() == "ab"
    assert command.complaints == [
        "http://h:1: no connection: Connection refused; trying again",
        "http://h:1: there it is again",
    ]
    command.end()


def test_a_question_that_is_wrong() -> None:
    """It is not asked again, neither at the start nor of a server that has become another one."""
    ledger = Ledger()
    ledger.fault = error(400, "node: expected")
    first = Command(ledger)
    ledger.fault = None
    second = Command(ledger)
    ledger.fault = error(400, "node: expected")
    second.look()
    for command in (first, second):
        (failure,) = command.done
        assert isinstance(failure, Failure)
        assert failure.check(NoAnswer)
        assert command.caller.clock.getDelayedCalls() == []
