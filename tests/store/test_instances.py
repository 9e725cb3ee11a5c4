"""Processes that share a database: heartbeats, silence, what the silent leave behind. The clock is a fake one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Double, literal, select
from twisted.internet.defer import Deferred, fail

from ollamamax.store.failures import StoreUnavailable
from ollamamax.store.instance_statements import Instance, begin, database_clock
from ollamamax.store.instances import Presence
from ollamamax.store.ledger import Ledger, LedgerRow

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from store.databases import Database

    from ollamamax.store.pool import Work
    from ollamamax.store.transaction import Transaction

Fired = Callable[[Any], Any]


class Valve:
    """A writer whose way to the database may be shut."""

    def __init__(self, database: Database) -> None:
        self.is_shut = False
        self._database = database

    def run(self, work: Work[Any]) -> Deferred[Any]:
        """Does it, or fails."""
        if self.is_shut:
            return fail(StoreUnavailable(detail="the network is gone"))
        return self._database.writer.run(work)


class Gateway:
    """What a server has of the store: a presence and a ledger, by one clock of the database that all of them see."""

    def __init__(self, database: Database, name: str, *, is_alone: bool = False) -> None:
        self.name = name
        self.leap_seconds = 0.0
        self.valve = Valve(database)
        instance = Instance(id=name, hostname=f"host-{name}", pid=7, version="1")

        def clock(_: str) -> ColumnElement[float]:
            return literal(1_000_000.0 + database.reactor.seconds() + self.leap_seconds, Double())

        first: list[Any] = []
        database.writer.run(lambda transaction: begin(transaction, instance, clock, is_alone=is_alone)).addCallback(
            first.append
        )
        self.presence = Presence(instance, first[0], self.valve, database.reactor, clock=clock)
        self.presence.start()
        self.ledger = Ledger(self.presence, database.reader, database.reactor, instance=name)

    def begin(self, identifier: str) -> None:
        """A request goes to a node."""
        self.ledger.started(LedgerRow(id=identifier, started_at=1.0, endpoint="/api/chat"))

    def end(self, identifier: str) -> None:
        """It is over."""
        self.ledger.finished(
            LedgerRow(id=identifier, started_at=1.0, finished_at=2.0, endpoint="/api/chat", outcome="success")
        )

    def die(self) -> None:
        """As by kill -9."""
        self.presence._beating.stop()


@pytest.fixture
def gateways(database: Database) -> Any:
    """Makes gateways, and ends those that are left."""
    made: list[Gateway] = []

    def make(name: str, **options: Any) -> Gateway:
        made.append(Gateway(database, name, **options))
        return made[-1]

    yield make
    for gateway in made:
        if gateway.presence._beating.running:
            gateway.die()


def pass_time(database: Database, seconds: float) -> None:
    """Time passes, second by second."""
    for _ in range(int(seconds)):
        database.reactor.advance(1.0)


def outcomes(database: Database) -> dict[str, str | None]:
    """The outcome of each request."""
    return dict(database.ask("select id, outcome from requests"))


def instances(database: Database) -> list[str]:
    """Who is known."""
    return [name for (name,) in database.ask("select id from instances order by id")]


def test_a_heart_beats(database: Database, gateways: Any) -> None:
    """A row per instance, with its last sign of life, no older than ten seconds; rows name their instance."""
    a = gateways("a")
    a.begin("1")
    pass_time(database, 45)
    assert database.ask("select hostname, pid, version, started_at, heartbeat_at from instances") == [
        ("host-a", 7, "1", 1_000_000.0, 1_000_040.0)
    ]
    assert database.ask("select id, instance, outcome from requests") == [("1", "a", None)]


def test_the_requests_of_the_silent_are_interrupted_once(database: Database, gateways: Any, logged: list[str]) -> None:
    """A minute after its last sign of life, and not before; only those that had not finished; by any one instance."""
    a, b, c = gateways("a"), gateways("b"), gateways("c")
    a.begin("running")
    a.begin("over")
    a.end("over")
    b.begin("another's")
    pass_time(database, 65)
    a.die()  # its last sign of life is 5 s old
    pass_time(database, 53)
    assert outcomes(database) == {"running": None, "over": "success", "another's": None}
    pass_time(database, 17)
    assert outcomes(database) == {"running": "interrupted", "over": "success", "another's": None}
    ((finished_at,),) = database.ask("select finished_at from requests where id = 'running'")
    assert 1_000_060.0 + 60 <= finished_at <= 1_000_060.0 + 75
    assert instances(database) == ["b", "c"]
    pass_time(database, 60)
    assert database.ask("select finished_at from requests where id = 'running'") == [(finished_at,)]
    assert logged == [
        "warn: instances: host-a process 7 gone without a word; unfinished requests marked as interrupted: 1"
    ]
    assert b.presence.instance.id != c.presence.instance.id


def test_the_living_never_interrupt_each_other(database: Database, gateways: Any, logged: list[str]) -> None:
    """However long a request takes."""
    a, b = gateways("a"), gateways("b")
    a.begin("1")
    b.begin("2")
    pass_time(database, 400)
    assert outcomes(database) == {"1": None, "2": None}
    assert instances(database) == ["a", "b"]
    assert logged == []


def test_a_late_end_wins(database: Database, gateways: Any) -> None:
    """Who was only cut off from the database tells how its requests ended, and is known again."""
    a, _ = gateways("a"), gateways("b")
    a.begin("1")
    a.begin("2")
    pass_time(database, 61)
    a.valve.is_shut = True
    pass_time(database, 90)
    assert outcomes(database) == {"1": "interrupted", "2": "interrupted"}
    assert instances(database) == ["b"]
    a.end("1")
    a.begin("3")
    a.valve.is_shut = False
    pass_time(database, 5)
    assert outcomes(database) == {"1": "success", "2": "interrupted", "3": None}
    pass_time(database, 300)
    assert outcomes(database) == {"1": "success", "2": "interrupted", "3": None}
    assert instances(database) == ["a", "b"]


def test_rows_kept_through_an_outage_come_with_a_sign_of_life(database: Database, gateways: Any) -> None:
    """Who comes back with unfinished requests is alive at that very moment, not ten seconds later."""
    a, b = gateways("a"), gateways("b")
    pass_time(database, 61)
    a.valve.is_shut = True
    pass_time(database, 80)
    a.die()  # no heartbeat of its own any more: only what the ledger writes
    a.begin("1")
    a.valve.is_shut = False
    pass_time(database, 1)
    assert instances(database) == ["a", "b"]
    pass_time(database, 40)
    assert outcomes(database) == {"1": None}
    assert b.presence._watch.may_judge


def test_after_an_outage_of_the_database_nobody_is_accused(
    database: Database, gateways: Any, logged: list[str]
) -> None:
    """Everybody was silent while the database was away: the first to come back does not take the others for dead."""
    a, b = gateways("a"), gateways("b")
    b.begin("1")
    pass_time(database, 65)
    a.valve.is_shut = b.valve.is_shut = True
    pass_time(database, 100)
    a.valve.is_shut = False
    pass_time(database, 30)  # b has not come back yet
    assert outcomes(database) == {"1": None}
    b.valve.is_shut = False
    pass_time(database, 200)
    assert outcomes(database) == {"1": None}
    assert [line for line in logged if "gone without" in line] == []
    assert [line for line in logged if "heartbeat" in line] == [
        "error: instances: the heartbeat cannot be written (the network is gone)",
        "error: instances: the heartbeat cannot be written (the network is gone)",
        "warn: instances: the heartbeat is back",
        "warn: instances: the heartbeat is back",
    ]


def test_a_leap_of_the_databases_clock_accuses_nobody(database: Database, gateways: Any) -> None:
    """An hour that passes in a moment was nobody's silence."""
    a, b = gateways("a"), gateways("b")
    b.begin("1")
    pass_time(database, 65)
    a.leap_seconds = b.leap_seconds = 3600.0
    pass_time(database, 200)
    assert outcomes(database) == {"1": None}


