"""Forms on their way to a node, from a client's bytes to the node's, through the whole server in memory."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.web.server import NOT_DONE_YET
from web.door import STREAMED, Door, Taker
from web.house import NODE_PORT, House
from web.memory_site import MemoryConnection

from ollamamax.errors import RequestTimedOut
from ollamamax.settings import Limits, NodeSettings
from ollamamax.web.forms import model_part
from ollamamax.web.site import GatewayRequest
from ollamamax.web.uploads import FormUpload

OpenHouse = Callable[..., House]

PATH = "/v1/audio/transcriptions"
TYPE = "Content-Type: multipart/form-data; boundary=xXx"
FILE = (
    b'--xXx\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n%b\r\n'
)
MODEL = b'--xXx\r\nContent-Disposition: form-data; name="model"\r\n\r\ntiny\r\n'
STREAM = b'--xXx\r\nContent-Disposition: form-data; name="stream"\r\n\r\ntrue\r\n'
KNOWN = MODEL + FILE[:40]
"""As much of a form as tells its model, which ends where the next part begins."""
END = b"--xXx--\r\n"
OURS = model_part(b"xXx", "tiny")
SOUND = bytes(range(256)) * 4
MEGABYTE = 1_000_000


def begin(house: House, length: int | None, *fields: str) -> MemoryConnection:
    """Sends the head of a request whose body the test sends."""
    client = house.connect()
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    head = "\r\n".join([f"POST {PATH} HTTP/1.1", "Host: localhost", *(fields or (TYPE,)), framing, "", ""])
    client.send(head.encode("latin-1"))
    return client


def send(house: House, client: MemoryConnection, data: bytes) -> None:
    """Sends a piece of the body and lets everything that follows at once happen."""
    client.send(data)
    house.reactor.settle()


def used(client: MemoryConnection) -> int:
    """How much of the memory for bodies is taken."""
    return client.channel.site.body_memory.used_bytes


def error(client: MemoryConnection) -> tuple[int, str, object]:
    """Status, message and code of the only answer."""
    (answer,) = client.answers()
    found = json.loads(answer.body)["error"]
    assert found["type"] == ("api_error" if answer.status >= 500 else "invalid_request_error")
    return answer.status, found["message"], found["code"]


# --- carried ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [MODEL + FILE % SOUND + END, FILE % SOUND + STREAM + MODEL + END])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_form_is_carried(house: House, form: bytes, chunked: bool) -> None:
    """The node gets the model that was read, then the client's very bytes, framed as the client framed them."""
    client = begin(house, None if chunked else len(form))
    send(house, client, b"%x\r\n%b\r\n0\r\n\r\n" % (len(form), form) if chunked else form)
    exchange = house.node.exchange
    assert (exchange.line, exchange.body, exchange.complete) == (f"POST {PATH}", OURS + form, True)
    assert b'\r\nContent-Type: multipart/form-data; boundary="xXx"\r\n' in exchange.head
    assert (b"Content-Length: %d" % len(OURS + form) in exchange.head) is not chunked
    exchange.answer(b'{"text":"a b"}')
    (answer,) = client.answers()
    assert (answer.status, answer.body, answer.complete) == (200, b'{"text":"a b"}', True)
    row = house.row
    assert (row.operation, row.endpoint, row.outcome, row.status) == ("transcribe", PATH, "success", 200)
    assert (row.model, row.requested_model, row.attempts) == ("tiny:latest", "tiny", 1)
    assert house.observed == {("POST", PATH, "200"): 1}
    assert used(client) == 0


def test_a_model_elsewhere_counts_for_nothing(house: House) -> None:
    """The query, which Ollama reads before the form, stays here; a second field comes behind the first one."""
    form = MODEL + MODEL.replace(b"tiny", b"secret") + END
    client = house.ask("POST", f"{PATH}?model=secret", form, headers=(TYPE,))
    assert house.node.exchange.line == f"POST {PATH}"
    assert house.node.exchange.body == OURS + form
    house.node.exchange.answer(b"{}")
    assert (client.answers()[0].status, house.row.requested_model) == (200, "tiny")


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 200), max_size=8), st.booleans())
def test_bytes_may_arrive_as_they_like(cuts: list[int], first: bool) -> None:
    """However a form is cut on its way, the node gets all of it, and in order."""
    form = (MODEL + FILE % SOUND if first else FILE % SOUND + MODEL) + END
    with House() as house:
        client = begin(house, len(form))
        position = 0
        for cut in [*cuts, len(form)]:
            send(house, client, form[position : position + cut])
            position += cut
        assert house.node.exchange.body == OURS + form
        house.node.exchange.answer(b"{}")
        assert house.row.outcome == "success"


