"""PostgreSQL and its connections: what is true of no SQLite file."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import pytest_twisted
from sqlalchemy import Engine, select, text
from store.databases import PostgresqlHome, until
from twisted.internet import reactor
from twisted.internet.interfaces import IReactorFromThreads

from ollamamax.store.failures import StoreError, StoreUnavailable
from ollamamax.store.ledger import Ledger, LedgerRow
from ollamamax.store.place import place_of
from ollamamax.store.postgresql import UNIT_SECONDS, PostgresqlServer
from ollamamax.store.schema import nodes
from ollamamax.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgresql_cluster import Cluster
    from store.databases import Database

    from ollamamax.store.transaction import Transaction

Fired = Callable[[Any], Any]
asynchronous: Callable[[Callable[..., object]], Callable[..., object]] = pytest_twisted.ensureDeferred


def read_nodes(transaction: Transaction) -> list[str]:
    """Reads the rows' names."""
    return [name for (name,) in transaction.rows(select(nodes.c.name))]


def finished(identifier: str) -> LedgerRow:
    """A row of a request that is over."""
    return LedgerRow(id=identifier, started_at=1.0, finished_at=2.0, endpoint="/api/chat", outcome="success")


def open_store(url: str, directory: Path) -> Store:
    """Opens a store on the real reactor."""
    return Store.open(url, state_directory=directory, reactor=IReactorFromThreads(reactor), pool_size=4)


def name_of(database: Database) -> str:
    """The database's name on its server."""
    assert isinstance(database.home, PostgresqlHome)
    return database.home.name


@pytest.fixture
def home(postgresql: Cluster, shared_database: str) -> PostgresqlHome:
    """An upgraded database, empty of rows."""
    home = PostgresqlHome(postgresql, shared_database, options="")
    home.ask("with a as (delete from requests) delete from instances")
    return home


@pytest.fixture
def engine(home: PostgresqlHome) -> Iterator[Engine]:
    """Two connections that read."""
    engine = home.place.reading_engine(2)
    yield engine
    engine.dispose()


def test_every_form_of_the_url(postgresql: Cluster, shared_database: str) -> None:
    """All three schemes, a UNIX socket, several hosts, and libpq's options are libpq's own."""
    rest = f"ollamamax@127.0.0.1:{postgresql.port}/{shared_database}"
    for url in (
        f"postgresql://{rest}",
        f"postgres://{rest}",
        f"postgresql+psycopg://{rest}?sslmode=disable",
        f"postgresql:///{shared_database}?host={postgresql.directory}&port={postgresql.port}&user=ollamamax",
        f"postgresql://ollamamax@127.0.0.1:1,127.0.0.1:{postgresql.port}/{shared_database}",
    ):
        place = place_of(url, Path("/nonexistent"))
        engine = place.reading_engine(1)
        with engine.begin() as connection:
            assert connection.execute(text("select current_database()")).scalar() == shared_database, url
        engine.dispose()


def test_what_is_set_on_each_connection(home: PostgresqlHome, engine: Engine) -> None:
    """The server's list shows whose they are, and no statement may take for ever; what the URL says wins."""
    with engine.begin() as connection:
        ((name, timeout),) = connection.execute(
            text(
                "select application_name, current_setting('statement_timeout') from pg_stat_activity "
                "where pid = pg_backend_pid()"
            )
        )
    assert (name, timeout) == ("ollamamax", "5s")
    own = PostgresqlServer(f"{home.url}?application_name=mine").writing_engine()
    with own.begin() as connection:
        assert connection.execute(text("show application_name")).scalar() == "mine"
    own.dispose()


