"""A simulated Ollama as a service, by itself or inside another program."""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IReactorTime, IStreamServerEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from .accounts import Accounts
from .faults import FaultDraw
from .models import ModelStore, model_of
from .runners import Runners
from .scheduler import Scheduler
from .settings import SimulatorSettings
from .simulation import Simulation
from .site import SimulatedSite

EMBEDDED_LISTEN = "tcp:0:interface=127.0.0.1"
"""Where an embedded simulator listens: a free port on loopback."""


def simulated_site(
    clock: IReactorTime, settings: SimulatorSettings, *, wall: Callable[[], float] = time.time
) -> tuple[SimulatedSite, Simulation]:
    """A simulator without a socket, for tests in memory.

    Args:
        clock: for all waiting.
        settings: speeds and limits.
        wall: the time of day, in seconds since 1970.
    """
    from .routes import ollama_resource  # Klein installs a reactor when it is imported.

    store = ModelStore()
    for place, spec in enumerate(settings.models):
        store.put(model_of(spec, wall() - (len(settings.models) - place) * 1e-4))
    scheduler = Scheduler(
        max_queue=settings.max_queue,
        max_loaded=settings.max_loaded_models,
        overhead_seconds=settings.overhead_seconds,
    )
    faults = FaultDraw(settings.faults, settings.seed)
    simulation = Simulation(clock, wall, settings, store, Runners(clock, scheduler), faults)
    return SimulatedSite(ollama_resource(simulation), clock, Accounts(), marked=settings.marked), simulation


class SimulatorService(Service):
    """Listens, and answers as an Ollama would.

    Args:
        reactor: for time and sockets.
        listen: a server endpoint, or its description such as `tcp:11434:interface=127.0.0.1`.
        settings: speeds and limits.
        wall: the time of day, in seconds since 1970.

    Attributes:
        accounts: what it really did.
        settings: as given.
        simulation: the simulated server's parts, for tests that look inside.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        listen: IStreamServerEndpoint | str = EMBEDDED_LISTEN,
        settings: SimulatorSettings | None = None,
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings or SimulatorSettings()
        self._clock = reactor
        self._endpoint = serverFromString(reactor, listen) if isinstance(listen, str) else listen
        self._site, self.simulation = simulated_site(reactor, self.settings, wall=wall)
        self._port: IListeningPort | None = None
        self._waiting: list[Deferred[str]] = []
        self._failure: Failure | None = None
        self.accounts = self._site.accounts

    def privilegedStartService(self) -> None:
        """Listen."""
        super().privilegedStartService()
        self._failure = None
        self._endpoint.listen(self._site).addCallbacks(self._listens, self._deaf)

    def startService(self) -> None:
        """Listen, if that was not done before, and say that this is no Ollama."""
        if self._port is None and self._failure is None:
            self.privilegedStartService()
        super().startService()
        if self._port is not None:
            self._log.warn("SIMULATED Ollama {version}, its answers are made up, listening on {url}", **self._named())

    def stopService(self) -> Deferred[None]:
        """Stop listening and close all connections; fires when they are closed."""
        super().stopService()
        port, self._port = self._port, None
        stopped = maybeDeferred(port.stopListening) if port is not None else succeed(None)
        return stopped.addCallback(self._close_connections)

    def when_listening(self) -> Deferred[str]:
        """Fires with the URL once it listens, or fails as the endpoint did."""
        if self._port is not None:
            return succeed(self.url)
        if self._failure is not None:
            return fail(self._failure)
        waiting: Deferred[str] = Deferred()
        self._waiting.append(waiting)
        return waiting

    @property
    def failure(self) -> Failure | None:
        """Why it does not listen, if it tried."""
        return self._failure

    @property
    def url(self) -> str:
        """`http://host:port`, once it listens.

        Raises:
            RuntimeError: it does not listen.
        """
        if self._port is None:
            raise RuntimeError("the simulator is not listening")
        address = self._port.getHost()
        if not isinstance(address, IPv4Address | IPv6Address):
            raise RuntimeError("the simulator does not listen on TCP")  # noqa: TRY004 - a state, not an argument
        host = f"[{address.host}]" if ":" in address.host else address.host
        return f"http://{host}:{address.port}"

    def _named(self) -> dict[str, str]:
        return {"version": self.settings.version, "url": self.url}

    def _listens(self, port: IListeningPort) -> None:
        self._port = port
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(self.url)

    def _deaf(self, failure: Failure) -> None:
        self._failure = failure
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.errback(failure)

    def _close_connections(self, _: object) -> Deferred[None]:
        if not self._site.close_connections():
            self.simulation.runners.stop()
            return succeed(None)
        return deferLater(self._clock, 0.0, self.simulation.runners.stop)
