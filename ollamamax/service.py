"""What starts, in which order; how it drains and stops.

Start: the port is bound and the store opened before the reactor runs, so that what is wrong with either ends the
process with one line. Then nodes are probed, and once each was tried the server is ready. Drain: not ready, no new
connections, running responses finish within the grace, the rest is ended in its own dialect, the ledger is flushed, the
store closed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource

from ollamamax import __version__
from ollamamax.assembly import House, Phase, assemble, recall_models, remember_all
from ollamamax.errors import ShuttingDown
from ollamamax.metrics.registry import Metrics
from ollamamax.settings import LoadedSettings, Settings
from ollamamax.simulation import Simulation
from ollamamax.store.failures import StoreError
from ollamamax.store.store import Store
from ollamamax.web.access import AccessLog
from ollamamax.web.admission import body_policy
from ollamamax.web.peers import PeerPolicy
from ollamamax.web.site import GatewaySite

if TYPE_CHECKING:
    from twisted.internet.base import ReactorBase

_CLOSING_SECONDS = 5.0
_REMEMBERING_SECONDS = 600.0


class StartError(Exception):
    """The server cannot start; the text is one line that names the setting and what it should be."""


def open_store(settings: Settings, reactor: ReactorBase, metrics: Metrics) -> Store:
    """The store that the settings name.

    Raises:
        StoreError: it cannot be opened.
    """
    return Store.open(
        settings.database,
        state_directory=Path(settings.state_directory),
        reactor=reactor,
        pool_size=settings.database_pool_size,
        ledger=settings.ledger,
        observer=metrics,
    )


class Gateway(Service):
    """The whole server as one service.

    Args:
        loaded: the settings in force.
        reactor: the reactor to run on.
        open_store: opens the store; raises `StoreError`.
    """

    _log = Logger()

    def __init__(
        self,
        loaded: LoadedSettings,
        reactor: ReactorBase,
        *,
        open_store: Callable[[Settings, ReactorBase, Metrics], Store] = open_store,
    ) -> None:
        self._loaded = loaded
        self._settings = loaded.settings
        self._reactor = reactor
        self._open_store = open_store
        self._phase = Phase()
        self.metrics = Metrics(__version__)
        self._site = GatewaySite(
            Resource(),
            reactor=reactor,
            limits=self._settings.limits,
            body_policy=body_policy(self._settings.limits),
            access_log=AccessLog(PeerPolicy.of(self._settings.trusted_networks, self._settings.client_address), reactor)
            if self._settings.log.access
            else None,
        )
        self._port: IListeningPort | None = None
        self._store: Store | None = None
        self._house: House | None = None
        self._simulation: Simulation | None = None
        self._remembering: LoopingCall | None = None
        self._drained: Deferred[None] | None = None
        self._forced = False

    def privilegedStartService(self) -> None:
        """Binds the port and opens the store; asked twice, it does nothing the second time.

        Raises:
            StartError: one of them cannot be had.
        """
        if self._house is not None:
            return
        self._port = self._bind()
        try:
            self._store = self._open_store(self._settings, self._reactor, self.metrics)
        except StoreError as error:
            self._port.stopListening()
            raise StartError(str(error)) from None
        self._house = assemble(self._loaded, self._reactor, self._store, self.metrics, self._phase)
        self._site.resource = self._house.root

    def startService(self) -> None:
        """Starts everything else; the server is ready when every node has been tried once."""
        self.privilegedStartService()
        super().startService()
        house, store = self._house, self._store
        assert house is not None
        assert store is not None
        self._phase.listening = True
        self._log.info("listening on {where}", where=_shown(self._port))
        house.exposition.start()
        house.ticks.start()
        simulate = self._settings.simulate
        if simulate == "auto" and self._loaded.sources["nodes"] != "default":
            simulate = 0
        self._simulation = Simulation(self._reactor, house.fleet, simulate)
        self._simulation.start()
        self._remembering = LoopingCall(self._remember, house, store)
        self._remembering.clock = self._reactor
        self._remembering.start(_REMEMBERING_SECONDS)
        house.prober.start().addCallback(self._probed)

    def drain(self) -> Deferred[None]:
        """Brings the server to its end in good order.

        Returns:
            Fires when the last response is over, or the grace is, and everything is written and closed. Asked again, it
            fires with the first.
        """
        if self._drained is None:
            self._drained = Deferred.fromCoroutine(self._drain())
        done: Deferred[None] = Deferred()

        def pass_on(result: object) -> object:
            done.callback(None)
            return result

        self._drained.addBoth(pass_on)
        return done

    def force_stop(self) -> None:
        """Ends a drain that is under way without waiting for the responses that are still running."""
        self._forced = True
        if self._house is not None:
            self._house.relay.abort_all(ShuttingDown())
        self._cut_off()

    def stopService(self) -> Deferred[None]:
        """Drains, if that has not been done."""
        super().stopService()
        return self.drain()

    async def _drain(self) -> None:
        self._phase.draining = True
        house, store = self._house, self._store
        if house is None or store is None:
            return
        self._log.info("draining: at most {seconds:g} s for running responses", seconds=self._settings.drain_seconds)
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
        gone = self._site.drain()
        if not await self._within(gone, 0.0 if self._forced else self._settings.drain_seconds):
            house.relay.abort_all(ShuttingDown())
            if not await self._within(self._site.drain(), _CLOSING_SECONDS):
                self._cut_off()
                # Their rows are written when they are gone, which takes a turn of the reactor.
                await self._within(self._site.drain(), _CLOSING_SECONDS)
        if self._remembering is not None and self._remembering.running:
            self._remembering.stop()
        await house.prober.stop()
        if self._simulation is not None:
            await self._simulation.stop()
        await house.client.close()
        await house.exposition.stop()
        await store.close()
        house.ticks.stop()
        self._log.info("stopped")

    def _cut_off(self) -> None:
        for channel in list(self._site.connections):
            channel.abortConnection()

    async def _within(self, awaited: Deferred[None], seconds: float) -> bool:
        try:
            await awaited.addTimeout(seconds, self._reactor, onTimeoutCancel=_timed_out)
        except TimeoutError:
            return False
        return True

    def _probed(self, _: None) -> None:
        assert self._house is not None
        assert self._simulation is not None
        if self._phase.draining:
            return
        stand_in = self._simulation.first_round_over()
        if stand_in is not None:
            self._house.prober.probe_now(stand_in).addCallback(self._ready)
        else:
            self._ready(None)

    def _ready(self, _: None) -> None:
        assert self._house is not None
        if self._phase.draining:
            return
        nodes = self._house.fleet.nodes.values()
        self._phase.probed = True
        self._log.info("ready: {up} of {total} nodes up", up=sum(node.up for node in nodes), total=len(nodes))

    @staticmethod
    def _remember(house: House, store: Store) -> Deferred[None]:
        remember_all(store, house.fleet)
        return Deferred.fromCoroutine(recall_models(store, house.inference))

    def _bind(self) -> IListeningPort:
        listen = self._settings.listen
        try:
            listening = serverFromString(self._reactor, listen).listen(self._site)
        except Exception as error:  # noqa: BLE001 - an endpoint's parser and its TLS library raise what they like
            raise StartError(f'listen: "{listen}" cannot be used: {error}') from None
        outcome: list[IListeningPort | Failure] = []
        listening.addBoth(outcome.append)
        if not outcome:
            raise StartError(
                f'listen: "{listen}" did not start to listen at once; expected a tcp, tcp6, ssl or unix endpoint'
            )
        (port,) = outcome
        if isinstance(port, Failure):
            raise StartError(
                f'listen: "{listen}" cannot be used: {_reason(port)}; choose a free port or another address'
            )
        return port


def _timed_out(result: object, _seconds: float) -> object:
    if isinstance(result, Failure) and result.check(CancelledError):
        raise TimeoutError
    return result


def _reason(failure: Failure) -> str:
    error = failure.value
    if isinstance(error, CannotListenError):
        return getattr(error.socketError, "strerror", None) or str(error.socketError)
    return getattr(error, "strerror", None) or str(error)


def _shown(port: IListeningPort | None) -> str:
    if port is None:
        return "nothing"
    address = port.getHost()
    if not isinstance(address, IPv4Address | IPv6Address):
        return f"unix:{os.fsdecode(getattr(address, 'name', None) or '?')}"
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"http://{host}:{address.port}"