def test_taking_leave(database: Database, gateways: Any, fired: Fired) -> None:
    """Who stops in good order is gone at once, and what it had not finished is interrupted; others' is not."""
    a, b = gateways("a"), gateways("b")
    a.begin("1")
    b.begin("2")
    pass_time(database, 1)
    fired(a.presence.stop())
    assert outcomes(database) == {"1": "interrupted", "2": None}
    assert instances(database) == ["b"]


def test_leave_that_cannot_be_taken(database: Database, gateways: Any, fired: Fired) -> None:
    """A database that is away keeps nobody from stopping."""
    a = gateways("a")
    a.valve.is_shut = True
    assert fired(a.presence.stop()) is None
    assert database.reactor.getDelayedCalls() == []


def test_who_is_alone_need_not_wait(database: Database, gateways: Any, logged: list[str]) -> None:
    """Where no other process can be alive, what others left is interrupted at once, that of unknown ones too."""
    database.ask("insert into requests (id, started_at, endpoint, attempts) values ('old', 1, '/api/chat', 1)")
    a = gateways("a")
    a.begin("1")
    pass_time(database, 1)
    a.die()
    gateways("b", is_alone=True)
    assert outcomes(database) == {"old": "interrupted", "1": "interrupted"}
    assert instances(database) == ["b"]
    assert logged == [
        "warn: instances: host-a process 7 gone without a word; unfinished requests marked as interrupted: 2"
    ]


def test_the_databases_clock_is_a_clock(database: Database, fired: Fired) -> None:
    """Unix seconds, with fractions."""

    def read(transaction: Transaction) -> float:
        ((now,),) = transaction.rows(select(database_clock(transaction.dialect)))
        return float(now)

    before = time.time()
    now = fired(database.reader.run(read))
    assert before - 1 <= now <= time.time() + 1
    assert now != int(now)