def test_a_reader_sees_one_moment(home: PostgresqlHome, engine: Engine) -> None:
    """Two queries of one reading transaction see the same rows, whatever is written between them."""
    count = text("select count(*) from nodes")
    with engine.begin() as reader:
        before = reader.execute(count).scalar()
        home.ask("insert into nodes values ('between', 'http://n', false, null, 1, 2)")
        assert reader.execute(count).scalar() == before
    home.ask("delete from nodes")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            "postgresql://u:geheim@127.0.0.1:1/d",
            "port 1 failed: Connection refused: start PostgreSQL there, or correct",
        ),
        ("postgresql:///d?host=/nowhere&password=geheim", "No such file or directory: start PostgreSQL there, or corr"),
        ("{guarded}", 'password authentication failed for user "guarded": correct the user or the password, which may'),
        ("{nobody}", 'role "nobody" does not exist: create the role, or correct the user'),
        ("{absent}", 'database "absent" does not exist: create the database with createdb, or name another one'),
        ("postgresql://u:geheim@h/d?foo=1", "cannot be read by libpq; expected postgresql://USER@HOST/DATABASE"),
        ("postgresql://u:geheim@[::1/d", "cannot be read by libpq; expected postgresql://USER@HOST/DATABASE"),
        ("{empty}", "is empty: run `ollamamax database upgrade`, then start again"),
    ],
)
def test_what_cannot_be_opened_is_one_line(postgresql: Cluster, tmp_path: Path, url: str, words: str) -> None:
    """The setting, the database without its password, libpq's or the server's words, the cure; and nothing is made."""
    empty = postgresql.empty()
    given = url.format(
        guarded=postgresql.url(empty, role="guarded", password="geheimer"),
        nobody=postgresql.url(empty, role="nobody", password="geheim"),
        absent=postgresql.url("absent", password="geheim"),
        empty=postgresql.url(empty, password="geheim"),
    )
    with pytest.raises(StoreError) as caught:
        open_store(given, tmp_path)
    line = str(caught.value)
    assert line.startswith("database")
    assert words in line
    assert "geheim" not in line
    assert "\n" not in line
    assert postgresql.run("select count(*) from pg_class where relkind = 'r' and relname = 'requests'", empty) == [(0,)]


