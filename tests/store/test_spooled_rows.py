"""Rows on their way through a spool: a real one on threads that are none, a real database or one that does as told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from store.databases import ImmediateReactor, ImmediateThreads
from twisted.internet.defer import Deferred

from ollamamax.errors import LedgerFull
from ollamamax.store.failures import StoreUnavailable
from ollamamax.store.ledger import Ledger, LedgerRow
from ollamamax.store.spool import Spool
from ollamamax.store.spool_files import SpoolFiles, SpoolFull
from ollamamax.store.spooled_rows import PATIENCE_SECONDS, SpooledRows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from store.databases import Database

Fired = Callable[[Any], Any]
MEGABYTE = 1024**2


def started(identifier: str) -> LedgerRow:
    """A row of a request that runs."""
    return LedgerRow(id=identifier, started_at=1.0, endpoint="/api/chat")


def finished(identifier: str) -> LedgerRow:
    """A row of a request that is over."""
    return attrs.evolve(started(identifier), finished_at=2.0, outcome="success")


def spool_in(directory: Path, reactor: ImmediateReactor, limit_bytes: int = MEGABYTE) -> Spool:
    """A spool whose work is done at once."""
    return Spool(SpoolFiles.open(directory, limit_bytes), reactor, instance="i", threads=ImmediateThreads())


# --- on a real database ----------------------------------------------------------------------------------------------


def ledger_on(database: Database, directory: Path, *, limit_bytes: int = MEGABYTE, **options: Any) -> Ledger:
    """A ledger with a spool."""
    spool = spool_in(directory, database.reactor, limit_bytes)
    ledger = Ledger(database.writer, database.reader, database.reactor, spool=spool, **options)
    ledger.start()
    return ledger


def outcomes(database: Database) -> dict[str, str | None]:
    """The outcome of each request."""
    return dict(database.ask("select id, outcome from requests"))


def test_an_outage_is_spent_on_the_disk(database: Database, tmp_path: Path, fired: Fired, logged: list[str]) -> None:
    """Rows are in files within 50 ms, memory stays empty; afterwards they are in the database and the files are gone.

    The final row of a request that was begun before the outage takes the place of its started one.
    """
    directory = tmp_path / "spool"
    ledger = ledger_on(database, directory, capacity=10)
    ledger.started(started("before"))
    fired(ledger.flush())
    other = database.lock()
    ledger.finished(finished("before"))
    for number in range(300):
        ledger.finished(finished(str(number)))
        if number % 10 == 8:
            database.reactor.advance(0.05)
    database.reactor.advance(0.05)
    assert len(ledger._backlog) == 0
    assert (ledger.pending, ledger.dropped) == (301, 0)
    assert ledger.kept_bytes == sum(path.stat().st_size for path in directory.rglob("*.rows")) > 0
    assert fired(ledger.request("0")) is None, "reading goes on"
    other.close()
    for _ in range(3):
        database.reactor.advance(5)
    assert (ledger.pending, ledger.dropped, ledger.kept_bytes) == (0, 0, 0)
    assert outcomes(database) == dict.fromkeys(["before", *map(str, range(300))], "success")
    assert database.ask("select distinct instance from requests where id <> 'before'") == [("i",)]
    fired(ledger.close())
    assert list(directory.iterdir()) == []
    assert [line.partition(";")[0] for line in logged] == [
        f"error: ledger: the database cannot be written ({database.home.locked})",
        "warn: ledger: the database can be written again",
    ]
    assert database.reactor.getDelayedCalls() == []


def test_what_a_process_left_is_read_by_the_next(
    sqlite_database: Database, tmp_path: Path, fired: Fired, logged: list[str]
) -> None:
    """A ledger that is closed in an outage leaves its rows to the next start, or to another one's next look."""
    database, directory = sqlite_database, tmp_path / "spool"
    ledger = ledger_on(database, directory)
    other = database.lock()
    ledger.started(started("begun"))
    ledger.finished(finished("a"))
    fired(ledger.close())
    assert (ledger.pending, ledger.dropped) == (2, 0)
    assert logged[-1] == f"warn: ledger: 2 rows are left in {directory} for the next start"
    other.close()
    second = ledger_on(database, directory)
    third = ledger_on(database, directory)
    assert (second.pending, third.pending) == (2, 0)
    database.reactor.advance(0.0)
    assert outcomes(database) == {"begun": None, "a": "success"}
    assert logged[-1] == f"warn: ledger: 2 rows that a server left in {directory} are read back"
    other = database.lock()
    second.finished(finished("b"))
    fired(second.close())
    other.close()
    database.reactor.advance(60)
    assert outcomes(database) == {"begun": None, "a": "success", "b": "success"}
    fired(third.close())
    assert list(directory.iterdir()) == []


