"""The walk against a server that keeps every promise, servers that break one each, strangers and silence."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
import pytest_twisted
from broken_servers import DEFECTS, ForeignServer, MeasuredServer, served
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.web.resource import Resource
from twisted.web.server import Request

from ollamamax.verify.walk import verify

NUMBERS = ["R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R11"]

Walk = Callable[[str], "Deferred[tuple[int, list[str]]]"]


@pytest.fixture
def walk() -> Walk:
    """Runs a verification over real sockets: its exit status and its lines."""
    from twisted.internet import reactor

    async def run(url: str) -> tuple[int, list[str]]:
        lines: list[str] = []
        try:
            await verify(reactor, url, {"X-Key": "a key"}, lines.append, settle_seconds=0.2)  # type: ignore[arg-type]
        except SystemExit as end:
            return int(end.code or 0), lines
        return 0, lines

    return lambda url: Deferred.fromCoroutine(run(url))


@pytest.fixture
def serve() -> Iterator[Callable[[Resource], str]]:
    """Serves resources on free ports of loopback until the test is over."""
    from contextlib import ExitStack

    from twisted.internet import reactor

    with ExitStack() as stack:
        yield lambda resource: stack.enter_context(
            served(resource, lambda port, site: reactor.listenTCP(port, site, interface="127.0.0.1"))  # type: ignore[arg-type]
        )


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_server_that_keeps_its_promises_passes(walk: Walk, serve: Callable[[Resource], str]) -> None:
    """A line per check in their order, the sum, status 0."""
    url = serve(MeasuredServer())
    status, lines = await walk(url)
    assert [line.split()[:2] for line in lines[:-1]] == [["PASS", number] for number in NUMBERS]
    assert lines[-1] == f"all 9 checks passed: {url}"
    assert status == 0


@pytest.mark.parametrize(("defect", "number"), DEFECTS.items())
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_one_defect_fails_its_own_check_and_no_other(
    defect: str, number: str, walk: Walk, serve: Callable[[Resource], str]
) -> None:
    """The line says what was expected; every other promise is still found kept; status 1."""
    status, lines = await walk(serve(MeasuredServer(defect)))
    failed = [line for line in lines[:-1] if line.startswith("FAIL")]
    assert [line.split()[1] for line in failed] == [number], lines
    assert "expected" in failed[0]
    assert len(lines) == len(NUMBERS) + 1
    assert lines[-1] == f"1 of 9 checks failed: {number}"
    assert status == 1


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_foreign_web_server_is_said_to_be_one(walk: Walk, serve: Callable[[Resource], str]) -> None:
    """One line in place of nine; status 1."""
    url = serve(ForeignServer())
    status, lines = await walk(url)
    assert lines == [
        f"FAIL {url}: this is no OllamaMax: GET /api/v1/health gave 200 text/html, and /metrics has no http_* metrics"
    ]
    assert status == 1


class LockedServer(Resource):
    """A server that wants another key."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        assert request.getHeader("X-Key") == "a key"
        request.setResponseCode(401)
        return b""


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_server_that_wants_a_key_is_said_to(walk: Walk, serve: Callable[[Resource], str]) -> None:
    """The line names the variable that holds one."""
    url = serve(LockedServer())
    assert await walk(url) == (1, [f"FAIL {url}: it wants a key; expected one in OLLAMAMAX_API_KEY"])


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_an_unreachable_server_is_one_line(walk: Walk) -> None:
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    status, lines = await walk(url)
    assert status == 1
    assert len(lines) == 1
    assert lines[0].startswith(f"FAIL {url}: no connection: ")
    assert "refused" in lines[0]


class Babbler(Protocol):
    """What listens there speaks no HTTP."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"220 mail.example.org ESMTP\r\n")
        self.transport.loseConnection()


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_server_of_another_protocol_is_one_line(walk: Walk) -> None:
    """No traceback from what it says."""
    from twisted.internet import reactor

    port = reactor.listenTCP(0, Factory.forProtocol(Babbler), interface="127.0.0.1")  # type: ignore[arg-type]
    url = f"http://127.0.0.1:{port.getHost().port}"  # type: ignore[attr-defined]
    status, lines = await walk(url)
    await maybeDeferred(port.stopListening)
    assert (status, lines) == (1, [f"FAIL {url}: GET /api/v1/health got no HTTP answer, or one that broke off"])