def test_the_rest_streams(house: House) -> None:
    """Once the model is known nothing is kept: what arrives goes on at once, and never much of it waits here."""
    file = FILE % (b"x" * 6 * MEGABYTE)
    client = begin(house, len(MODEL + file + END))
    send(house, client, MODEL + file[:MEGABYTE])
    exchange = house.node.exchange
    for count in range(1, 4):
        assert len(exchange.body) == len(OURS + MODEL) + count * MEGABYTE
        assert used(client) == 0
        send(house, client, file[count * MEGABYTE : (count + 1) * MEGABYTE])
    send(house, client, file[4 * MEGABYTE :] + END)
    assert exchange.body == OURS + MODEL + file + END
    exchange.answer(b"{}")
    assert client.answers()[0].status == 200


def test_a_slow_node_slows_its_client(house: House) -> None:
    """What the node does not take is not read from the client, neither of what was kept nor of what comes."""
    kept = FILE % (b"x" * 2 * MEGABYTE) + MODEL
    rest = FILE % (b"y" * 4 * MEGABYTE) + END
    client = begin(house, len(kept + rest))
    house.reactor.silent.add(NODE_PORT)
    send(house, client, kept)
    client.send(rest)
    assert len(client.unread) > 3 * MEGABYTE
    assert len(kept) <= used(client) <= len(kept) + 65536
    house.leave(client)
    assert used(client) == 0
    assert house.row.outcome == "client_disconnected"


def test_a_whole_answer_may_take_its_time(house: House) -> None:
    """The words come when all of them are known: there is no limit for a first byte, as for a stream."""
    client = house.ask("POST", PATH, MODEL + FILE % SOUND + STREAM + END, headers=(TYPE,))
    house.pass_time(400.0)
    house.node.exchange.answer(b"a b", kind="text/plain")
    (answer,) = client.answers()
    assert (answer.status, answer.body, answer.header("Content-Type")) == (200, b"a b", "text/plain")


# --- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (("X: y",), "request Content-Type isn't multipart/form-data"),
        (("Content-Type: application/json",), "request Content-Type isn't multipart/form-data"),
        (("Content-Type: multipart/form-data",), "no multipart boundary param in Content-Type"),
        ((TYPE, TYPE), "request Content-Type isn't multipart/form-data"),
    ],
)
def test_no_form(house: House, fields: tuple[str, ...], words: str) -> None:
    """It is refused by its head, without a 100 to a client that waits for one."""
    client = begin(house, 100, *fields, "Expect: 100-continue")
    house.reactor.settle()
    assert error(client) == (400, f"failed to parse multipart form: {words}", None)
    assert house.row.outcome == "client_error"
    assert house.observed == {("POST", PATH, "400"): 1}


def test_a_client_that_waits_for_a_word_gets_it(house: House) -> None:
    """A head that is in order is told to go on before there is a node: without the body there is no model."""
    form = MODEL + END
    client = begin(house, len(form), TYPE, "Expect: 100-continue")
    assert client.received == b"HTTP/1.1 100 Continue\r\n\r\n"
    send(house, client, form)
    house.node.exchange.answer(b"{}")
    assert [answer.status for answer in client.answers()] == [100, 200]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (b"", "missing request body"),
        (FILE % SOUND + END, "model is required"),
        (MODEL.replace(b"tiny", b"") + END, "model is required"),
        (MODEL.replace(b"tiny", b"\xff") + END, "model: invalid UTF-8"),
        (MODEL.replace(b"tiny", b"x" * 2000) + END, "model: the name is too long"),
        (FILE % SOUND, "failed to parse multipart form: unexpected EOF"),
        (b'{"model":"tiny"}', "failed to parse multipart form: it does not begin with its boundary"),
    ],
)
def test_a_form_without_a_model(house: House, form: bytes, words: str) -> None:
    """It is refused in OpenAI's dialect, with a row in the ledger, and no node hears of it."""
    client = house.ask("POST", PATH, form, headers=(TYPE,))
    assert error(client) == (400, words, None)
    assert house.node.exchanges == []
    assert (house.row.outcome, house.row.operation, house.row.attempts) == ("client_error", "transcribe", 0)
    assert used(client) == 0


def test_an_absent_model(house: House) -> None:
    """It is known before the file has come, and answered then; the connection closes, as nobody wants the rest."""
    client = begin(house, 50 * MEGABYTE)
    send(house, client, KNOWN.replace(b"tiny", b"Absent"))
    (answer,) = client.answers()
    assert (answer.status, answer.header("Connection")) == (404, "close")
    assert json.loads(answer.body)["error"] == {
        "message": "model 'Absent' not found",
        "type": "not_found_error",
        "param": None,
        "code": None,
    }
    assert used(client) == 0


