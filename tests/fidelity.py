"""Exchanges as bytes, and what two of them have to have in common.

An exchange is what one connection brought back for one request. Two are alike when a client could not tell them apart
but by what is made up anew each time: texts, numbers, times. The comparing is pure; the senders bring the bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from ollamamax.simulator.settings import TINY, SimulatorSettings

RECORDINGS = Path(__file__).parent / "recordings"
FAST = SimulatorSettings(
    load_seconds=0.02,
    prompt_seconds=0.001,
    tokens_per_second=2000.0,
    overhead_seconds=0.001,
    pull_bytes_per_second=590_000.0,
    registry=(TINY, attrs.evolve(TINY, name="127.0.0.1:5055/x/tiny")),
)
"""A simulator with what the recorded requests ask for, and no slower than it has to be."""

SAME_VALUE = frozenset(
    [
        "error",
        "model",
        "name",
        "done",
        "done_reason",
        "role",
        "status",
        "version",
        "digest",
        "total",
        "completed",
        "capabilities",
        "format",
        "disabled",
        "source",
        "function",
        "parameters",
        "type",
        # Of the compatible APIs.
        "background",
        "code",
        "content_index",
        "finish_reason",
        "index",
        "max_output_tokens",
        "message",
        "object",
        "output_index",
        "owned_by",
        "param",
        "partial_json",
        "sequence_number",
        "service_tier",
        "stop_reason",
        "store",
        "summary_index",
        "system_fingerprint",
        "temperature",
        "tool_choice",
        "top_p",
        "truncation",
    ]
)
"""Members whose very value is part of the behaviour; of the others only the type is."""

ONE_BY_ONE = frozenset(["choices", "content", "output", "tool_calls"])
"""Lists whose elements are compared each with its like; of the others it is what kinds of elements there are."""

EVENT_STREAM = "text/event-stream"
_EVENT = re.compile(rb"(?:event: (?P<name>[^\r\n]+)\n)?data: (?P<data>[^\r\n]+)\n\n")


@attrs.frozen
class ServerEvent:
    """One event of an event stream.

    Attributes:
        name: what its `event` line says; empty where there is none.
        data: what its `data` line says.
    """

    name: str
    data: str

    @property
    def document(self) -> object:
        """The data's JSON value; the data itself where it is none (`[DONE]`)."""
        try:
            return json.loads(self.data)
        except json.JSONDecodeError:
            return self.data


def events_of(data: bytes) -> list[ServerEvent]:
    """The events in some bytes, which have to be whole ones, written as Ollama writes them.

    Raises:
        ValueError: they are not.
    """
    events, place = [], 0
    while place < len(data):
        found = _EVENT.match(data, place)
        if found is None:
            raise ValueError(f"no event: {data[place : place + 100]!r}")
        events.append(ServerEvent((found["name"] or b"").decode(), found["data"].decode()))
        place = found.end()
    return events


