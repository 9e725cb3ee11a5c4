"""What was used: added up from rows and from the sums that are left of them."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store.rows import DAY, TODAY, done, fill, finished_row

import ollamamax.store.usage
from ollamamax.store.ledger_row import LedgerRow
from ollamamax.store.usage import DIMENSIONS, TooManySums, Usage, UsageQuery, read_usage, take_out

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.databases import Database

ROWS = [
    finished_row("a", TODAY - DAY, owner="ada", end_user="u1", cached_tokens=4),
    finished_row("b", TODAY - 1, node="rack", outcome="length"),
    finished_row("c", TODAY, model="b:latest", end_user="u2", outcome="node_error", output_tokens=None),
    finished_row("d", TODAY + 1, operation="load", input_tokens=99, output_tokens=99),
    finished_row(
        "e", TODAY + 2, model="made up", node=None, outcome="client_error", input_tokens=None, node_seconds=None
    ),
    LedgerRow(id="f", started_at=TODAY - DAY, endpoint="/api/chat", model="tiny:latest", node="desk", input_tokens=1),
]
YESTERDAY, THIS_DAY = date(2024, 10, 3), date(2024, 10, 4)


def usage(
    database: Database,
    *by: str,
    since: float = 0.0,
    until: float | None = None,
    among: Mapping[str, tuple[str, ...]] | None = None,
) -> Usage:
    """What was used."""
    query = UsageQuery(by=by, since=since, until=until, among=among or {})
    return done(database.reader, partial(read_usage, query=query))


def figures(found: Usage) -> dict[Any, tuple[int, int, int, int, float]]:
    """Requests, tokens and seconds by key."""
    return {
        key: (sums.requests, sums.input_tokens, sums.output_tokens, sums.cached_tokens, sums.node_seconds)
        for key, sums in found.sums.items()
    }


@pytest.mark.parametrize("taken", [0, 1, 3, 9], ids=["rows", "a row's sum", "some of a day's", "sums"])
def test_usage_is_the_same_whatever_is_left_of_its_rows(database: Database, taken: int) -> None:
    """By anything: a request that runs is not in it, a load has no tokens, a model that no node has no name."""
    fill(database, ROWS)
    assert done(database.writer, partial(take_out, limit=taken)) == min(taken, 5)
    assert database.ask("select count(*) from requests") == [(6 - min(taken, 5),)]
    assert figures(usage(database)) == {(): (5, 30, 15, 4, 6.0)}
    assert figures(usage(database, "day", "model")) == {
        (YESTERDAY, "tiny:latest"): (2, 20, 10, 4, 3.0),
        (THIS_DAY, "b:latest"): (1, 10, 0, 0, 1.5),
        (THIS_DAY, "tiny:latest"): (1, 0, 0, 0, 1.5),
        (THIS_DAY, None): (1, 0, 5, 0, 0.0),
    }
    assert {key: sums.outcomes for key, sums in usage(database, "node").sums.items()} == {
        ("desk",): {"success": 2, "node_error": 1},
        ("rack",): {"length": 1},
        (None,): {"client_error": 1},
    }
    assert list(usage(database, "owner", "end_user").sums) == [("ada", "u1"), (None, "u2"), (None, None)]
    assert list(usage(database, "operation").sums) == [("chat",), ("load",)]
    for name, value in (("owner", "ada"), ("end_user", "u1"), ("outcome", "success"), ("model", "made up")):
        wanted = {"outcome": 2, "model": 0}.get(name, 1)
        found = usage(database, "day", among={name: (value,)}).sums
        assert sum(sums.requests for sums in found.values()) == wanted
    assert figures(usage(database, since=TODAY)) == {(): (3, 10, 5, 0, 3.0)}
    assert figures(usage(database, since=TODAY - DAY, until=TODAY)) == {(): (2, 20, 10, 4, 3.0)}
    assert figures(usage(database, until=TODAY - DAY)) == {}


def test_a_day_of_which_a_sum_is_left_counts_whole(database: Database) -> None:
    """Rows are told apart to the moment, sums by days: the answer says for which time it is true."""
    fill(database, ROWS)
    asked = partial(usage, database, since=TODAY - 3600, until=TODAY + 2)
    found = asked()
    assert (found.since, found.until, figures(found)) == (TODAY - 3600, TODAY + 2, {(): (3, 20, 5, 0, 4.5)})
    done(database.writer, partial(take_out, limit=1))
    found = asked()
    assert (found.since, found.until, figures(found)) == (TODAY - DAY, TODAY + 2, {(): (4, 30, 10, 4, 6.0)})
    done(database.writer, partial(take_out, limit=9))
    found = asked()
    assert (found.since, found.until, figures(found)) == (TODAY - DAY, TODAY + DAY, {(): (5, 30, 15, 4, 6.0)})


def test_sums_of_a_day_are_one_row_for_what_is_equal(database: Database) -> None:
    """They are added to what is there, however often some of a day's rows go; names are as long as they may be."""
    long = "\U0001f999" * 512
    fill(database, [finished_row(f"{number}", TODAY, model=long, end_user=long[::-1]) for number in range(7)])
    assert [done(database.writer, partial(take_out, limit=3)) for _ in range(4)] == [3, 3, 1, 0]
    assert database.ask("select requests, input_tokens, node_seconds from usage_daily") == [(7, 70, 10.5)]
    assert list(usage(database, "model").sums) == [(long,)]


