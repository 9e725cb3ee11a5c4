"""The SQL of instances: units of work for a connection pool.

All times are the database's own clock, because the clocks of several machines differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
from sqlalchemy import Double, cast, delete, exists, extract, func, literal_column, or_, select, update

from ollamamax.store.ledger_statements import INTERRUPTED
from ollamamax.store.schema import instances, requests
from ollamamax.store.transaction import Transaction, insert_into
from ollamamax.store.watch import Watch, silent_before

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Update

Clock = Callable[[str], "ColumnElement[float]"]
"""From a dialect to an expression of the present moment, in unix seconds."""


@attrs.frozen(kw_only=True)
class Instance:
    """A process that uses the database.

    Attributes:
        id: its own, different at each start.
        hostname: the machine that it runs on.
        pid: its process id there.
        version: the server's version.
    """

    id: str
    hostname: str
    pid: int
    version: str


@attrs.frozen(kw_only=True)
class Beat:
    """What one heartbeat found.

    Attributes:
        at: its moment.
        gone: the instances that turned out to be gone.
        interrupted: how many of their requests were found unfinished.
    """

    at: float
    gone: tuple[str, ...] = ()
    interrupted: int = 0


def database_clock(dialect: str) -> ColumnElement[float]:
    """The database's own clock, to the millisecond or better."""
    if dialect == "postgresql":
        return cast(extract("epoch", func.clock_timestamp()), Double())
    # Days since noon in Greenwich on November 24, 4714 B.C. (https://sqlite.org/lang_datefunc.html).
    return literal_column("(julianday('now') - 2440587.5) * 86400.0", Double())


def begin(transaction: Transaction, instance: Instance, clock: Clock, *, is_alone: bool) -> Beat:
    """The first heartbeat of an instance.

    Args:
        transaction: where it is written.
        instance: whose it is.
        clock: the database's.
        is_alone: nobody else can be alive, whatever heartbeats say.
    """
    now = _write_heartbeat(transaction, instance, clock)
    return _remove_gone(transaction, instance, now, math.inf) if is_alone else Beat(at=now)


def beat(transaction: Transaction, instance: Instance, clock: Clock, watch: Watch | None) -> Beat:
    """A heartbeat, and a verdict on the others where this instance may judge.

    Args:
        transaction: where it is written.
        instance: whose it is.
        clock: the database's.
        watch: since when it has been beating; None where nobody is to be judged now.
    """
    now = _write_heartbeat(transaction, instance, clock)
    if watch is None or not watch.beaten(now).may_judge:
        return Beat(at=now)
    return _remove_gone(transaction, instance, now, silent_before(now))


def leave(transaction: Transaction, instance: Instance, clock: Clock) -> int:
    """The end of an instance; what it has not finished by now is interrupted.

    Returns:
        The number of requests interrupted.
    """
    own = requests.c.instance == instance.id
    interrupted = transaction.change(_interrupt(clock(transaction.dialect)).where(own))
    transaction.change(delete(instances).where(instances.c.id == instance.id))
    return interrupted


def _write_heartbeat(transaction: Transaction, instance: Instance, clock: Clock) -> float:
    moment = clock(transaction.dialect)
    statement = insert_into(instances, transaction.dialect).values(
        **attrs.asdict(instance), started_at=moment, heartbeat_at=moment
    )
    transaction.change(
        statement.on_conflict_do_update(
            index_elements=[instances.c.id], set_={"heartbeat_at": statement.excluded.heartbeat_at}
        )
    )
    ((now,),) = transaction.rows(select(instances.c.heartbeat_at).where(instances.c.id == instance.id))
    return float(now)


def _remove_gone(transaction: Transaction, instance: Instance, now: float, silent_before: float) -> Beat:
    """Ends what instances left behind that gave no sign since `silent_before`, and forgets them.

    A request of an instance that nobody knows (any more) is treated likewise. One statement finds and ends them, so
    that it sees an instance's sign of life together with the requests that came with it.
    """
    is_alive = exists().where(instances.c.id == requests.c.instance, instances.c.heartbeat_at >= silent_before)
    is_own = requests.c.instance == instance.id
    interrupted = transaction.change(_interrupt(now).where(or_(requests.c.instance.is_(None), ~is_own), ~is_alive))
    is_gone = (instances.c.heartbeat_at < silent_before) & (instances.c.id != instance.id)
    gone = transaction.rows(select(instances.c.hostname, instances.c.pid).where(is_gone))
    if gone:
        transaction.change(delete(instances).where(is_gone))
    return Beat(at=now, gone=tuple(f"{hostname} process {pid}" for hostname, pid in gone), interrupted=interrupted)


def _interrupt(now: float | ColumnElement[float]) -> Update:
    return update(requests).where(requests.c.finished_at.is_(None)).values(finished_at=now, outcome=INTERRUPTED)