@pytest.mark.parametrize(("size", "found"), [(900, True), (1100, False)])
def test_the_model_may_come_last_within_the_limit_of_a_body(open_house: OpenHouse, size: int, found: bool) -> None:
    """What comes before it is kept; a file that is longer than what is kept has to come behind it."""
    house = open_house(limits=Limits(max_body_bytes=1024 + len(MODEL)))
    form = FILE % (b"x" * size) + MODEL + END
    client = house.ask("POST", PATH, form, headers=(TYPE,))
    if found:
        assert house.node.exchange.body == OURS + form
        house.node.exchange.answer(b"{}")
        assert client.answers()[0].status == 200
    else:
        assert error(client) == (413, "the request body is too large: `model` has to come before the file", None)
        assert house.node.exchanges == []
    assert used(client) == 0


def test_what_is_kept_is_kept_in_the_memory_of_all_bodies(open_house: OpenHouse) -> None:
    """Where that is exhausted, a 503 that may be tried again."""
    house = open_house(limits=Limits(max_body_bytes=MEGABYTE, body_memory_bytes=MEGABYTE))
    first = begin(house, 2 * MEGABYTE)
    send(house, first, FILE % (b"x" * 700_000))
    assert used(first) > 700_000
    second = begin(house, 2 * MEGABYTE)
    send(house, second, FILE % (b"x" * 400_000))
    assert error(second)[::2] == (503, "body_memory_exhausted")
    assert 700_000 < used(first) < 800_000
    house.leave(first)
    assert used(first) == 0


@pytest.mark.parametrize("announced", [True, False])
def test_a_form_above_the_limit_of_a_file(open_house: OpenHouse, announced: bool) -> None:
    """It is refused by its length, or cut where it is too long, at the node too."""
    house = open_house(limits=Limits(max_blob_bytes=1000))
    client = begin(house, 1001 if announced else None)
    if not announced:
        send(house, client, b"%x\r\n%b\r\n" % (len(KNOWN), KNOWN))
        send(house, client, b"3e8\r\n" + b"x" * 1000)
        assert house.node.exchange.dropped
    house.reactor.settle()
    assert error(client) == (413, "the request body is too large", None)
    assert house.observed == {("POST", PATH, "413"): 1}


# --- clients and nodes that fail -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [FILE % SOUND, MODEL, KNOWN])
def test_a_client_that_is_too_slow(house: House, sent: bytes) -> None:
    """A form has to keep the pace of every other body, before its model as behind it."""
    client = begin(house, MEGABYTE)
    send(house, client, sent)
    house.pass_time(25.0)
    assert error(client) == (408, "the request did not arrive in time", None)
    assert all(exchange.dropped for exchange in house.node.exchanges)
    assert house.row.outcome == "client_error"
    assert house.observed == {("POST", PATH, "408"): 1}
    assert used(client) == 0


@pytest.mark.parametrize("sent", [b"", FILE % SOUND, KNOWN, FILE % SOUND + KNOWN, MODEL + FILE % SOUND])
@pytest.mark.parametrize("connected", [True, False])
def test_a_client_that_leaves_its_upload(house: House, sent: bytes, connected: bool) -> None:
    """In the same turn the node is let go and the memory given back; it is nobody's failure."""
    if not connected:
        house.reactor.silent.add(NODE_PORT)
    client = begin(house, MEGABYTE)
    send(house, client, sent)
    house.leave(client)
    assert all(exchange.dropped for exchange in house.node.exchanges)
    assert not house.rooms.fleet.nodes["ollama"].in_flight
    assert used(client) == 0
    assert (house.row.outcome, house.row.status) == ("client_disconnected", None)
    assert house.observed == {("POST", PATH, "499"): 1}


@pytest.mark.parametrize("form", [MODEL + FILE % SOUND + END, KNOWN])
def test_a_node_that_dies(house: House, form: bytes) -> None:
    """Whether it had the whole form or a part: a 502 that is not to be tried again; what was sent is gone."""
    client = begin(house, len(MODEL + FILE % SOUND + END))
    send(house, client, form)
    house.node.exchange.reset()
    assert error(client)[::2] == (502, "node_closed_early")
    assert client.answers()[0].header("X-Should-Retry") == "false"
    assert house.row.outcome == "node_error"
    assert used(client) == 0


def test_a_node_that_answers_before_it_has_all(house: House) -> None:
    """Its answer passes, and the connection closes, since the rest of the form is nobody's."""
    client = begin(house, MEGABYTE)
    send(house, client, KNOWN)
    house.node.exchange.answer(b'{"error":{"message":"file is required"}}', "400 Bad Request")
    (answer,) = client.answers()
    assert (answer.status, answer.header("Connection")) == (400, "close")
    assert answer.body == b'{"error":{"message":"file is required"}}'
    assert used(client) == 0


