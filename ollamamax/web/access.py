# mypy: allow-untyped-calls
"""The access log: one line for each request, at its real end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger
from twisted.python.failure import Failure

from ollamamax.logs.access import INFERENCE_FIELDS, AccessEntry, shown_path
from ollamamax.logs.observer import ACCESS
from ollamamax.metrics.http import CLIENT_GONE
from ollamamax.web.timing import left

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from ollamamax.web.peers import PeerPolicy
    from ollamamax.web.request import GatewayRequest

_log = Logger(ACCESS)


class AccessLog:
    """Tells of each request that the site gives it.

    Args:
        peers: what may be told of a client.
        clock: the clock by which requests are stamped.
    """

    def __init__(self, peers: PeerPolicy, clock: IReactorTime) -> None:
        self._peers = peers
        self._clock = clock

    def __call__(self, request: GatewayRequest) -> None:
        """Takes a request that ends; called a moment before everybody else is told, and only its end tells how."""
        request.notifyFinish().addBoth(self._ended, request)

    def _ended(self, result: object, request: GatewayRequest) -> None:
        status = request.code if left(request, lost=isinstance(result, Failure)) is None else CLIENT_GONE
        seconds = self._clock.seconds() - request.received_at
        if request.account is None or request.account.is_closed:
            self._tell(request, status, seconds)
        else:
            # Whoever keeps the account hears of the end in this turn of the reactor, too.
            self._clock.callLater(0, self._tell, request, status, seconds)

    def _tell(self, request: GatewayRequest, status: int, seconds: float) -> None:
        row = None if request.account is None else request.account.row
        entry = AccessEntry(
            method=request.method.decode("latin-1"),
            path=shown_path(request.path),
            status=status,
            seconds=max(0.0, seconds),
            request_id=request.request_id,
            bytes_out=request.sentLength,
            client=self._client_of(request) if row is None else row.client_address,
            inference={} if row is None else {name: getattr(row, name) for name in INFERENCE_FIELDS},
        )
        _log.info("{access}", access=entry)

    def _client_of(self, request: GatewayRequest) -> str | None:
        forwarded_for = request.requestHeaders.getRawHeaders(b"x-forwarded-for")
        claimed = b",".join(forwarded_for).decode("latin-1") if forwarded_for else None
        return self._peers.client_address(request.client_ip, claimed)
