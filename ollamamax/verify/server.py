"""The server that is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from twisted.internet.task import deferLater

from ollamamax.caller import Answer, Caller
from ollamamax.verify.exposition import Exposition

if TYPE_CHECKING:
    from treq.client import HTTPClient
    from twisted.internet.interfaces import IReactorTime

# What a scraper that knows no newer format asks for.
SCRAPE_ACCEPT = "text/plain;version=0.0.4"

_POLL_SECONDS = 0.05


class Server(Caller):
    """The server, and its metrics.

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
        super().__init__(client, clock, url, headers)
        self._settle_seconds = settle_seconds

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
        deadline = self.clock.seconds() + self._settle_seconds
        while True:
            exposition = await self.scrape()
            if settled(exposition) or self.clock.seconds() >= deadline:
                return exposition
            await deferLater(self.clock, _POLL_SECONDS)