def test_the_password_may_be_elsewhere(
    postgresql: Cluster, shared_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the URL, or in libpq's own file."""
    engines = [PostgresqlServer(postgresql.url(shared_database, role="guarded", password="geheim")).reading_engine(1)]
    file = tmp_path / "pgpass"
    file.write_text("*:*:*:guarded:geheim\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    engines.append(PostgresqlServer(postgresql.url(shared_database, role="guarded")).reading_engine(1))
    for engine in engines:
        with engine.begin() as connection:
            assert connection.execute(text("select current_user")).scalar() == "guarded"
        engine.dispose()


@pytest.mark.parametrize("way", ["terminated", "restarted"])
def test_connections_that_died_while_idle_are_replaced(
    postgresql_database: Database, postgresql: Cluster, fired: Fired, way: str
) -> None:
    """Whether they were terminated or the server restarted: nobody notices, and they are counted as broken."""
    database = postgresql_database
    fired(database.reader.run(read_nodes))
    fired(database.writer.run(read_nodes))
    if way == "terminated":
        assert postgresql.terminate(name_of(database)) >= 2
    else:
        postgresql.stop()
        postgresql.start()
    assert fired(database.reader.run(read_nodes)) == []
    assert fired(database.writer.run(read_nodes)) == []
    snapshot = database.statistics.snapshot()
    assert (snapshot.closed["error"], snapshot.open, snapshot.errors_total) == (2, 2, 0)


def test_a_connection_that_dies_in_the_middle(postgresql_database: Database, postgresql: Cluster, fired: Fired) -> None:
    """What it was doing fails, with the server's words; the next one has a new connection."""
    database = postgresql_database

    def work(transaction: Transaction) -> None:
        read_nodes(transaction)
        postgresql.terminate(name_of(database))
        read_nodes(transaction)

    for pool in (database.reader, database.writer):
        with pytest.raises(StoreUnavailable) as caught:
            fired(pool.run(work))
        assert caught.value.detail in (
            "terminating connection due to administrator command",
            "consuming input failed: terminating connection due to administrator command",
        )
        assert fired(pool.run(read_nodes)) == []
    snapshot = database.statistics.snapshot()
    assert (snapshot.in_use, snapshot.open, snapshot.closed["error"]) == (0, 2, 3), (
        "the writer's was idle when the reader's died"
    )


def test_a_standby_is_left(postgresql_database: Database, fired: Fired) -> None:
    """A server on which nothing can be written any more loses its connection and no row."""
    database = postgresql_database
    home = database.home
    assert isinstance(home, PostgresqlHome)
    home.cluster.run(f"alter database {home.name} set default_transaction_read_only = on")
    try:
        home.cluster.terminate(home.name)
        ledger = Ledger(database.writer, database.reader, database.reactor)
        ledger.finished(finished("standby"))
        database.reactor.advance(0.05)
        assert (ledger.pending, ledger.dropped) == (1, 0)
        assert database.statistics.snapshot().open == 0
    finally:
        home.cluster.run(f"alter database {home.name} reset default_transaction_read_only")
    database.reactor.advance(0.1)
    assert (ledger.pending, ledger.dropped) == (0, 0)
    home.ask("delete from requests")


@asynchronous
async def test_an_outage(home: PostgresqlHome, postgresql: Cluster, tmp_path: Path) -> None:
    """While the server is down nothing waits; afterwards every row is there once, those begun before it too."""
    store = open_store(home.url, tmp_path)
    row = LedgerRow(id="before", started_at=1.0, endpoint="/api/chat")
    store.ledger.started(row)
    await store.ledger.flush()
    postgresql.stop(signal.SIGQUIT)
    try:
        store.ledger.finished(attrs.evolve(row, finished_at=2.0, outcome="success"))
        for number in range(700):
            store.ledger.finished(finished(f"during {number}"))
        began = time.monotonic()
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="cannot be used now"):
                await store.ledger.requests(10, 0)
        assert time.monotonic() - began < 3
        assert store.ledger.pending == 701
        await store.ledger.flush()
        assert (store.ledger.pending, store.ledger.kept_bytes) == (701, _bytes_in(tmp_path / "spool"))
        assert store.thread_pools["store-spool"].workers == 1
        assert store.statistics.snapshot().open <= 3
    finally:
        postgresql.start()
    await store.ledger.flush()
    await until(lambda: store.ledger.pending == 0)
    assert home.ask("select count(*), count(distinct id), min(outcome), max(outcome) from requests") == [
        (701, 701, "success", "success")
    ]
    assert (store.ledger.dropped, store.ledger.kept_bytes) == (0, 0)
    await store.close()
    assert list((tmp_path / "spool").iterdir()) == []


def _bytes_in(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*.rows"))


@asynchronous
async def test_a_server_that_is_silent_for_a_second(home: PostgresqlHome, postgresql: Cluster, tmp_path: Path) -> None:
    """Rows do not wait for it in memory; a store that ends meanwhile leaves them to the next one."""
    place = PostgresqlServer(f"{home.url}?connect_timeout=2", patience_seconds=1.5)
    spool = tmp_path / "spool"
    store = Store.at(place, reactor=IReactorFromThreads(reactor), pool_size=4, spool_directory=spool)
    store.ledger.started(LedgerRow(id="before", started_at=1.0, endpoint="/api/chat"))
    await store.ledger.flush()
    postgresql.freeze()
    try:
        for name in ("before", "during"):
            store.ledger.finished(finished(name))
        await store.ledger.flush()
        assert _bytes_in(spool) > 0
        await store.close()
        assert (store.ledger.pending, store.ledger.dropped) == (2, 0)
    finally:
        postgresql.thaw()
    # Its last write and its leave may have reached the server after all, which changes nothing.
    again = open_store(home.url, tmp_path)
    await until(lambda: again.ledger.pending == 0)
    assert home.ask("select id, outcome from requests order by id") == [("before", "success"), ("during", "success")]
    await again.close()
    assert list(spool.iterdir()) == []


@asynchronous
async def test_a_server_that_falls_silent(home: PostgresqlHome, postgresql: Cluster) -> None:
    """It takes what is sent and answers nothing: reading fails in time, and so does the store's end."""
    assert isinstance(home.place, PostgresqlServer)
    assert home.place.patience_seconds == UNIT_SECONDS <= 6
    place = attrs.evolve(home.place, url=f"{home.url}?connect_timeout=2", patience_seconds=1.0)
    store = Store.at(place, reactor=IReactorFromThreads(reactor), pool_size=4)
    await store.ledger.requests(1, 0)
    postgresql.freeze()
    try:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await store.ledger.requests(1, 0)
        assert time.monotonic() - began < 2
        store.ledger.finished(finished("lost"))
        began = time.monotonic()
        await store.close()
        assert time.monotonic() - began < 5
        assert (store.ledger.pending, store.ledger.dropped) == (0, 1)
    finally:
        postgresql.thaw()
    assert home.ask("select * from requests") == []


@asynchronous
async def test_two_stores_at_once(home: PostgresqlHome, tmp_path: Path) -> None:
    """Each has its connections and its instance; both see what either wrote, and how large the database is."""
    stores = [open_store(home.url, tmp_path), open_store(home.url, tmp_path)]
    ((size,),) = home.ask("select pg_database_size(current_database())")
    for store in stores:
        assert store.size.bytes == pytest.approx(size, rel=0.1)
        assert store.size.free_bytes is None
    for number, store in enumerate(stores):
        store.ledger.finished(finished(str(number)))
        await store.ledger.flush()
    for store in stores:
        rows, total = await store.ledger.requests(10, 0)
        assert total == 2
        assert {row.instance for row in rows} == {each.instance.id for each in stores}
        await store.close()
    assert home.ask("select * from instances") == []
