"""Speaking HTTP to the server that is looked at: short, patient, never hanging."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.task import deferLater
from twisted.web.client import ResponseFailed, ResponseNeverReceived
from twisted.web.http_headers import Headers

from ollamamax.verify.exposition import Exposition

if TYPE_CHECKING:
    from treq.client import HTTPClient
    from twisted.internet.interfaces import IReactorTime

# What a scraper that knows no newer format asks for.
SCRAPE_ACCEPT = "text/plain;version=0.0.4"

_ANSWER_SECONDS = 10.0
_POLL_SECONDS = 0.05


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


class Server:
    """The server that is looked at.

    Args:
        client: makes the requests.
        clock: what timeouts run on.
        url: where the server is, without a last slash.
        headers: headers of every request.
        settle_seconds: how long a request may take to become visible in the metrics.
    """

    def __init__(
        self,
        client: HTTPClient,
        clock: IReactorTime,
        url: str,
        headers: Mapping[str, str],
        settle_seconds: float = 2.0,
    ) -> None:
        self._client = client
        self._clock = clock
        self.url = url.rstrip("/")
        self._headers = headers
        self._settle_seconds = settle_seconds

    async def request(self, method: str, path: str, **headers: str) -> Answer:
        """Makes one request.

        Raises:
            Unanswered: no connection, no HTTP, or not in time.
        """
        exchange = Deferred.fromCoroutine(self._exchange(method, path, headers))
        try:
            return await exchange.addTimeout(_ANSWER_SECONDS, self._clock)
        except (DeferredTimeout, CancelledError):
            raise Unanswered(f"{method} {path} was not answered within {_ANSWER_SECONDS:g} s") from None
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

    async def get(self, path: str) -> Answer:
        """A GET."""
        return await self.request("GET", path)

    async def metrics(self) -> Answer:
        """The answer of `/metrics`, as a plain scraper gets it."""
        return await self.request("GET", "/metrics", Accept=SCRAPE_ACCEPT)

    async def scrape(self) -> Exposition:
        """What `/metrics` holds now."""
        return Exposition.read((await self.metrics()).body.decode("utf-8", "replace"))

    async def scrape_until(self, settled: Callable[[Exposition], bool]) -> Exposition:
        """What `/metrics` holds once something has become visible there, or once that took too long.

        A request may be observed a moment after its client has read the answer.
        """
        deadline = self._clock.seconds() + self._settle_seconds
        while True:
            exposition = await self.scrape()
            if settled(exposition) or self._clock.seconds() >= deadline:
                return exposition
            await deferLater(self._clock, _POLL_SECONDS)