def test_a_row_that_comes_late_to_a_summed_day_is_added(database: Database) -> None:
    """What was spooled, or ended after days, is a row beside the sums of its day until it goes too."""
    fill(database, [finished_row("a", TODAY)])
    done(database.writer, partial(take_out, limit=9, before=TODAY + DAY))
    fill(database, [finished_row("b", TODAY), finished_row("c", TODAY + DAY)])
    assert figures(usage(database, "day"))[(THIS_DAY,)] == (2, 20, 10, 0, 3.0)
    assert done(database.writer, partial(take_out, limit=9, before=TODAY + DAY)) == 1
    assert figures(usage(database, "day"))[(THIS_DAY,)] == (2, 20, 10, 0, 3.0)


def test_too_many_sums_are_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one line that says what to do, in place of an answer that is cut."""
    fill(database, [finished_row(str(number), TODAY, end_user=str(number)) for number in range(4)])
    monkeypatch.setattr(ollamamax.store.usage, "MAX_SUMS", 4)
    monkeypatch.setattr(ollamamax.store.usage, "_MAX_GROUPS", 5)
    assert len(usage(database, "end_user").sums) == 4
    fill(database, [finished_row("more", TODAY, end_user="more")])
    with pytest.raises(TooManySums, match=r"^by: more than"):
        usage(database, "end_user")
    monkeypatch.setattr(ollamamax.store.usage, "_MAX_GROUPS", 9)
    with pytest.raises(TooManySums):
        usage(database, "end_user")


@given(data=st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_counted_twice_or_lost(sqlite_database: Database, data: st.DataObject) -> None:
    """Any rows, taken out in any portions in between: what was used by anything stays what the rows say."""
    for table in ("requests", "usage_daily"):
        sqlite_database.ask(f"delete from {table}")
    rows: list[LedgerRow] = []
    texts = st.sampled_from(["a", "b", None])
    tokens = st.integers(0, 2**40) | st.none()
    for _ in range(data.draw(st.integers(1, 3))):
        for _ in range(data.draw(st.integers(1, 5))):
            columns = {name: data.draw(texts, label=name) for name in ("model", "node", "owner", "end_user")}
            at = TODAY + data.draw(st.integers(-2, 2)) * DAY + data.draw(st.floats(0, DAY - 0.001))
            columns["outcome"] = data.draw(st.sampled_from(["success", "timeout"]))
            row = finished_row(str(len(rows)), at, **columns, output_tokens=data.draw(tokens))
            fill(sqlite_database, [row])
            rows.append(row)
        done(sqlite_database.writer, partial(take_out, limit=data.draw(st.integers(0, 4))))
    by = data.draw(st.lists(st.sampled_from(DIMENSIONS), unique=True))
    expected: dict[Any, tuple[int, int]] = {}
    for row in rows:
        days = {"day": date.fromordinal(date(1970, 1, 1).toordinal() + int(row.started_at // DAY))}
        key = tuple(days.get(name, getattr(row, name, None)) for name in by)
        count, sum_of_tokens = expected.get(key, (0, 0))
        expected[key] = (count + 1, sum_of_tokens + (row.output_tokens or 0))
    found = usage(sqlite_database, *by).sums
    assert {key: (sums.requests, sums.output_tokens) for key, sums in found.items()} == expected