def test_without_room_rows_are_dropped_or_requests_refused(
    sqlite_database: Database, tmp_path: Path, fired: Fired, logged: list[str]
) -> None:
    """When the spool is full memory takes the rest; beyond, a new request is refused, and one that was begun ends well.

    As soon as the database is back there is room, and nothing of what was taken is lost.
    """
    database = sqlite_database
    ledger = ledger_on(database, tmp_path, limit_bytes=2000, capacity=5, refuses=True)
    other = database.lock()
    taken: list[str] = []
    with pytest.raises(LedgerFull):  # noqa: PT012 - which one is not known
        while True:
            ledger.started(started(str(len(taken))))
            taken.append(str(len(taken)))
            database.reactor.advance(0.05)
    assert 0 < (ledger.kept_bytes or 0) <= 2000
    assert len(ledger._backlog) == 5
    for name in taken:
        ledger.finished(finished(name))
    ledger.finished(finished("refused"))
    assert ledger.dropped == 1, "only who was refused has no account"
    other.close()
    for _ in range(4):
        database.reactor.advance(5)
    assert (ledger.pending, ledger.dropped) == (0, 1)
    assert outcomes(database) == dict.fromkeys(taken, "success")
    ledger.started(started("more"))
    assert any("; the spool takes no more: it holds" in line for line in logged)
    fired(ledger.close())


def test_rows_that_the_database_refuses_are_counted(
    sqlite_database: Database, tmp_path: Path, fired: Fired, logged: list[str]
) -> None:
    """Also when they come back from the spool: the others of their group are written."""
    database = sqlite_database
    ledger = ledger_on(database, tmp_path)
    poison = attrs.evolve(started("poison"))
    object.__setattr__(poison, "status", 2**63)  # fits the file, not the column
    other = database.lock()
    ledger.started(poison)
    ledger.started(started("a"))
    database.reactor.advance(0.05)
    other.close()
    database.reactor.advance(5)
    assert (ledger.pending, ledger.dropped, outcomes(database)) == (0, 1, {"a": None})
    assert logged[-1] == "error: ledger: the database refused 1 rows, they are dropped"
    fired(ledger.close())


# --- on a database that does as told ---------------------------------------------------------------------------------


class Answering:
    """A database that answers when it is told to."""

    pending = dropped = 0
    kept_bytes = None

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], Deferred[int]]] = []

    def start(self) -> None: ...

    def write(self, rows: Sequence[LedgerRow]) -> Deferred[int]:
        self.asked.append(([row.id for row in rows], Deferred()))
        return self.asked[-1][1]

    def close(self) -> Deferred[None]:
        raise NotImplementedError

    def answer(self, *names: str) -> None:
        """The oldest question, which is about these rows, is answered well."""
        ids, answer = self.asked.pop(0)
        assert ids == list(names)
        answer.callback(0)

    def fail(self, error: Exception | None = None) -> None:
        """The oldest question comes to nothing."""
        self.asked.pop(0)[1].errback(error or StoreUnavailable(detail="gone"))


@attrs.frozen
class Case:
    """Rows that go to a database that does as told."""

    reactor: ImmediateReactor
    database: Answering
    spool: Spool
    rows: SpooledRows

    def write(self, *names: str) -> list[Any]:
        """Writes a group; the list holds the result once there is one."""
        results: list[Any] = []
        self.rows.write([finished(name) for name in names]).addBoth(results.append)
        return results


@pytest.fixture
def case(tmp_path: Path, fired: Fired) -> Iterator[Case]:
    """A spool that is empty; in the end nothing is left ticking."""
    reactor, database = ImmediateReactor(), Answering()
    spool = spool_in(tmp_path, reactor)
    case = Case(reactor, database, spool, SpooledRows(database, spool, reactor))
    case.rows.start()
    yield case
    closed = case.rows.close()
    while database.asked:
        database.fail()
    fired(closed)
    reactor.advance(10)
    assert reactor.getDelayedCalls() == []


def test_a_database_that_answers_has_it_all(case: Case) -> None:
    """Nothing touches the spool, and groups that are refused in part are told so."""
    first = case.write("a")
    case.database.answer("a")
    assert (first, case.rows.pending, case.rows.kept_bytes) == ([0], 0, 0)


