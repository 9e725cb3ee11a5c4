"""What a node is sent of an inference request: usage asked for, zstd decoded, within bounds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest
from web.house import House
from web.memory_site import MemoryConnection

from ollamamax.settings import Limits
from ollamamax.web.incoming import BodyMemory

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

OpenHouse = Callable[..., House]

CHAT = b'{"model":"tiny","messages":[{"role":"user","content":"x"}]}'
ZSTD = ("Content-Encoding: zstd",)
DECODED = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages"]


def memory_of(client: MemoryConnection) -> BodyMemory:
    """The memory that all bodies share."""
    return client.channel.site.body_memory


# --- usage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (b'"stream":true', b'"stream":true,"stream_options":{"include_usage":true}'),
        (b'"STREAM": true, "stream_options": null', b'"STREAM":true,"stream_options":{"include_usage":true}'),
        (
            b'"stream":true,"Stream_Options":{"include_usage":false}',
            b'"stream":true,"Stream_Options":{"include_usage":true}',
        ),
    ],
)
def test_a_stream_is_asked_for_its_usage(house: House, path: str, options: bytes, sent: bytes) -> None:
    """Where the client did not ask, the gateway does; every other value goes on as it came."""
    house.ask("POST", path, b'{"model":"tiny","seed": 1.0e0 ,"messages":[ 1 ],%b}' % options)
    exchange = house.node.exchange
    assert exchange.body == b'{"model":"tiny","seed":1.0e0,"messages":[ 1 ],%b}' % sent
    assert f"Content-Length: {len(exchange.body)}".encode() in exchange.head


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/v1/chat/completions", b'"stream": false'),
        ("/v1/chat/completions", b'"stream": null'),
        ("/v1/chat/completions", b'"x": true'),
        ("/v1/chat/completions", b'"stream": true, "stream_options": {"include_usage": true}'),
        ("/v1/chat/completions", b'"stream": true, "stream_options": {"INCLUDE_usage" :true}'),
        ("/v1/chat/completions", b'"stream": true, "stream_options": {"include_usage": "yes"}'),
        ("/v1/chat/completions", b'"stream": true, "stream_options": [1]'),
        ("/v1/completions", b'"stream": true, "stream_options": "x"'),
        ("/v1/responses", b'"stream": true'),
        ("/v1/messages", b'"stream": true'),
        ("/v1/embeddings", b'"stream": true'),
        ("/api/chat", b'"stream": true'),
    ],
)
def test_no_other_body_is_touched(house: House, path: str, options: bytes) -> None:
    """What asks already, what streams nothing, what tells its usage anyway, and what the node will refuse by itself."""
    data = b'{"model" : "tiny", "messages": [1], %b}' % options
    house.ask("POST", path, data)
    assert house.node.exchange.body == data


def test_the_options_of_a_stream_are_told_once(house: House) -> None:
    """Two keys that Ollama takes for one could say two things."""
    body = b'{"model":"tiny","stream":true,"stream_options":{"include_usage":true,"INCLUDE_USAGE":false}}'
    assert house.answer("POST", "/v1/chat/completions", body).status == 400
    assert house.node.exchanges == []


# --- zstd ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DECODED)
@pytest.mark.parametrize("coding", ["zstd", " ZSTD "])
def test_zstd_is_decoded(house: House, path: str, coding: str) -> None:
    """The node gets the plain body, with its length and without a word of zstd."""
    client = house.ask("POST", path, zstd.compress(CHAT), headers=(f"Content-Encoding: {coding}",))
    exchange = house.node.exchange
    assert exchange.body == CHAT
    assert b"encoding" not in exchange.head.lower()
    assert memory_of(client).used_bytes == len(CHAT)
    exchange.answer(b"{}")
    assert client.answers()[0].status == 200
    assert memory_of(client).used_bytes == 0


@pytest.mark.parametrize(
    ("path", "coding"),
    [
        *((path, "zstd, gzip") for path in DECODED),
        ("/v1/chat/completions", "gzip"),
        ("/v1/chat/completions", "gzip, zstd"),
        ("/v1/chat/completions", "zstd, zstd"),
        ("/v1/chat/completions", "zstd\r\nContent-Encoding: br"),
        ("/v1/audio/transcriptions", "zstd"),
        ("/api/chat", "zstd"),
        ("/api/v1/inference/chat", "zstd"),
        ("/api/show", "zstd"),
    ],
)
def test_no_other_coding_is(house: House, path: str, coding: str) -> None:
    """Ollama decodes one coding on some routes; what it would not decode the gateway does not either."""
    answer = house.answer("POST", path, zstd.compress(CHAT), headers=(f"Content-Encoding: {coding}",))
    assert answer.status == 415
    assert b"unsupported Content-Encoding" in answer.body
    assert house.node.exchanges == []


def test_what_is_decoded_is_what_is_checked(house: House) -> None:
    """Usage is asked for in it, keys are compared in it, and a body that is nothing is missing."""
    path = "/v1/chat/completions"
    house.ask("POST", path, zstd.compress(b'{"model":"tiny","stream":true}'), headers=ZSTD)
    assert json.loads(house.node.exchange.body)["stream_options"] == {"include_usage": True}
    for body, words in (
        (zstd.compress(b'{"model":"tiny","MODEL":"x"}'), b"two keys"),
        (zstd.compress(b""), b"missing request body"),
        (b"", b"missing request body"),
        (zstd.compress(CHAT)[:-1], b"failed to decompress zstd body"),
        (CHAT, b"failed to decompress zstd body"),
    ):
        answer = house.answer("POST", path, body, headers=ZSTD)
        assert (answer.status, words in answer.body) == (400, True), body
    assert len(house.node.exchanges) == 1


@pytest.mark.parametrize(("size", "status"), [(5000, 200), (5001, 413), (50_000_000, 413)])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_the_limit_is_that_of_the_decoded_body(open_house: OpenHouse, path: str, size: int, status: int) -> None:
    """However short it was on the wire, and no matter what it is longer by."""
    house = open_house(limits=Limits(max_body_bytes=5000))
    client = house.ask("POST", path, zstd.compress(CHAT.ljust(size)), headers=ZSTD)
    if status == 200:
        house.node.exchange.answer(b"{}")
    (answer,) = client.answers()
    assert answer.status == status
    assert (b"request_too_large" in answer.body) is (status == 413 and path == "/v1/messages")
    assert memory_of(client).used_bytes == 0


def test_the_memory_of_all_bodies_counts_what_is_decoded(open_house: OpenHouse) -> None:
    """A body that does not fit there is a 503, and leaves nothing behind; one that fits is held until it is sent."""
    house = open_house(limits=Limits(max_body_bytes=1_000_000, body_memory_bytes=1_000_000))
    held = house.ask("POST", "/v1/chat/completions", CHAT.ljust(900_000))
    memory = memory_of(held)
    assert memory.used_bytes == 900_000
    answer = house.answer("POST", "/v1/chat/completions", zstd.compress(CHAT.ljust(200_000)), headers=ZSTD)
    assert (answer.status, answer.header("Retry-After")) == (503, "1")
    assert json.loads(answer.body)["error"]["code"] == "body_memory_exhausted"
    assert memory.used_bytes == 900_000
    house.leave(held)
    assert memory.used_bytes == 0


# --- the end user ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "named", "end_user"),
    [
        ("/v1/chat/completions", {"user": "ada"}, "ada"),
        ("/v1/completions", {"user": "ada"}, "ada"),
        ("/v1/embeddings", {"user": "a" * 600}, "a" * 512),
        ("/v1/responses", {"user": "ada"}, "ada"),
        ("/v1/messages", {"metadata": {"user_id": "ada"}, "user": "bob"}, "ada"),
        ("/v1/chat/completions", {"user": ["ada"]}, None),
        ("/api/chat", {"user": "ada"}, None),
    ],
)
def test_the_user_that_a_client_names(house: House, path: str, named: dict[str, object], end_user: str | None) -> None:
    """It is in the account, within bounds, in each API where that API has it; the node gets the body as it came."""
    body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "x"}], "input": "x", **named}).encode()
    house.ask("POST", path, body)
    assert house.node.exchange.body == body
    assert house.store.ledger.begun[-1].end_user == end_user