@attrs.frozen
class Exchange:
    """One answer taken apart.

    Attributes:
        status: the code.
        reason: the words after it.
        headers: names in lower case and values, in order.
        framing: how the body is delimited; `none` where the head says nothing of it.
        parts: the chunks, or the body as one part.
        end: how the connection ended: `fin` or `rst`; `broken` where the body was not complete.
    """

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    framing: Literal["chunked", "length", "none"]
    parts: tuple[bytes, ...]
    end: str

    def header(self, name: str) -> str:
        """A header's value, empty where it is missing."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def body(self) -> bytes:
        """The body put together again."""
        return b"".join(self.parts)

    @property
    def documents(self) -> list[object]:
        """The JSON values of the body, line by line."""
        return [json.loads(line) for line in self.body.splitlines() if line.strip()]

    @property
    def events(self) -> list[ServerEvent]:
        """The events of an event stream."""
        return events_of(self.body)


@attrs.frozen
class Recorded:
    """One recorded exchange."""

    name: str
    version: str
    request: bytes
    exchange: Exchange


def recordings(version: str) -> list[Recorded]:
    """The recorded exchanges with one version of Ollama, in order."""
    found = []
    for line in (RECORDINGS / f"ollama-{version}.jsonl").read_text().splitlines():
        record = json.loads(line)
        answer = "".join(text for _, text in record["response"]).encode("latin-1")
        request = record["request"].encode("latin-1")
        head_only = request.startswith(b"HEAD ")
        exchange = parsed(answer, record["end"], head_only=head_only)
        found.append(Recorded(record["name"], record["ollama"], request, exchange))
    return found


def parsed(data: bytes, end: str, *, head_only: bool = False) -> Exchange:
    """An exchange from the bytes that a connection brought until it ended."""
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        raise ValueError(f"no complete head: {data[:80]!r}")
    first, *lines = head.decode("latin-1").split("\r\n")
    _, code, reason = first.split(" ", 2)
    headers = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
    fields = dict(headers)
    framing: Literal["chunked", "length", "none"] = "none"
    parts: tuple[bytes, ...] = (body,) if body else ()
    if fields.get("transfer-encoding") == "chunked":
        framing = "chunked"
        chunks, complete = _chunks(body)
        parts = tuple(chunks)
        end = end if complete else "broken"
    elif "content-length" in fields:
        framing = "length"
        if not head_only and len(body) != int(fields["content-length"]):
            end = "broken"
    return Exchange(int(code), reason, headers, framing, parts, end)


def _chunks(body: bytes) -> tuple[list[bytes], bool]:
    chunks: list[bytes] = []
    start = 0
    while (line_end := body.find(b"\r\n", start)) >= 0:
        length = int(body[start:line_end], 16)
        start = line_end + 2
        if length == 0:
            return chunks, body[start:] == b"\r\n"
        if len(body) < start + length + 2:
            return chunks, False
        chunks.append(body[start : start + length])
        start += length + 2
    return chunks, False


def differences(wanted: Exchange, found: Exchange, *, ignored_headers: Sequence[str] = ()) -> list[str]:
    """In what one exchange differs from another where it must not; empty if they are alike.

    Args:
        wanted: the recorded one.
        found: the one to judge.
        ignored_headers: names, in lower case, of headers that may be added.
    """
    told = list(_plain_differences(wanted, found))
    left, right = (_header_values(each, (*ignored_headers, "date")) for each in (wanted, found))
    told += [f"header missing: {name}: {value}" for name, value in _without(left, right)]
    told += [f"header added: {name}: {value}" for name, value in _without(right, left)]
    return told + list(_body_differences(wanted, found))


def _plain_differences(wanted: Exchange, found: Exchange) -> Iterator[str]:
    for name in ("status", "reason", "framing", "end"):
        left, right = getattr(wanted, name), getattr(found, name)
        if left != right:
            yield f"{name}: {right!r} instead of {left!r}"


def _header_values(exchange: Exchange, ignored: Sequence[str]) -> list[tuple[str, str]]:
    """The headers to compare; the length of JSON and of events may vary with what they say."""
    media_type = exchange.header("content-type")
    varies = "json" in media_type or media_type == EVENT_STREAM
    return sorted(
        (name, "*" if name == "content-length" and varies else value)
        for name, value in exchange.headers
        if name not in ignored
    )


def _without(some: list[tuple[str, str]], others: list[tuple[str, str]]) -> list[tuple[str, str]]:
    rest = list(others)
    missing = []
    for each in some:
        if each in rest:
            rest.remove(each)
        else:
            missing.append(each)
    return missing


def _body_differences(wanted: Exchange, found: Exchange) -> Iterator[str]:
    if len(wanted.parts) != len(found.parts):
        yield f"parts of the body: {len(found.parts)} instead of {len(wanted.parts)}"
        return
    if wanted.header("content-type") == EVENT_STREAM:
        for place, (left, right) in enumerate(zip(wanted.parts, found.parts, strict=True)):
            yield from _event_differences(left, right, f"part {place + 1}")
        return
    if "json" not in wanted.header("content-type"):
        if wanted.body != found.body:
            yield f"body: {found.body[:100]!r} instead of {wanted.body[:100]!r}"
        return
    for place, (left, right) in enumerate(zip(wanted.parts, found.parts, strict=True)):
        where = f"part {place + 1}"
        if left.endswith(b"\n") != right.endswith(b"\n") or left.count(b"\n") != right.count(b"\n"):
            yield f"{where}: line ends differ"
        try:
            yield from value_differences(json.loads(left), json.loads(right), where)
        except json.JSONDecodeError:
            yield f"{where}: no JSON value of its own: {right[:100]!r}"


def _event_differences(wanted: bytes, found: bytes, where: str) -> Iterator[str]:
    """In what the events in one part differ: their names and number, and their data as JSON values."""
    try:
        left, right = events_of(wanted), events_of(found)
    except ValueError as error:
        yield f"{where}: {error}"
        return
    names = [[event.name for event in events] for events in (left, right)]
    if names[0] != names[1]:
        yield f"{where}: events {names[1]} instead of {names[0]}"
        return
    for place, (one, other) in enumerate(zip(left, right, strict=True)):
        values = one.document, other.document
        if any(isinstance(value, str) for value in values):
            if values[0] != values[1]:
                yield f"{where}, event {place + 1}: {values[1]!r} instead of {values[0]!r}"
        else:
            yield from value_differences(*values, f"{where}, event {place + 1}")


def value_differences(wanted: object, found: object, where: str, name: str = "") -> Iterator[str]:
    """In what a JSON value differs in keys and types, and in the values that matter."""
    if shape(wanted, top=True) != shape(found, top=True):
        yield f"{where}: {shape(found, top=True)} instead of {shape(wanted, top=True)}"
    elif isinstance(wanted, dict) and isinstance(found, dict):
        if list(wanted) != list(found):
            yield f"{where}: members {list(found)} instead of {list(wanted)}"
        for key in wanted.keys() & found.keys():
            yield from value_differences(wanted[key], found[key], f"{where}.{key}", key)
    elif isinstance(wanted, list) and isinstance(found, list):
        yield from _list_differences(wanted, found, where, name)
    elif name in SAME_VALUE and wanted != found:
        yield f"{where}: {found!r} instead of {wanted!r}"


def _list_differences(wanted: list[object], found: list[object], where: str, name: str) -> Iterator[str]:
    left, right = ({shape(each) for each in items} for items in (wanted, found))
    if left != right:
        yield f"{where}[]: {sorted(map(str, right))} instead of {sorted(map(str, left))}"
    elif name in ONE_BY_ONE:
        if len(wanted) != len(found):
            yield f"{where}: {len(found)} elements instead of {len(wanted)}"
        for place, (one, other) in enumerate(zip(wanted, found, strict=False)):
            yield from value_differences(one, other, f"{where}[{place}]")
    elif name in SAME_VALUE and wanted != found:
        yield f"{where}: {found!r} instead of {wanted!r}"


def shape(value: object, *, top: bool = False) -> object:
    """A value's type, and those of all that it holds; of its top alone if so asked."""
    if isinstance(value, dict):
        return "object" if top else tuple(sorted((key, shape(each)) for key, each in value.items()))
    if isinstance(value, list):
        return "list" if top else ("list", frozenset(shape(each) for each in value))
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else type(value).__name__


