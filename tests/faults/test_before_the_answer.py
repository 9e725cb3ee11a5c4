"""A node that fails, or answers with an error of its own, before a client has heard anything of it."""

from __future__ import annotations

import pytest
from faults.bench import Case
from faults.dialects import SERVED, Dialect
from faults.fault_node import FaultNode
from faults.playbook import Playbook
from faults.servers import FaultServers
from faults.steps import Close, Repeat, Reset, Send, Step, json_head, reads, script
from faults.views import own_error, redirected, refused

OK = b"HTTP/1.1 200 OK\r\n"
MEGABYTE = 1_000_000
every_dialect = pytest.mark.parametrize("dialect", SERVED, ids=str)


# 5: it dies after the body, before the first byte.


@every_dialect
def test_a_node_that_hangs_up(case: Case, dialect: Dialect) -> None:
    """By FIN, after the whole request."""
    refused(case, dialect, reads(Close()), code="node_closed_early")


@every_dialect
def test_a_node_that_is_killed(case: Case, dialect: Dialect) -> None:
    """By RST, after the whole request."""
    refused(case, dialect, reads(Reset()), code="node_closed_early")


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["fin", "rst"])
def test_a_node_that_ends_within_its_head(case: Case, end: Step) -> None:
    """A part of a head is no answer, in any dialect."""
    for dialect in SERVED:
        refused(case, dialect, reads(Send(OK + b"Content-Ty"), end), code="node_closed_early")


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["fin", "rst"])
def test_a_node_that_ends_after_its_head(case: Case, end: Step) -> None:
    """A head alone has not reached the client, who is told with a status of its own."""
    for dialect in SERVED:
        ending = script(dialect.begun(0), end)
        refused(case, dialect, ending, code="node_stream_incomplete", outcome="incomplete")


# 8, and what else is no HTTP.


@pytest.mark.parametrize("line", [b"xyz", b"-5", b"", b"FFFFFFFFFFFFFFFFF", b"5 5"], ids=repr)
def test_a_first_chunk_whose_size_is_none(case: Case, line: bytes) -> None:
    """A malformed chunk size where the body should begin, in each dialect."""
    for dialect in SERVED:
        refused(case, dialect, reads(dialect.head("chunked"), Send(line + b"\r\nhello\r\n")))


NO_HTTP = {
    "garbage": b"\x00\x01\x02\x03 hello\r\n\r\n",
    "a status line without a number": b"HTTP/1.1 OK\r\n\r\n",
    "a status out of range": b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a later HTTP": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "an upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "a length and chunks": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunks and a length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "a negative length": OK + b"Content-Length: -1\r\n\r\n{}",
    "a length that is none": OK + b"Content-Length: two\r\n\r\n{}",
    "a length of 5,000 digits": OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
    "an unknown coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a NUL in a header": OK + b"X: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
    "a header without a colon": OK + b"nonsense\r\nContent-Length: 2\r\n\r\n{}",
    "101 headers": OK + b"X: y\r\n" * 101 + b"Content-Length: 2\r\n\r\n{}",
    "a head above 64 KiB": OK + b"X: " + b"y" * 66_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    "a status line above 64 KiB": b"HTTP/1.1 200 " + b"y" * 66_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("data", NO_HTTP.values(), ids=NO_HTTP)
def test_what_is_no_acceptable_response(case: Case, data: bytes) -> None:
    """In each dialect: 502, nothing of it passed on, and the connection is not used again."""
    for dialect in SERVED:
        message = refused(case, dialect, reads(Send(data), Close()))
        assert message == "the node sent an invalid response"


ENDLESS = {
    "headers": b"X-Filler: " + b"y" * 1000 + b"\r\n",
    "one header": b"y" * 1000,
    "interim answers": b"\r\nHTTP/1.1 100 Continue\r\nX: " + b"y" * 1000 + b"\r\n",
}


@pytest.mark.parametrize("filler", ENDLESS.values(), ids=ENDLESS)
def test_a_head_without_end(case: Case, filler: bytes) -> None:
    """It is given up after 64 KiB, in each dialect; the node, which would go on for ever, is hung up on."""
    with case.memory_within(10 * MEGABYTE):
        for dialect in SERVED:
            refused(case, dialect, reads(Send(OK + b"X: "), Repeat(filler)))


# What is an answer, and none that a client should take for one.


@pytest.fixture(scope="module")
def elsewhere(fault_servers: FaultServers, bench: object) -> FaultNode:
    """Where redirects lead; nobody should ever come."""
    return fault_servers.node(Playbook(), "nobody")


@pytest.mark.parametrize("status", [b"301 Moved Permanently", b"302 Found", b"307 Temporary Redirect"])
def test_a_redirect_is_not_followed(case: Case, elsewhere: FaultNode, status: bytes) -> None:
    """Nothing of the request goes anywhere else, in any dialect; the client has the node's own answer."""
    for dialect in SERVED:
        redirected(case, dialect, elsewhere, status)


BUSY = "server busy, please try again.  maximum pending requests exceeded"


@every_dialect
def test_a_node_that_is_busy(case: Case, dialect: Dialect) -> None:
    """11: 503 in the node's own words, where no other node has the model."""
    busy = dialect.error(b"503 Service Unavailable", BUSY)
    assert own_error(case, dialect, busy, status=503, outcome="unavailable") == BUSY


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(b"400 Bad Request", "client_error"), (b"404 Not Found", "client_error"), (b"500 Sorry", "node_error")],
    ids=["400", "404", "500"],
)
def test_an_error_of_the_node(case: Case, status: bytes, outcome: str) -> None:
    """In the node's own words, in each dialect."""
    number = int(status[:3])
    for dialect in SERVED:
        answers = dialect.error(status, "the engine says no")
        assert own_error(case, dialect, answers, status=number, outcome=outcome) == "the engine says no"


def test_an_error_that_breaks_off(case: Case) -> None:
    """What there is of it passes, and the client sees that there should be more."""
    for dialect in SERVED:
        broken = reads(json_head(100, status=b"500 Internal Server Error"), Send(b'{"error"'), Close())
        answer = case.ask(dialect, case.lay(broken), status=500, code="node_status_500", outcome="node_error")
        assert (answer.status, answer.body, answer.whole, answer.end) == (500, b'{"error"', False, "fin")
