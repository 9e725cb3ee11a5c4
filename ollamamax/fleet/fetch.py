"""One GET with an end: a time, a size, and a word for whatever went wrong.

An `Agent` bounds neither: its response may come for ever and fill the memory, and cancelling the reading of a body
leaves the connection open. Here the time covers the head and the body, and whoever stops waiting closes the connection.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from ollamamax.fleet.dialling import AddressRefused

_OK = 200


class FetchFailed(Exception):
    """A GET that brought no body.

    Attributes:
        code: `timeout`, `unreachable`, `address_refused`, `closed_early`, `too_large`, `bad_answer` or `status_503`.
        detail: what the log may say besides.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


def fetch(agent: IAgent, clock: IReactorTime, url: bytes, *, timeout_seconds: float, max_bytes: int) -> Deferred[bytes]:
    """Gets a body whose status is 200.

    Args:
        agent: what sends the request; it must not follow redirects.
        clock: what the time is measured by.
        url: an absolute URL.
        timeout_seconds: from now to the last byte of the body.
        max_bytes: the largest body accepted.

    Returns:
        Fires with the body, or fails with `FetchFailed`. Cancelling it closes the connection.
    """
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        working.cancel()

    def ended(result: bytes | Failure) -> bytes:
        if timer.active():
            timer.cancel()
        if not isinstance(result, Failure):
            return result
        if expired:
            raise FetchFailed("timeout", f"no complete answer within {timeout_seconds:g} s")
        raise _classified(result.value)

    timer = clock.callLater(timeout_seconds, expire)
    working = Deferred.fromCoroutine(_body(agent, url, max_bytes))
    return working.addBoth(ended)


async def _body(agent: IAgent, url: bytes, max_bytes: int) -> bytes:
    headers = Headers({b"Accept": [b"application/json"], b"User-Agent": [b"ollamamax"]})
    response: IResponse = await agent.request(b"GET", url, headers)
    body = _BoundedBody(max_bytes)
    refusal: FetchFailed | None = None
    if response.code != _OK:
        refusal = FetchFailed(f"status_{response.code}")
    elif isinstance(response.length, int) and response.length > max_bytes:
        refusal = FetchFailed("too_large", f"{response.length} bytes announced")
    if refusal is not None:
        body.close()
    # Only who receives a body may close its connection.
    response.deliverBody(body)
    if refusal is not None:
        raise refusal
    return await body.complete


class _BoundedBody(Protocol):
    """Collects a body up to a size.

    Attributes:
        complete: fires with the body; cancelling it closes the connection.
    """

    def __init__(self, max_bytes: int) -> None:
        self.complete: Deferred[bytes] = Deferred(lambda _: self.close())
        self._left = max_bytes
        self._parts: list[bytes] = []
        self._closed = False

    def close(self) -> None:
        """Closes the connection, now or once there is one; what still comes is dropped."""
        self._closed = True
        self._parts.clear()
        if self.transport is not None:
            self.transport.loseConnection()

    def connectionMade(self) -> None:
        if self._closed:
            self.close()

    def dataReceived(self, data: bytes) -> None:
        if self._closed:
            return
        self._left -= len(data)
        if self._left < 0:
            self.close()
            self.complete.errback(FetchFailed("too_large", "the body is larger than any list of models"))
        else:
            self._parts.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._closed:
            return
        self._closed = True
        # Without a length or chunks the end is the connection's end: whether all came, the JSON tells.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.complete.callback(b"".join(self._parts))
        else:
            cut = any(isinstance(cause, ConnectionAborted) for cause in _causes(reason.value))
            self.complete.errback(FetchFailed("too_large" if cut else "closed_early", "the body broke off"))


def _classified(error: BaseException | None) -> BaseException:
    """What a failed request is called; a request that was cancelled stays cancelled."""
    answered = isinstance(error, ResponseFailed)
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, (FetchFailed, CancelledError)):
            return cause
    detail = "; ".join(f"{type(cause).__name__}: {cause}" for cause in causes)
    return FetchFailed(_code(causes, answered=answered), detail)


def _causes(error: BaseException | None) -> list[BaseException | None]:
    return [reason.value for reason in error.reasons] if isinstance(error, ResponseFailed) else [error]


def _code(causes: Sequence[BaseException | None], *, answered: bool) -> str:
    for cause in causes:
        if isinstance(cause, AddressRefused):
            return "address_refused"
        if isinstance(cause, ConnectError):
            return "unreachable"
        if isinstance(cause, ConnectionAborted):
            return "too_large"  # cut for what it brought; nothing else here ends a connection so
    if not answered:
        return "unreachable"
    if all(isinstance(cause, (ConnectionDone, ConnectionLost)) for cause in causes):
        return "closed_early"
    return "bad_answer"