def test_silence_is_waited_for_a_second(case: Case, logged: list[str]) -> None:
    """Then the group is kept, and so are those that follow; a late success is one all the same."""
    first = case.write("a")
    case.reactor.advance(PATIENCE_SECONDS - 0.01)
    assert first == []
    case.reactor.advance(0.01)
    second = case.write("b")
    assert (first, second, case.rows.pending) == ([0], [0], 2)
    case.database.answer("a")
    third = case.write("c")
    assert third == [], "it goes to the database, which is back"
    case.reactor.advance(0)
    case.database.answer("c")
    case.database.answer("a")
    case.database.answer("b")
    assert (third, case.rows.pending, case.database.asked) == ([0], 0, [])
    assert logged[0].startswith("error: ledger: the database cannot be written (no answer within 1 s); rows are kept")
    assert len(logged) == 2


def test_a_late_failure_is_none(case: Case) -> None:
    """The group is in the spool by then, and is read back from there."""
    case.write("a")
    case.reactor.advance(PATIENCE_SECONDS)
    case.database.fail()
    case.reactor.advance(0.1)
    case.database.answer("a")
    assert (case.rows.pending, case.database.asked) == (0, [])


def test_new_groups_do_not_wait_for_old_ones(case: Case) -> None:
    """While the spool is read back, group by group, new ones go to the database at once."""
    first = case.write("a")
    case.database.fail()
    assert first == [0]
    for name in "bcd":
        case.write(name)
    case.reactor.advance(0.1)
    case.database.answer("a")
    case.write("e")
    case.database.answer("b")
    case.database.answer("e")
    case.database.answer("c")
    case.database.answer("d")
    assert (case.rows.pending, case.database.asked) == (0, [])


def test_it_is_asked_at_growing_intervals(case: Case) -> None:
    """The first time after 0.1 s, then twice as long each time, never longer than 5 s, however much is written."""
    case.write("a")
    case.database.fail()
    waits = []
    for _ in range(8):
        case.write("b")
        waits.append(min(call.getTime() for call in case.reactor.getDelayedCalls()) - case.reactor.seconds())
        case.reactor.advance(waits[-1])
        case.database.fail()
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


def test_an_outage_in_the_middle_of_reading_back(case: Case) -> None:
    """What was read stays in the spool until the database has it; new groups follow it there."""
    case.write("a")
    case.database.fail()
    case.write("b")
    case.reactor.advance(0.1)
    case.database.answer("a")
    case.database.fail()
    new = case.write("c")
    assert (new, case.rows.pending) == ([0], 2)
    case.reactor.advance(0.2)
    case.database.answer("b")
    case.database.answer("c")
    assert case.rows.pending == 0


def test_a_group_that_can_be_kept_nowhere_fails(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows stay with whoever wrote it; and each time they come again the database is asked first."""

    def full(*_: object) -> int:
        raise SpoolFull("No space left on device")

    monkeypatch.setattr(case.spool._files, "append", full)
    for _ in range(2):
        failed = case.write("a")
        case.database.fail()
        assert failed[0].value.detail == "gone; the spool takes no more: No space left on device"
    written = case.write("a")
    case.database.answer("a")
    assert written == [0]


def test_a_spool_that_cannot_be_read_is_tried_again(
    case: Case, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    """New groups go on meanwhile; what is in the spool stays."""

    def broken() -> None:
        raise OSError(5, "Input/output error")

    case.write("a")
    case.database.fail()
    with monkeypatch.context() as patch:
        patch.setattr(case.spool._files, "oldest", broken)
        case.reactor.advance(0.1)
    assert logged[-1] == "error: ledger: the spool cannot be read (OSError)"
    assert case.rows.pending == 1
    case.reactor.advance(5)
    case.database.answer("a")
    assert case.rows.pending == 0


def test_damage_is_told_once(case: Case, tmp_path: Path, logged: list[str]) -> None:
    """What cannot be read is dropped, counted and logged; the rest is written."""
    case.write("a", "b")
    case.database.fail()
    case.write("c")
    (path,) = tmp_path.rglob("*.rows")
    path.write_bytes(path.read_bytes().replace(b"\xa1b", b"\xa1x"))
    case.reactor.advance(0.1)
    assert logged[-1] == "error: ledger: 2 rows in the spool are damaged, they are dropped"
    case.database.answer("c")
    assert (case.rows.pending, case.rows.dropped) == (0, 2)
    assert sum("damaged" in line for line in logged) == 1


def test_closing_waits_for_the_group_at_hand(case: Case, fired: Fired, tmp_path: Path) -> None:
    """One that is being read back is written or stays; all others are left for the next start."""
    case.write("a")
    case.database.fail()
    case.write("b")
    case.reactor.advance(0.1)
    closed = case.rows.close()
    assert not closed.called
    case.database.answer("a")
    fired(closed)
    fired(case.rows.close())
    assert (case.rows.pending, case.database.asked) == (1, [])
    assert len(list(tmp_path.rglob("*.rows"))) == 1