def test_while_its_node_is_down(house: House) -> None:
    """A 503 once the model is known."""
    house.node.hangs = True
    house.pass_time(20.0)
    client = begin(house, MEGABYTE)
    send(house, client, KNOWN)
    assert error(client)[::2] == (503, "no_node_available")


def test_a_form_goes_where_its_model_is(open_house: OpenHouse) -> None:
    """To the node with the fewest requests in flight of those that have it."""
    nodes = tuple(
        NodeSettings(name=name, url=f"http://127.0.0.1:{port}") for name, port in (("a", NODE_PORT), ("b", 11435))
    )
    house = open_house(start=False, nodes=nodes)
    house.reactor.listenTCP(11435, house.node)
    house.start()
    clients = [house.ask("POST", PATH, MODEL + END, headers=(TYPE,)) for _ in range(2)]
    assert [len(node.in_flight) for node in house.rooms.fleet.nodes.values()] == [1, 1]
    for exchange in house.node.exchanges:
        exchange.answer(b"{}")
    assert [client.answers()[0].status for client in clients] == [200, 200]


# --- between the model and the node ----------------------------------------------------------------------------------


class Waiting:
    """A form whose model is known, while nobody takes it yet."""

    def __init__(self, kept: bytes, *, length: int = 10 * MEGABYTE) -> None:
        self.models: list[str] = []
        self.door = Door(self.render, policy=STREAMED)
        self.client = self.door.connect()
        head = f"POST / HTTP/1.1\r\nHost: a\r\n{TYPE}\r\nContent-Length: {length}\r\n\r\n"
        self.client.send(head.encode() + kept)

    def render(self, request: GatewayRequest) -> int:
        assert request.incoming is not None
        self.upload = FormUpload(request, request.incoming, 5 * MEGABYTE)
        self.upload.model().addCallback(self.models.append)
        return NOT_DONE_YET


class Hesitant(Taker):
    """Takes a body, and asks for no more after each piece."""

    def __init__(self, upload: FormUpload) -> None:
        super().__init__()
        self._upload = upload

    def body_data(self, data: bytes) -> None:
        super().body_data(data)
        self._upload.pause()


def test_a_form_that_fails_while_nobody_takes_it() -> None:
    """Whoever takes it then hears why."""
    waiting = Waiting(KNOWN)
    assert waiting.models == ["tiny"]
    waiting.client.turn(25.0)
    taker = Taker()
    waiting.upload.deliver_to(taker)
    assert [type(end) for end in taker.ends] == [RequestTimedOut]
    assert taker.data == b""


def test_a_form_that_fails_while_what_was_kept_is_sent() -> None:
    """The rest of what was kept is of no use to anybody, and is not sent."""
    waiting = Waiting(FILE % (b"x" * MEGABYTE) + KNOWN)
    taker = Hesitant(waiting.upload)
    waiting.upload.deliver_to(taker)
    waiting.upload.resume()
    for _ in range(3):
        waiting.client.turn(10.0)
    waiting.upload.resume()
    assert [type(end) for end in taker.ends] == [RequestTimedOut]
    assert len(taker.data) == len(OURS) + 65536


def test_what_was_kept_is_sent_as_it_is_taken() -> None:
    """A piece for each time that more is asked for, and the client is read again when all of it has gone."""
    form = FILE % (b"x" * MEGABYTE) + MODEL + FILE % (b"y" * MEGABYTE) + END
    waiting = Waiting(form, length=len(form))
    taker = Hesitant(waiting.upload)
    memory = waiting.door.site.body_memory
    waiting.upload.deliver_to(taker)
    assert (bytes(taker.data), waiting.upload.length) == (OURS, len(OURS + form))
    waiting.upload.resume()
    assert len(taker.data) == len(OURS) + 65536
    assert memory.used_bytes > MEGABYTE
    for _ in range(60):
        waiting.upload.resume()
        waiting.client.turn()
    assert taker.data == OURS + form
    assert taker.ends == ["complete"]
    assert memory.used_bytes == 0


@pytest.mark.parametrize("taken", [False, True])
def test_a_form_that_is_abandoned(taken: bool) -> None:
    """Nothing of it is kept, and nobody hears of it any more."""
    waiting = Waiting(FILE % (b"x" * MEGABYTE) + KNOWN)
    taker = Hesitant(waiting.upload)
    if taken:
        waiting.upload.deliver_to(taker)
        waiting.upload.resume()
    waiting.upload.abandon()
    assert waiting.door.site.body_memory.used_bytes == 0
    waiting.client.send(b"more")
    waiting.upload.resume()
    assert len(taker.data) == (len(OURS) + 65536 if taken else 0)
    assert taker.ends == []
