"""`ollamamax requests`: the accounts of requests, the newest last, and those that follow.

Requests are followed in the order in which they end. Whoever looks every second sees some of them late: their row was
on its way while the look before was taken, by a gateway whose clock is another. So each look goes some seconds further
back than the last request that was seen, and what was printed already is not printed again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from twisted.internet.task import deferLater

from ollamamax.caller import Caller
from ollamamax.reports.asking import NoAnswer, Question, ask_for_list
from ollamamax.reports.tables import Column, Table
from ollamamax.reports.words import count, duration, local_time, shown

PATH = "/api/v1/inference/requests"
MOST_AT_ONCE = 1000

_LOOK_SECONDS = 1.0
_OVERLAP = timedelta(seconds=5)
_COLUMNS = (
    Column("started", narrowest=25),
    Column("outcome", narrowest=12),
    Column("status", to_the_right=True),
    Column("operation"),
    Column("model", narrowest=16),
    Column("node", narrowest=8),
    Column("input", to_the_right=True, narrowest=6),
    Column("output", to_the_right=True, narrowest=6),
    Column("first token", to_the_right=True),
    Column("duration", to_the_right=True),
    Column("user"),
    Column("id"),
)

Row = Mapping[str, Any]
Say = Callable[[str], object]


class Printer:
    """Prints rows as they come.

    Args:
        say: takes the lines.
        as_json: a JSON object a line, as the server has it, in place of a table.
    """

    def __init__(self, say: Say, *, as_json: bool) -> None:
        self._say = say
        self._table = None if as_json else Table(_COLUMNS)
        self._is_begun = False

    def print(self, rows: Sequence[Row]) -> None:
        """Prints rows, in their order."""
        if self._table is None:
            for row in rows:
                self._say(json.dumps(row, ensure_ascii=False))
            return
        lines = [_cells(row) for row in rows]
        self._table.fit(lines)
        if not self._is_begun:
            self._is_begun = True
            self._say(self._table.head())
        for line in lines:
            self._say(self._table.line(line))


async def print_requests(caller: Caller, question: Question, limit: int, printer: Printer) -> None:
    """Prints the last requests, the newest last.

    Args:
        caller: asks the server.
        question: which of them.
        limit: how many at most.
        printer: prints them.

    Raises:
        NoAnswer: there is none.
    """
    printer.print((await _newest(caller, question, limit))[::-1])


async def follow(
    caller: Caller,
    question: Question,
    limit: int,
    printer: Printer,
    *,
    complain: Say,
    is_over: Callable[[], bool] = lambda: False,
) -> None:
    """Prints the last requests that are over, and goes on with those that come.

    Args:
        caller: asks the server.
        question: which of them.
        limit: how many of those that are over already.
        printer: prints them.
        complain: takes a line about a server that does not answer meanwhile, and about its return.
        is_over: whether nobody reads any more.

    Raises:
        NoAnswer: there is none at the start, or the question was wrong.
    """
    question = [*question, ("order", "finished")]
    found = await _newest(caller, question, max(limit, 1))
    printer.print(found[:limit][::-1])
    newest = str(found[0]["finished_at"]) if found else ""
    seen = {str(row["id"]): str(row["finished_at"]) for row in found}
    is_first, is_away = True, False
    while not is_over():
        if not is_first:
            await deferLater(caller.clock, _LOOK_SECONDS)
        since = _before(newest)
        try:
            found = await _newest(caller, [*question, *since], None)
        except NoAnswer as failure:
            if failure.is_wrong:
                raise
            if not is_away:
                complain(f"{failure}; trying again")
            is_away, is_first = True, False
            continue
        if is_away:
            complain(f"{caller.url}: there it is again")
        is_away = False
        fresh = [row for row in found[::-1] if row["id"] not in seen]
        if is_first:  # what is not printed of what was there is not news either
            fresh = [row for row in fresh if row["finished_at"] > newest]
        printer.print(fresh)
        is_first = False
        seen = {str(row["id"]): str(row["finished_at"]) for row in found}
        newest = max([newest, *seen.values()])


async def _newest(caller: Caller, question: Question, limit: int | None) -> list[Row]:
    """The newest rows first, page after page; None for all."""
    rows: list[Row] = []
    following: list[tuple[str, str]] = []
    while limit is None or len(rows) < limit:
        size = MOST_AT_ONCE if limit is None else min(MOST_AT_ONCE, limit - len(rows))
        document = await ask_for_list(caller, PATH, [*question, ("limit", str(size)), *following], "requests")
        rows += cast("Iterable[Row]", document["requests"])
        pagination = cast("Mapping[str, Any]", document.get("pagination") or {})
        if not pagination.get("next"):
            break
        following = [("cursor", str(pagination["next"]))]
    return rows


def _before(newest: str) -> list[tuple[str, str]]:
    if not newest:
        return []
    return [("finished_since", (datetime.fromisoformat(newest) - _OVERLAP).isoformat())]


def _cells(row: Row) -> list[str]:
    is_over = row["finished_at"] is not None
    return [
        local_time(row["started_at"]),
        shown(row["outcome"] if is_over else "running"),
        shown(row["status"]),
        shown(row["operation"]),
        shown(row["model"]),
        shown(row["node"]),
        count(row["input_tokens"]),
        count(row["output_tokens"]),
        duration(row["first_token_seconds"]),
        duration(row["duration_seconds"]),
        shown(row["end_user"] or row["owner"]),
        row["id"],
    ]
