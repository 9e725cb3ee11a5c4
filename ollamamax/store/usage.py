"""What was used: the finished rows of the ledger and the daily sums of those that are gone, added up.

A sum is of what is equal in `DIMENSIONS` and in its outcome. The same expressions make it of rows that are read and of
rows that are taken out of the ledger, so that a row counts alike before and after, and never twice: see `take_out`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    and_,
    case,
    cast,
    delete,
    exists,
    func,
    literal_column,
    null,
    select,
)

from ollamamax.errors import RequestRejected
from ollamamax.store.schema import requests, usage_daily
from ollamamax.store.transaction import Transaction, insert_into

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

DAY_SECONDS = 86400
_DAY_ZERO = date(1970, 1, 1).toordinal()

_columns = requests.c
# Constants stand in the text, because PostgreSQL takes two parameters of one value for two values, and cannot group by
# them.
# A name that no node has is whatever a client makes up; it would be summed for ever.
_is_refused = and_(_columns.node.is_(None), _columns.outcome == literal_column("'client_error'"))
_TEXTS: Mapping[str, ColumnElement[Any]] = {
    "model": case((_is_refused, null()), else_=_columns.model),
    "node": _columns.node,
    "owner": _columns.owner,
    "end_user": _columns.end_user,
    "operation": _columns.operation,
    "outcome": _columns.outcome,
}
_is_load = func.coalesce(_columns.operation, literal_column("''")) == literal_column("'load'")


def _tokens(column: ColumnElement[int]) -> ColumnElement[Any]:
    """A load has no tokens in the metrics either, whatever a node says."""
    none: ColumnElement[int] = literal_column("0")
    return case((_is_load, none), else_=func.coalesce(column, none))


_NUMBERS: Mapping[str, ColumnElement[Any]] = {
    "input_tokens": _tokens(_columns.input_tokens),
    "output_tokens": _tokens(_columns.output_tokens),
    "cached_tokens": _tokens(_columns.cached_tokens),
    "node_seconds": func.coalesce(_columns.node_seconds, literal_column("0.0")),
}

DIMENSIONS = ("day", *(name for name in _TEXTS if name != "outcome"))
"""What usage may be told by; days are those of UTC."""

FILTERS = tuple(_TEXTS)
MAX_SUMS = 20_000
_MAX_GROUPS = 5 * MAX_SUMS  # each sum may be one for each outcome

Key = tuple[date | str | None, ...]


class TooManySums(RequestRejected):
    """An answer that nobody would read, and that takes too much memory."""

    public_message = (
        f"by: more than {MAX_SUMS:,} sums; expected a shorter time, fewer of {', '.join(DIMENSIONS)}, or a filter"
    )


@attrs.frozen(kw_only=True)
class UsageQuery:
    """What is to be added up.

    Attributes:
        by: what it is told by, of `DIMENSIONS`; empty for one sum of all.
        among: by name, one of `FILTERS`, the values that may be.
        since: requests that started then or later, in unix seconds.
        until: requests that started earlier; None for all.
    """

    by: tuple[str, ...]
    among: Mapping[str, tuple[str, ...]] = {}
    since: float
    until: float | None = None


@attrs.define(kw_only=True)
class Sums:
    """What a number of finished requests used.

    Attributes:
        outcomes: how many ended how.
        input_tokens: of the prompts, cached ones among them.
        output_tokens: generated.
        cached_tokens: the part of the input that a node had in its cache.
        node_seconds: for how long a node had them.
    """

    outcomes: dict[str, int] = attrs.field(factory=dict)
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    node_seconds: float = 0.0

    @property
    def requests(self) -> int:
        """How many they are."""
        return sum(self.outcomes.values())

    def add(self, outcome: str | None, requests: int, numbers: RowMapping) -> None:
        """Adds requests of one outcome."""
        name = outcome or ""
        self.outcomes[name] = self.outcomes.get(name, 0) + requests
        self.input_tokens += int(numbers["input_tokens"])
        self.output_tokens += int(numbers["output_tokens"])
        self.cached_tokens += int(numbers["cached_tokens"])
        self.node_seconds += float(numbers["node_seconds"])

    def include(self, other: Sums) -> None:
        """Adds what others used."""
        for outcome, count in other.outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cached_tokens += other.cached_tokens
        self.node_seconds += other.node_seconds


@attrs.frozen(kw_only=True)
class Usage:
    """What was used.

    Attributes:
        since: from when on, in unix seconds: as asked, or the start of a day of which only sums are left.
        until: up to when; None for now.
        by: the names of what a key is made of.
        sums: by key, in the keys' order.
    """

    since: float
    until: float | None
    by: tuple[str, ...]
    sums: Mapping[Key, Sums]


def read_usage(transaction: Transaction, query: UsageQuery) -> Usage:
    """Adds up rows and daily sums, as they are at one moment.

    Raises:
        TooManySums: there are more than `MAX_SUMS`.
    """
    since = _outwards(transaction, query.since, up=False)
    until = None if query.until is None else _outwards(transaction, query.until, up=True)
    sums: dict[Key, Sums] = {}
    for statement in (_of_rows(transaction.dialect, query, since, until), _of_days(query, since, until)):
        groups = transaction.rows(statement.limit(_MAX_GROUPS))
        if len(groups) == _MAX_GROUPS:
            raise TooManySums
        for row in groups:
            found = row._mapping
            key = tuple(_day(found[name]) if name == "day" else found[name] for name in query.by)
            sums.setdefault(key, Sums()).add(found["outcome"], found["requests"], found)
            if len(sums) > MAX_SUMS:
                raise TooManySums
    return Usage(since=since, until=until, by=query.by, sums=dict(sorted(sums.items(), key=_order)))


def take_out(transaction: Transaction, limit: int, before: float | None = None) -> int:
    """Takes the oldest finished rows out of the ledger, and adds them to the daily sums.

    They are locked before they are read, so that nobody else can have or change them meanwhile.

    Args:
        transaction: where both happens, or neither.
        limit: how many at most.
        before: only those of requests that started earlier, in unix seconds.

    Returns:
        How many they were.
    """
    # Not a DELETE that returns them: SQLite before 3.41 takes no column for NULL there (`x IS NULL` is always false).
    values = [_columns.id, _columns.started_at, *(value.label(name) for name, value in {**_TEXTS, **_NUMBERS}.items())]
    oldest: Select[*tuple[Any, ...]] = select(*values).where(_columns.finished_at.is_not(None))
    if before is not None:
        oldest = oldest.where(_columns.started_at < before)
    oldest = oldest.order_by(_columns.started_at, _columns.id).limit(limit).with_for_update()
    taken = transaction.rows(oldest)
    if taken:
        transaction.change(delete(requests).where(_columns.id.in_([row.id for row in taken])))
    sums: dict[tuple[str | None, ...], tuple[date, Sums]] = {}
    for row in taken:
        found = row._mapping
        day = _day(int(found["started_at"] // DAY_SECONDS))
        key = (day.isoformat(), *(found[name] for name in _TEXTS))
        _, of_day = sums.setdefault(key, (day, Sums()))
        of_day.add(found["outcome"], 1, found)
    if sums:
        _add(transaction, [_daily(key, day, of_day) for key, (day, of_day) in sorted(sums.items(), key=str)])
    return len(taken)


def _of_rows(dialect: str, query: UsageQuery, since: float, until: float | None) -> Select[*tuple[Any, ...]]:
    names = [name for name in query.by if name != "day"] + ["outcome"]
    groups = [_TEXTS[name].label(name) for name in names]
    if "day" in query.by:
        groups.append(_day_number(dialect).label("day"))
    values = [func.sum(value).label(name) for name, value in _NUMBERS.items()]
    statement = select(*groups, func.count().label("requests"), *values).where(
        _columns.finished_at.is_not(None),
        _columns.started_at >= since,
        *(_TEXTS[name].in_(wanted) for name, wanted in query.among.items()),
    )
    if until is not None:
        statement = statement.where(_columns.started_at < until)
    return statement.group_by(*groups)


def _of_days(query: UsageQuery, since: float, until: float | None) -> Select[*tuple[Any, ...]]:
    columns = usage_daily.c
    groups = [columns[name] for name in (*query.by, "outcome")]
    values = [func.sum(columns[name]).label(name) for name in ("requests", *_NUMBERS)]
    statement = select(*groups, *values).where(
        columns.day >= _date_of(since), *(columns[name].in_(wanted) for name, wanted in query.among.items())
    )
    if until is not None:
        statement = statement.where(columns.day < _date_of(until + DAY_SECONDS - 1e-6))
    return statement.group_by(*groups)


def _outwards(transaction: Transaction, moment: float, *, up: bool) -> float:
    """A moment, or the end of its day of which nothing but a sum is left: a sum cannot be told in parts."""
    midnight = moment // DAY_SECONDS * DAY_SECONDS
    if moment == midnight:
        return moment
    ((summed,),) = transaction.rows(select(exists().where(usage_daily.c.day == _date_of(moment))))
    if not summed:
        return moment
    return midnight + DAY_SECONDS if up else midnight


def _day_number(dialect: str) -> ColumnElement[int]:
    """Days since 1970-01-01, whole ones: PostgreSQL's cast rounds, SQLite's floor() is not in every build of it."""
    days = _columns.started_at / literal_column(f"{DAY_SECONDS}.0")
    return cast(func.floor(days) if dialect == "postgresql" else days, Integer)


def _day(value: date | int) -> date:
    return value if isinstance(value, date) else date.fromordinal(_DAY_ZERO + value)


def _date_of(moment: float) -> date:
    return datetime.fromtimestamp(moment, UTC).date()


def _order(entry: tuple[Key, Sums]) -> tuple[tuple[bool, str], ...]:
    """Keys in the order of their parts; what has no name comes last."""
    return tuple((part is None, str(part)) for part in entry[0])


def _daily(key: tuple[str | None, ...], day: date, sums: Sums) -> dict[str, object]:
    numbers = {name: getattr(sums, name) for name in ("requests", *_NUMBERS)}
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    return {"id": digest, "day": day, **dict(zip(_TEXTS, key[1:], strict=True)), **numbers}


def _add(transaction: Transaction, daily: list[dict[str, object]]) -> None:
    statement = insert_into(usage_daily, transaction.dialect)
    numbers = ("requests", *_NUMBERS)
    more = {name: usage_daily.c[name] + statement.excluded[name] for name in numbers}
    transaction.change(statement.on_conflict_do_update(index_elements=[usage_daily.c.id], set_=more), daily)
