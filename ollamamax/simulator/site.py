"""HTTP in: requests that look like Go's server from outside, and an account of each.

Bodies are kept in memory; a large or chunked one is hashed while it arrives and kept only as far as JSON may go, so
that a blob of many gigabytes costs nothing.
"""

from __future__ import annotations

import hashlib
import io
import itertools
from typing import cast

from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from .accounts import Account, Accounts
from .dialects import Dialect

KEPT_BYTES = 64 * 1024 * 1024
"""How much of a body is kept."""
_HASHED_FROM = 8 * 1024 * 1024


class HashedBody(io.BytesIO):
    """A body that is hashed as it arrives, and kept up to a bound."""

    def __init__(self, kept: int = KEPT_BYTES) -> None:
        super().__init__()
        self._kept = kept
        self._hash = hashlib.sha256()
        self.length = 0

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        """More of it has come."""
        self._hash.update(data)
        self.length += len(data)
        room = self._kept - self.tell()
        if room > 0:
            super().write(data[:room])
        return len(data)

    def digest(self) -> str:
        """`sha256:…` of all of it."""
        return f"sha256:{self._hash.hexdigest()}"


class SimulatedRequest(Request):
    """A request whose answer has no Server header and no media type that nobody set."""

    defaultContentType = None
    site: SimulatedSite
    account: Account
    dialect: Dialect = "native"
    """The API that was called."""
    identity = ""
    """Of its own among all requests, for made-up names."""
    _open = False

    def gotLength(self, length: int | None) -> None:
        """The body begins: choose where it goes."""
        if length is not None and length < _HASHED_FROM:
            super().gotLength(length)
        else:
            self.content = HashedBody()

    def process(self) -> None:
        """The request is complete."""
        site = self.channel.factory
        assert isinstance(site, SimulatedSite)
        path = self.path.decode("latin-1")
        request_id = (self.getHeader(b"x-request-id") or b"").decode("latin-1")
        self.account = Account(self.method.decode("latin-1"), path, site.clock.seconds(), request_id)
        self.identity = str(next(site.numbers))
        site.accounts.opened(self.account)
        self._open = True
        super().process()

    def finish(self) -> None:
        """The answer is complete."""
        super().finish()
        self._close(client_left=False)

    def connectionLost(self, reason: Failure) -> None:
        """The client has closed; who listens to that has acted on it before the account is closed."""
        super().connectionLost(reason)
        self._close(client_left=True)

    def write(self, data: bytes) -> None:
        """Send a part of the answer; the head goes before the first one."""
        if not self.startedWriting:
            self.account.status = self.code
            self.responseHeaders.removeHeader(b"Server")
            if self.site.marked:
                self.setHeader(b"X-OllamaMax-Simulated", b"1")
        super().write(data)

    def token_shown(self) -> None:
        """A token is about to be sent that is seen; only the first one is noted."""
        if self.account.first_token_at is None:
            self.account.first_token_at = self.site.clock.seconds()

    def break_off(self, *, reset: bool) -> None:
        """Close the connection in the middle of the answer, in order or with a reset."""
        self._close(client_left=False)
        transport = cast("ITCPTransport", self.channel.transport)
        if reset:
            transport.abortConnection()
        else:
            transport.loseConnection()

    def body(self) -> bytes:
        """All of the body that was kept."""
        content = self.content
        if content is None:
            return b""
        content.seek(0)
        return bytes(content.read())

    def body_digest(self) -> tuple[str, int]:
        """The whole body's digest and size."""
        if isinstance(self.content, HashedBody):
            return self.content.digest(), self.content.length
        body = self.body()
        return f"sha256:{hashlib.sha256(body).hexdigest()}", len(body)

    def _close(self, *, client_left: bool) -> None:
        if self._open:
            self._open = False
            self.site.accounts.close(self.account, self.site.clock.seconds(), client_left=client_left)


class SimulatedChannel(HTTPChannel):
    """A connection that its site knows of while it lasts."""

    def connectionMade(self) -> None:
        """It has begun."""
        super().connectionMade()
        if isinstance(self.factory, SimulatedSite):
            self.factory.channels.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over."""
        if isinstance(self.factory, SimulatedSite):
            self.factory.channels.discard(self)
        super().connectionLost(reason)


class SimulatedSite(Site):
    """Listens for a resource.

    Args:
        resource: what answers.
        clock: for the accounts, and for the connections' idle time.
        accounts: where requests are written down.
        marked: whether answers say that they are simulated.
    """

    protocol = SimulatedChannel  # type: ignore[assignment]  # no HTTP/2: no need of the wrapper that chooses
    displayTracebacks = False  # noqa: N815 - as Twisted reads it

    def __init__(self, resource: IResource, clock: IReactorTime, accounts: Accounts, *, marked: bool) -> None:
        super().__init__(resource, requestFactory=SimulatedRequest, parsePOSTFormSubmission=False, reactor=clock)
        self.clock = clock
        self.accounts = accounts
        self.marked = marked
        self.channels: set[SimulatedChannel] = set()
        self.numbers = itertools.count(1)

    def close_connections(self) -> int:
        """Close every connection at once; how many there were."""
        channels = list(self.channels)
        for channel in channels:
            cast("ITCPTransport", channel.transport).abortConnection()
        return len(channels)

    def log(self, request: HTTPRequest) -> None:
        """No access log: the accounts are one."""
