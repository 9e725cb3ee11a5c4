"""One request on its way: the coupling of a client's request with the exchange with a node.

The response's head is written with the first piece of its body, as Ollama itself does; until then nothing has reached
the client, and a failure is given to the caller, who may answer it or try elsewhere. After that it shows in the end of
the answer (`ending`). The client's transport pauses the node's, so that neither side is held in memory for the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ollamamax.errors import GatewayError, InternalError, NodeBusy, NodeTimedOut, NodeTruncated
from ollamamax.relay import headers
from ollamamax.relay.carriage import Carriage, RelayReport
from ollamamax.relay.deadlines import Deadlines
from ollamamax.relay.ending import Ending, ending
from ollamamax.relay.messages import RequestHead, ResponseHead
from ollamamax.relay.passage import Passage, passage_of
from ollamamax.relay.reply import Reply
from ollamamax.relay.verdict import NO_USAGE, Verdict
from ollamamax.relay.withheld import Withheld, last_event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from twisted.web.server import Request

    from ollamamax.relay.client import Exchange, NodeClient


@implementer(IPushProducer)
class Crossing:
    """One carriage under way; the receiver of its response and the producer of its client's transport."""

    _log = Logger()

    def __init__(
        self,
        client: NodeClient,
        clock: IReactorTime,
        request: Request,
        carriage: Carriage,
        over: Callable[[Crossing], None],
    ) -> None:
        """Prepares; `start` begins.

        Args:
            client: sends to the node.
            clock: tells and schedules.
            request: whose answer this is.
            carriage: what is carried.
            over: called once, when nothing is left to be done.
        """
        self._client = client
        self._clock = clock
        self._reply = Reply(request, carriage.extra_headers, self)
        self._carriage = carriage
        self._over = over
        self._result: Deferred[RelayReport] = Deferred(self._cancelled)
        self._exchange: Exchange | None = None
        self._deadlines: Deadlines | None = None
        self._passage: Passage | None = None
        self._withheld: Withheld | None = None
        self._head: ResponseHead | None = None
        self._head_at: float | None = None
        self._started_at = clock.seconds()
        self._handed_at = self._started_at
        self._done = False
        self._report: RelayReport | None = None

    def start(self) -> Deferred[RelayReport]:
        """Sends the request to the node.

        Returns:
            The report, or a `GatewayError` where nothing has reached the client yet. Cancelling it says that the
            client has gone.
        """
        carriage = self._carriage
        self._deadlines = Deadlines(self._clock, carriage.timeouts, self._timed_out)
        head = RequestHead(carriage.head.method, carriage.head.target, headers.to_node(carriage.head.headers))
        try:
            exchange = self._client.send(
                carriage.address, head, carriage.body, self, connect_timeout=carriage.timeouts.connect
            )
        except ValueError:
            self._log.failure("a request could not be written")
            self._settle(InternalError())
        else:
            self._exchange = exchange
            self._handed_at = self._clock.seconds()
            if self._done:
                exchange.abort()
        return self._result

    def abort(self, error: GatewayError) -> None:
        """Ends it for a reason of the gateway's own."""
        if not self._done:
            self._drop_node()
            self._settle(error)

    # What the node answers.

    def response_started(self, head: ResponseHead) -> None:
        """Keeps the head until the body begins."""
        carriage = self._carriage
        self._head_at = self._clock.seconds()
        if head.status == 503 and carriage.may_move is not None and carriage.may_move():
            # Unread: another node will answer, and what this one says of itself is known.
            self.abort(NodeBusy())
            return
        passage = passage_of(
            carriage.answer,
            streaming=carriage.streaming,
            drops_usage=carriage.usage_added,
            status=head.status,
            content_type=head.first(b"content-type") or b"",
            sized=head.first(b"content-length") is not None,
        )
        self._passage = passage
        self._head = head.unsized() if passage.resized else head
        if carriage.before_end is not None and 200 <= head.status < 300:
            self._withheld = Withheld(last_event(carriage.answer) if passage.streaming else None)
        if self._deadlines is not None:
            self._deadlines.head_arrived()

    def response_data(self, data: bytes) -> None:
        """Passes a piece on."""
        if self._done:
            return
        now = self._clock.seconds()
        if self._deadlines is not None:
            self._deadlines.touched_at = now
        assert self._passage is not None
        passing = self._passage.feed(data, now)
        if passing and self._withheld is not None:
            passing = self._withheld.pass_on(passing)
        if passing:
            self._write(passing)

    def response_finished(self) -> None:
        """The node has said all."""
        if self._done:
            return
        before_end = self._carriage.before_end
        if self._withheld is None or before_end is None:
            self._settle(None)
            return
        self._exchange = None
        if self._deadlines is not None:
            self._deadlines.stop()
        ensureDeferred(_awaited(before_end)).addErrback(self._not_done).addBoth(self._told)

    def _not_done(self, failure: Failure) -> None:
        self._log.failure("what had to be done before the end failed", failure=failure)

    def _told(self, _: object) -> None:
        if not self._done:
            self._settle(None)

    def response_failed(self, failure: Failure) -> None:
        """The node, or the client's own body, failed."""
        if self._done:
            return
        if isinstance(failure.value, GatewayError):
            self._settle(failure.value)
        else:
            # A streamed body that failed for no reason of the gateway's: its client went away.
            self._leave()

    # What the client's transport asks for.

    def pauseProducing(self) -> None:
        """The client is slow."""
        if self._exchange is not None and not self._done:
            self._exchange.pause()
            if self._deadlines is not None:
                self._deadlines.pause()

    def resumeProducing(self) -> None:
        """The client takes data again."""
        if self._exchange is not None and not self._done:
            if self._deadlines is not None:
                self._deadlines.resume()
            self._exchange.resume()

    def stopProducing(self) -> None:
        """The client's connection is lost: so is the node's, in the same turn.

        The transport says so before the request is told. The report waits for that, which cancels this; given now, it
        would let the handler finish a request of which nobody knows yet that it is lost.
        """
        self._drop_node()
        # Now: when the request has been told, Twisted's has no channel any more to be unregistered from.
        self._reply.stop_producing()

    # How it ends.

    def _timed_out(self, error: NodeTimedOut) -> None:
        self.abort(error)

    def _cancelled(self, _: Deferred[RelayReport]) -> None:
        if not self._done:
            self._leave()
        elif self._report is not None:
            # It had ended, and only the client's connection was waited for.
            report, self._report = self._report, None
            self._result.callback(report)

    def _leave(self) -> None:
        self._drop_node()
        self._stop()
        now = self._clock.seconds()
        verdict = None if self._passage is None else self._passage.finish(now)[1]
        self._result.callback(self._make_report(Ending("client_disconnected"), verdict, now))
        self._over(self)

    def _settle(self, error: GatewayError | None) -> None:
        reply = self._reply
        if error is not None and reply.status is None:
            self._fail(error)
            return
        passage = self._passage
        assert passage is not None
        over_at = self._clock.seconds()
        last, verdict = passage.finish(over_at)
        if reply.status is None and verdict is not None and verdict.cut:
            # The client has nothing of it yet, and can be told in the words of its API.
            self._fail(NodeTruncated(framed=True))
            return
        for held in (*(() if self._withheld is None else self._withheld.release()), last):
            if held:
                self._write(held)
        if reply.status is None:
            assert self._head is not None
            reply.begin(self._head, body_follows=False)
        assert reply.status is not None
        self._stop()
        answer = self._carriage.answer
        end = ending(reply.status, answer, verdict, error, streaming=passage.streaming, sized=reply.sized)
        if end.frame is not None:
            reply.write(end.frame)
        report = self._make_report(end, verdict, over_at, broke=error is not None)
        if end.broken:
            self._report = report
            reply.break_off().addBoth(self._broken_off)
        else:
            reply.end()
            self._result.callback(report)
            self._over(self)

    def _fail(self, error: GatewayError) -> None:
        self._stop()
        self._result.errback(Failure(error))
        self._over(self)

    def _broken_off(self, result: object) -> None:
        self._over(self)
        report, self._report = self._report, None
        if report is not None:
            self._result.callback(report)

    def _stop(self) -> None:
        self._done = True
        if self._deadlines is not None:
            self._deadlines.stop()
        self._reply.stop_producing()

    def _drop_node(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abort()

    # Parts.

    def _write(self, data: bytes) -> None:
        if self._reply.status is None:
            assert self._head is not None
            self._reply.begin(self._head, body_follows=True)
        self._reply.write(data)

    def _make_report(self, end: Ending, verdict: Verdict | None, over_at: float, *, broke: bool = False) -> RelayReport:
        now = self._clock.seconds()
        return RelayReport(
            outcome=end.outcome,
            status=self._reply.status,
            error_code=end.error_code,
            usage=NO_USAGE if verdict is None else verdict.usage,
            loaded=verdict is not None and verdict.loaded,
            broke=broke,
            first_token_at=None if verdict is None else verdict.first_token_at,
            last_content_at=None if verdict is None else verdict.last_content_at,
            started_at=self._started_at,
            head_at=self._head_at,
            finished_at=now,
            own_seconds=(self._handed_at - self._started_at) + (now - over_at),
            bytes_out=self._reply.bytes_out,
        )


async def _awaited(act: Callable[[], Awaitable[object]]) -> None:
    await act()
