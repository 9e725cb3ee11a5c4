"""Groups of rows on their way to a database that may be away: kept in files meanwhile, and read back afterwards.

A group that the database does not take, or not within a second, goes to the spool, and so do all that follow, until
something has been written to the database again. From then on new groups go there at once, and what the spool holds
follows, group by group, the oldest first. Whichever comes there first, the statements that write rows see to it that a
final row wins, and that none is there twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ollamamax.store.destinations import Destination, reason_of
from ollamamax.store.failures import StoreUnavailable
from ollamamax.store.ledger_row import LedgerRow
from ollamamax.store.spool_files import SpoolFull

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from ollamamax.store.spool import Spool

PATIENCE_SECONDS = 1.0
FIRST_RETRY_SECONDS = 0.1
LAST_RETRY_SECONDS = 5.0
INHERITING_SECONDS = 60.0


class SpooledRows:
    """A destination that keeps in files what its database does not take.

    Args:
        database: the database.
        spool: the files.
        clock: the clock of patience and retries.
    """

    _log = Logger()

    def __init__(self, database: Destination, spool: Spool, clock: IReactorTime) -> None:
        self._database = database
        self._spool = spool
        self._clock = clock
        self._is_away = False  # then new groups go to the spool at once
        self._is_told = False
        self._reason = ""
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._retry: IDelayedCall | None = None
        self._reading: Deferred[float | None] | None = None
        self._refused = 0
        self._damaged = 0
        self._is_closing = False
        self._inheriting = LoopingCall(self._inherit)
        self._inheriting.clock = clock

    @property
    def pending(self) -> int:
        """Rows in the files."""
        return self._spool.rows

    @property
    def dropped(self) -> int:
        """Rows that could not be read again, or that were refused when they came from there."""
        return self._spool.damaged + self._refused

    @property
    def kept_bytes(self) -> int | None:
        """What the files take."""
        return self._spool.bytes

    def start(self) -> None:
        """Begins to read back what dead processes have left, now and whenever there is more."""
        self._inheriting.start(INHERITING_SECONDS, now=False)
        self._read_back_inherited()

    def write(self, rows: Sequence[LedgerRow]) -> Deferred[int]:
        """Fires once the group is committed, or in the spool."""
        return self._keep(rows) if self._is_away else self._try(rows)

    def close(self) -> Deferred[None]:
        """Fires when nothing moves any more; what the spool holds stays there for the next start."""
        self._is_closing = True
        if self._inheriting.running:
            self._inheriting.stop()
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        if self._reading is not None:
            await self._reading
        if self._spool.rows:
            self._say("{rows} rows are left in {directory} for the next start")
        await self._spool.close()

    def _try(self, rows: Sequence[LedgerRow]) -> Deferred[int]:
        done: Deferred[int] = Deferred()

        def lost(reason: str) -> None:
            self._lost(reason)
            self._keep(rows).chainDeferred(done)

        patience = self._clock.callLater(PATIENCE_SECONDS, lost, f"no answer within {PATIENCE_SECONDS:g} s")

        def written(refused: int) -> None:
            self._found()
            if patience.active():
                patience.cancel()
                done.callback(refused)
            else:  # the group is in the spool too, where it does no harm
                self._read_back_in(0.0)

        def failed(failure: Failure) -> None:
            if patience.active():
                patience.cancel()
                lost(reason_of(failure))

        self._database.write(rows).addCallbacks(written, failed)
        return done

    def _keep(self, rows: Sequence[LedgerRow]) -> Deferred[int]:
        return self._spool.append(rows).addCallbacks(self._kept, self._not_kept)

    def _kept(self, refused: int) -> int:
        self._read_back_in(self._retry_seconds)
        return refused

    def _not_kept(self, failure: Failure) -> Failure:
        self._is_away = False  # the rows stay where they are, so each of their retries asks the database again
        reason = str(failure.value) if failure.check(SpoolFull) else type(failure.value).__name__
        return Failure(StoreUnavailable(detail=f"{self._reason}; the spool takes no more: {reason}"))

    def _lost(self, reason: str) -> None:
        self._is_away = True
        self._reason = reason
        if not self._is_told:
            self._is_told = True
            self._log.error(
                "ledger: the database cannot be written ({reason}); rows are kept in {directory} until it can",
                reason=reason,
                directory=self._spool.directory,
            )

    def _found(self) -> None:
        self._is_away = False
        self._retry_seconds = FIRST_RETRY_SECONDS
        if self._is_told:
            self._is_told = False
            self._say("the database can be written again; {rows} rows from {directory} are read back")

    def _inherit(self) -> Deferred[None]:
        return self._spool.inherit().addCallbacks(lambda _: self._read_back_inherited(), self._not_read)

    def _read_back_inherited(self) -> None:
        if self._spool.rows and self._reading is None and self._retry is None:
            self._say("{rows} rows that a server left in {directory} are read back")
        if self._spool.bytes:
            self._read_back_in(0.0)

    def _read_back_in(self, seconds: float) -> None:
        if self._is_closing or self._reading is not None:
            return
        if self._retry is None:
            self._retry = self._clock.callLater(seconds, self._begin_reading_back)
        elif not seconds:
            self._retry.reset(seconds)

    def _begin_reading_back(self) -> None:
        self._retry = None
        self._reading = reading = Deferred.fromCoroutine(self._read_back())
        reading.addBoth(self._reading_ended)

    async def _read_back(self) -> float | None:
        """Writes what the spool holds; in how many seconds the rest is to be tried, None where there is none."""
        while not self._is_closing:
            try:
                rows = await self._spool.oldest()
            except Exception:  # noqa: BLE001 - whatever the disk or a defect makes of it, the ledger goes on
                self._not_read(Failure())
                return LAST_RETRY_SECONDS
            self._tell_of_damage()
            if rows is None:
                self._is_away = False  # there is nothing by which the database would be tried
                return None
            try:
                refused = await self._database.write(rows)
            except Exception:  # noqa: BLE001 - as above
                self._lost(reason_of(Failure()))
                self._retry_seconds = min(self._retry_seconds * 2, LAST_RETRY_SECONDS)
                return self._retry_seconds
            self._found()
            if refused:
                self._refused += refused
                self._log.error("ledger: the database refused {count} rows, they are dropped", count=refused)
            await self._spool.forget()
        return None

    def _reading_ended(self, result: float | Failure | None) -> None:
        self._reading = None
        if isinstance(result, Failure):
            self._not_read(result)
            result = LAST_RETRY_SECONDS
        if result is not None:
            self._read_back_in(result)

    def _not_read(self, failure: Failure) -> None:
        self._log.error("ledger: the spool cannot be read ({reason})", reason=type(failure.value).__name__)

    def _tell_of_damage(self) -> None:
        damaged, self._damaged = self._spool.damaged - self._damaged, self._spool.damaged
        if damaged:
            self._log.error("ledger: {count} rows in the spool are damaged, they are dropped", count=damaged)

    def _say(self, text: str) -> None:
        self._log.warn(f"ledger: {text}", rows=self._spool.rows, directory=self._spool.directory)
