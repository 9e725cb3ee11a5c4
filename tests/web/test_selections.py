"""Queries as they become selections of rows, and questions of usage."""

from __future__ import annotations

import base64

import pytest
from twisted.web.http import parse_qs

from ollamamax.errors import RequestRejected
from ollamamax.metrics import catalogue
from ollamamax.store.ledger_row import OUTCOMES
from ollamamax.store.queries import Position, Selection
from ollamamax.store.usage import UsageQuery
from ollamamax.web.selections import cursor_of, selection_of, usage_query_of

NOW = 1_000_000_000.0
DAY = 86400.0


def given(query: str) -> dict[bytes, list[bytes]]:
    """A query as Twisted reads it."""
    found: dict[bytes, list[bytes]] = parse_qs(query.encode(), keep_blank_values=True)
    return found


@pytest.mark.parametrize(
    ("query", "selection"),
    [
        ("", Selection()),
        ("limit=5&offset=6", Selection()),
        ("model=Tiny&node=desk&node=rack", Selection(among={"model": ("tiny:latest",), "node": ("desk", "rack")})),
        ("outcome=success&operation=embed", Selection(among={"outcome": ("success",), "operation": ("embed",)})),
        ("owner=a&key_id=b&end_user=c%00", Selection(among={"owner": ("a",), "key_id": ("b",), "end_user": ("c?",)})),
        ("client_request_id=x", Selection(among={"client_request_id": ("x",)})),
        ("status=404&status=5xx", Selection(statuses=((404, 404), (500, 599)))),
        ("since=2h&until=1h", Selection(since=NOW - 7200, until=NOW - 3600)),
        ("finished=true&finished_since=10s", Selection(finished=True, finished_since=NOW - 10)),
        ("finished=false&order=started", Selection(finished=False)),
        ("order=finished", Selection(order="finished")),
    ],
)
def test_a_selection(query: str, selection: Selection) -> None:
    """Every parameter, as the store understands it."""
    assert selection_of(given(query), NOW) == selection


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("by=day", 'unknown parameter "by"'),
        ("model=", "model: expected a text"),
        ("outcome=fine", "outcome: expected one of success, length, "),
        ("operation=x", "operation: expected one of chat, generate, "),
        ("status=9", "status: expected a status as 404"),
        ("finished=1", "finished: expected one of true, false"),
        ("order=model", "order: expected one of started, finished"),
        ("since=1h&until=2h", "until: expected a time after since"),
        ("since=1h&until=1h", "until: expected a time after since"),
        ("finished_since=x", "finished_since: expected a time as"),
        ("cursor=x", "cursor: expected pagination.next"),
        ("cursor=%FF", "cursor: expected a text"),
        ("cursor=" + base64.urlsafe_b64encode(b'["started",NaN,"x"]').decode(), "cursor: expected pagination.next"),
        ("cursor=" + base64.urlsafe_b64encode(b'["started",1]').decode(), "cursor: expected pagination.next"),
    ],
)
def test_what_is_no_selection(query: str, message: str) -> None:
    """It is refused by its name, with what was expected."""
    with pytest.raises(RequestRejected, match=f"^{message}"):
        selection_of(given(query), NOW)


def test_a_cursor_leads_back_to_its_place() -> None:
    """In the order that it was made for, and nowhere else, and not beside an offset."""
    position = Position(1761566400.123456, "ü-\U0001f999")
    for order in ("started", "finished"):
        cursor = cursor_of(Selection(order=order), position)
        assert cursor.isascii()
        assert "=" not in cursor
        found = selection_of(given(f"order={order}&cursor={cursor}"), NOW)
        assert found == Selection(order=order, after=position)
        other = "finished" if order == "started" else "started"
        for query in (f"order={other}&cursor={cursor}", f"order={order}&offset=1&cursor={cursor}"):
            with pytest.raises(RequestRejected, match=r"^(cursor|offset): expected"):
                selection_of(given(query), NOW)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", UsageQuery(by=("day", "model"), since=NOW - 30 * DAY)),
        ("by=", UsageQuery(by=(), since=NOW - 30 * DAY)),
        (
            "by=node,day&by=owner,end_user,operation",
            UsageQuery(by=("node", "day", "owner", "end_user", "operation"), since=NOW - 30 * DAY),
        ),
        ("until=10d", UsageQuery(by=("day", "model"), since=NOW - 40 * DAY, until=NOW - 10 * DAY)),
        ("since=1970-01-01", UsageQuery(by=("day", "model"), since=0.0)),
        (
            "model=TINY&outcome=success&format=csv",
            UsageQuery(
                by=("day", "model"), since=NOW - 30 * DAY, among={"model": ("tiny:latest",), "outcome": ("success",)}
            ),
        ),
    ],
)
def test_a_question_of_usage(query: str, wanted: UsageQuery) -> None:
    """By default of the 30 days before its end, by day and model."""
    assert usage_query_of(given(query), NOW) == wanted


@pytest.mark.parametrize("query", ["by=week", "limit=3", "status=200", "since=1h&until=2h", "key_id=x"])
def test_what_is_no_question_of_usage(query: str) -> None:
    """What sums are not kept by cannot be asked for."""
    with pytest.raises(RequestRejected):
        usage_query_of(given(query), NOW)


def test_outcomes_are_those_of_the_metrics() -> None:
    """And the one that no process lives to count."""
    assert (*catalogue.OUTCOMES, "interrupted") == OUTCOMES