def request_bytes(
    method: str, path: str, document: object = None, *, headers: Sequence[tuple[str, str]] = (), close: bool = True
) -> bytes:
    """A request as bytes; a document that is not bytes is sent as JSON."""
    body = b"" if document is None else document if isinstance(document, bytes) else json.dumps(document).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1:11434"]
    if document is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class _Collector(Protocol):
    def __init__(self, request: bytes) -> None:
        self._request = request
        self._data: list[bytes] = []
        self.ended: Deferred[tuple[bytes, str]] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        self._data.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        end = "fin" if reason.check(ConnectionDone) else "rst" if reason.check(ConnectionLost) else "broken"
        self.ended.callback((b"".join(self._data), end))


async def received(reactor: object, host: str, port: int, request: bytes) -> tuple[bytes, str]:
    """Send a request over a connection of its own and take what comes until it ends, and how: `fin` or `rst`."""
    collector = _Collector(request)
    await connectProtocol(TCP4ClientEndpoint(reactor, host, port), collector)
    return await collector.ended


async def exchanged(reactor: object, host: str, port: int, request: bytes) -> Exchange:
    """The same as an exchange."""
    data, end = await received(reactor, host, port, request)
    return parsed(data, end, head_only=request.startswith(b"HEAD "))


class MemoryConnection:
    """A connection to a site without sockets.

    Args:
        factory: the site.
        request: what is sent on it at once.
    """

    def __init__(self, factory: IProtocolFactory, request: bytes) -> None:
        self.transport = StringTransport(
            hostAddress=IPv4Address("TCP", "127.0.0.1", 11434), peerAddress=IPv4Address("TCP", "127.0.0.1", 50000)
        )
        protocol = factory.buildProtocol(self.transport.getPeer())
        assert protocol is not None
        self._protocol = protocol
        self._head_only = request.startswith(b"HEAD ")
        protocol.makeConnection(self.transport)
        protocol.dataReceived(request)

    @property
    def data(self) -> bytes:
        """All that came back so far."""
        return bytes(self.transport.value())

    @property
    def finished(self) -> bool:
        """Whether the other side has closed."""
        return self.transport.disconnecting or self.transport.disconnected

    def leave(self) -> None:
        """The client closes."""
        self._protocol.connectionLost(Failure(ConnectionDone()))

    def exchange(self) -> Exchange:
        """What came back, as an exchange; the connection has to be finished."""
        return parsed(self.data, "fin" if self.finished else "broken", head_only=self._head_only)


def advance_until_finished(clock: Clock, connections: Sequence[MemoryConnection], *, seconds: float = 60.0) -> None:
    """Let the time pass from timer to timer until all connections are finished, at most so long.

    Raises:
        AssertionError: one is not.
    """
    last = clock.seconds() + seconds
    while not all(connection.finished for connection in connections):
        due = [call.getTime() for call in clock.getDelayedCalls()]
        assert due, "nothing is under way any more"
        assert min(due) <= last, "not finished in time"
        clock.advance(max(0.0, min(due) - clock.seconds()))
