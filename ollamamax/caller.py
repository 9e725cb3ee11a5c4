"""Speaking HTTP to a running server, for commands: short, patient, never hanging."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.web.client import ResponseFailed, ResponseNeverReceived
from twisted.web.http_headers import Headers

if TYPE_CHECKING:
    from treq.client import HTTPClient
    from twisted.internet.base import ReactorBase
    from twisted.internet.interfaces import IReactorTime

_ANSWER_SECONDS = 10.0
_CONNECT_SECONDS = 5.0


class Unanswered(Exception):
    """A request that got no whole answer; the text says how, for the user."""


@attrs.frozen
class Answer:
    """A whole answer.

    Attributes:
        status: its status.
        content_type: its Content-Type, empty for none.
        body: its body.
    """

    status: int
    content_type: str
    body: bytes

    def json(self) -> object:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def described(self) -> str:
        """Status and type, as they stand in a failed check."""
        return f"{self.status} {self.content_type or 'without a Content-Type'}"


class Caller:
    """Asks one server.

    Args:
        client: makes the requests.
        clock: what timeouts run on.
        url: where the server is, without a last slash.
        headers: headers of every request.
        answer_seconds: how long an answer may take.
    """

    def __init__(
        self,
        client: HTTPClient,
        clock: IReactorTime,
        url: str,
        headers: Mapping[str, str],
        answer_seconds: float = _ANSWER_SECONDS,
    ) -> None:
        self._client = client
        self.clock = clock
        self.url = url.rstrip("/")
        self._headers = headers
        self._answer_seconds = answer_seconds

    async def request(self, method: str, path: str, **headers: str) -> Answer:
        """Makes one request.

        Raises:
            Unanswered: no connection, no HTTP, or not in time.
        """
        exchange = Deferred.fromCoroutine(self._exchange(method, path, headers))
        try:
            return await exchange.addTimeout(self._answer_seconds, self.clock)
        except (DeferredTimeout, CancelledError):
            raise Unanswered(f"{method} {path} was not answered within {self._answer_seconds:g} s") from None
        except ConnectError as error:
            why = os.strerror(error.osError) if isinstance(error.osError, int) else "it took too long"
            raise Unanswered(f"no connection: {why}") from None
        except DNSLookupError:
            raise Unanswered("no connection: the host's name has no address") from None
        except (ResponseFailed, ResponseNeverReceived):
            raise Unanswered(f"{method} {path} got no HTTP answer, or one that broke off") from None

    async def _exchange(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        response = await self._client.request(
            method,
            self.url + path,
            headers=Headers({name: [value] for name, value in {**self._headers, **headers}.items()}),
            allow_redirects=False,
        )
        body = await response.content()
        (content_type,) = response.headers.getRawHeaders("content-type", [""])[:1]
        return Answer(response.code, content_type, body)

    async def get(self, path: str, **headers: str) -> Answer:
        """A GET."""
        return await self.request("GET", path, **headers)


def client_of(reactor: ReactorBase) -> HTTPClient:
    """What makes requests, each on a connection of its own."""
    # Not above: an import of either is a fifth of a second that other commands need not wait for.
    from treq.client import HTTPClient
    from twisted.web.client import Agent, HTTPConnectionPool

    pool = HTTPConnectionPool(reactor, persistent=False)
    return HTTPClient(Agent(reactor, connectTimeout=_CONNECT_SECONDS, pool=pool))
