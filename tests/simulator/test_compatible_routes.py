"""The compatible routes: refusals in each layer's words and framing, and what no recording shows.

What is expected here was answered by a real 0.33, or stands in its source where its engine would have been needed.
"""

from __future__ import annotations

import base64
import json
import struct
import sys
from typing import Any

import attrs
import pytest
from simulator.asking import asked, sent, told, world
from simulator.spoken import APIS, BY_PATH, spoken
from simulator.world import World

from ollamamax.simulator.encoded_bodies import MOST_BYTES
from ollamamax.simulator.settings import THINKER, TINY, parsed_model

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
MESSAGES, EMBEDDINGS, TRANSCRIPTIONS = "/v1/messages", "/v1/embeddings", "/v1/audio/transcriptions"
HELLO = [{"role": "user", "content": "hello LIMIT 6"}]
CHARSET, BARE = "application/json; charset=utf-8", "application/json"
IMAGE = "data:image/png;base64,aGVsbG8="
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}
NAMED = {"id": "call_1", "function": {"name": "get_weather", "arguments": "{}"}}


def test_refused_by_the_dialect() -> None:
    """Its own checks: 400 with a charset and a length, no newline at the end."""
    for route, document, words in (
        (CHAT, b"", "EOF"),
        (CHAT, b'{"model": "tiny",}', "invalid character '}' looking for beginning of object key string"),
        (CHAT, {"model": "tiny"}, "[] is too short - 'messages'"),
        (COMPLETIONS, {"prompt": "x", "stop": [1]}, "invalid type for 'stop' field: float64"),
        (EMBEDDINGS, {"model": "tiny"}, "invalid input"),
        (RESPONSES, {"input": [{"type": "zz"}]}, 'input[0]: unknown input item type: "zz"'),
        (MESSAGES, {"model": "tiny", "messages": HELLO}, "max_tokens is required and must be positive"),
    ):
        exchange = asked(route, document)
        assert (told(exchange), exchange.body.endswith(b"}")) == (words, True)
        assert (exchange.status, exchange.header("content-type"), exchange.framing) == (400, CHARSET, "length")
        assert '"invalid_request_error"' in exchange.body.decode()


REFUSED_BY_THE_NATIVE_ROUTE: list[tuple[str, dict[str, object], int, str, str]] = [
    (CHAT, {"messages": HELLO}, 400, "invalid_request_error", "model is required"),
    (CHAT, {"model": "absent", "messages": HELLO}, 404, "not_found_error", "model 'absent' not found"),
    (
        CHAT,
        {"model": "tiny", "messages": HELLO, "reasoning_effort": "high"},
        400,
        "invalid_request_error",
        '"tiny" does not support thinking',
    ),
    (
        CHAT,
        {"model": "tiny", "messages": HELLO, "tools": [TOOL]},
        400,
        "invalid_request_error",
        "registry.ollama.ai/library/tiny:latest does not support tools",
    ),
    (
        CHAT,
        {"model": "tiny", "messages": HELLO, "top_logprobs": 21},
        400,
        "invalid_request_error",
        "top_logprobs must be between 0 and 20",
    ),
    (COMPLETIONS, {"model": "absent", "prompt": "x"}, 404, "not_found_error", "model 'absent' not found"),
    (
        EMBEDDINGS,
        {"model": "absent", "input": "x"},
        404,
        "not_found_error",
        'model "absent" not found, try pulling it first',
    ),
    (EMBEDDINGS, {"model": "tiny", "input": [1]}, 400, "invalid_request_error", "invalid input type"),
    (EMBEDDINGS, {"model": "tiny", "input": {}}, 400, "invalid_request_error", "invalid input type"),
    (RESPONSES, {"model": "absent", "input": "x"}, 404, "not_found_error", "model 'absent' not found"),
    (
        MESSAGES,
        {"model": "absent", "messages": HELLO, "max_tokens": 3},
        404,
        "not_found_error",
        "model 'absent' not found",
    ),
]


@pytest.mark.parametrize("stream", [True, False])
def test_refused_by_the_native_route(stream: bool) -> None:
    """Translated back: no charset, a newline at the end; streams that were announced stay so in the head."""
    for path, document, status, kind, words in REFUSED_BY_THE_NATIVE_ROUTE:
        exchange = asked(path, {**document, "stream": stream})
        assert (exchange.status, exchange.header("content-type"), exchange.framing) == (status, BARE, "length")
        assert (told(exchange), exchange.body.endswith(b"}\n"), f'"{kind}"' in exchange.body.decode()) == (
            words,
            True,
            True,
        )
        assert (exchange.header("cache-control") != "") == (stream and path in (RESPONSES, MESSAGES))


@pytest.mark.parametrize(
    ("path", "document"),
    [
        (CHAT, {"model": "x:cloud", "messages": HELLO}),
        (COMPLETIONS, {"model": "x:1b-cloud", "prompt": "x"}),
        (EMBEDDINGS, {"model": "x:cloud", "input": "x"}),
        (RESPONSES, {"model": "x:cloud", "input": "x"}),
        (MESSAGES, {"model": "x:cloud"}),
    ],
)
def test_refused_by_the_proxy(path: str, document: dict[str, object]) -> None:
    """The cloud's models are looked for first, and refused in the words of Ollama's own API; whatever else is wrong."""
    exchange = asked(path, document)
    assert (exchange.status, exchange.header("content-type")) == (403, CHARSET)
    assert exchange.documents == [{"error": "ollama cloud is disabled: remote model is unavailable"}]
    older = asked(path, document, target=world(version="0.24.0"))
    assert (older.status, list(older.documents[0])) == (401, ["error", "signin_url"])  # type: ignore[call-overload]


def test_a_model_of_the_cloud_has_no_details() -> None:
    """Refused by the proxy as well; an absent one by the native route, with its tag."""
    refused = asked("/v1/models/x:cloud", method="GET")
    assert refused.documents == [{"error": "ollama cloud is disabled: remote model details are unavailable"}]
    absent = asked("/v1/models/absent", method="GET")
    assert (absent.status, told(absent)) == (404, "model 'absent:latest' not found")
    assert told(asked("/v1/models/absent", method="GET", target=world(version="0.24.0"))) == "model 'absent' not found"


def test_models() -> None:
    """The newest first; a namespace is the owner; nothing is null, not a list."""
    target = World(models=[parsed_model("a"), parsed_model("mine/b:1b")])
    listed = asked("/v1/models", method="GET", target=target).documents[0]["data"]  # type: ignore[index]
    assert [(each["id"], each["owned_by"]) for each in listed] == [("mine/b:1b", "mine"), ("a:latest", "library")]
    one: Any = asked("/v1/models/A", method="GET", target=target).documents[0]
    assert (one["id"], one["object"], one["owned_by"], one["created"]) == ("A", "model", "library", 1_799_999_999)
    assert asked("/v1/models", method="GET", target=World(models=())).documents == [{"object": "list", "data": None}]


# What is told of a text.


@pytest.mark.parametrize(
    ("name", "stop", "length"),
    [("chat completions", "stop", "length"), ("completions", "stop", "length"), ("messages", "end_turn", "max_tokens")],
)
@pytest.mark.parametrize("stream", [True, False])
def test_reasons(name: str, stop: str, length: str, stream: bool) -> None:
    """A text that ends by itself, and one that the bound ends."""
    api = APIS[name]
    for bound, reason in ((9, stop), (3, length)):
        said = spoken(api, asked(api.path, {**api.body("tiny", "LIMIT 6", bound), "stream": stream}))
        assert (said.reason, said.output_tokens) == (reason, min(6, bound))


@pytest.mark.parametrize("stream", [True, False])
def test_a_response_is_completed_at_its_bound_too(stream: bool) -> None:
    """Ollama knows no `response.incomplete`, and tells nothing in `incomplete_details`."""
    api = APIS["responses"]
    exchange = asked(api.path, {**api.body("tiny", "LIMIT 6", 3), "stream": stream})
    last: Any = exchange.events[-1].document if stream else {"response": exchange.documents[0]}
    assert last["response"]["status"] == "completed"
    assert (last["response"]["incomplete_details"], last["response"]["max_output_tokens"]) == (None, 3)
    assert spoken(api, exchange).output_tokens == 3


def test_a_bound_that_ollama_does_not_know() -> None:
    """`max_completion_tokens` is passed over."""
    api = APIS["chat completions"]
    document = {"model": "tiny", "messages": HELLO, "max_completion_tokens": 3}
    assert spoken(api, asked(api.path, document)).output_tokens == 6


@pytest.mark.parametrize("name", APIS)
@pytest.mark.parametrize("stream", [True, False])
def test_stop_sequences(name: str, stream: bool) -> None:
    """The text ends before one, and that is a natural end."""
    api = APIS[name]
    if name == "responses":
        return
    plain = spoken(api, asked(api.path, {**api.body("tiny", "go", 48), "stream": False})).text.split()
    stop = f" {plain[3]}"
    body = {**api.body("tiny", "go", 48), "stream": stream}
    if api.path.startswith("/api/"):
        body["options"] = {"num_predict": 48, "stop": [stop]}
    else:
        body["stop_sequences" if name == "messages" else "stop"] = [stop]
    said = spoken(api, asked(api.path, body))
    assert (said.text.split(), said.reason) == (plain[: plain.index(stop.strip())], said.reason)
    assert (said.reason, said.output_tokens) == (
        "end_turn" if name == "messages" else "stop",
        plain.index(plain[3]) + 1,
    )


@pytest.mark.parametrize("name", ["chat completions", "responses", "messages"])
@pytest.mark.parametrize("stream", [True, False])
def test_thinking(name: str, stream: bool) -> None:
    """Five tokens of it before the text; it can be switched off."""
    api = APIS[name]
    body = {**api.body("thinker", "THINK LIMIT 9", 48), "stream": stream}
    said = spoken(api, asked(api.path, body))
    assert (len("".join(said.thinking).split()), len(said.text.split()), said.output_tokens) == (5, 4, 11)
    switched_off: dict[str, dict[str, Any]] = {
        "chat completions": {"reasoning_effort": "none"},
        "responses": {"reasoning": {"effort": "none"}},
        "messages": {"thinking": {"type": "disabled"}},
    }
    off = switched_off[name]
    assert spoken(api, asked(api.path, {**body, **off})).thinking == []


def test_thinking_is_optional_on_messages() -> None:
    """A model that cannot is asked in vain; elsewhere that is an error."""
    document = {"model": "tiny", "messages": HELLO, "max_tokens": 9, "thinking": {"type": "enabled"}}
    assert spoken(APIS["messages"], asked(MESSAGES, document)).output_tokens == 6


@pytest.mark.parametrize("stream", [True, False])
def test_tools(stream: bool) -> None:
    """A call with arguments from the schema, and the reason that goes with it."""
    offered = {
        "chat completions": [TOOL],
        "responses": [{"type": "function", "name": "get_weather", "parameters": WEATHER}],
        "messages": [{"name": "get_weather", "input_schema": WEATHER}],
    }
    for name, tools in offered.items():
        api = APIS[name]
        exchange = asked(api.path, {**api.body("thinker", "TOOL", 48), "tools": tools, "stream": stream})
        said = spoken(api, exchange)
        assert (said.calls, said.text, said.output_tokens) == (["get_weather"], "", 4)
        assert said.reason == {"chat completions": "tool_calls", "messages": "tool_use"}.get(name, "completed")
        assert "Paris" in exchange.body.decode()


@pytest.mark.parametrize("version", ["0.24.0", "0.33.0"])
def test_json(version: str) -> None:
    """A text that is to be JSON is: by type, by schema, and in a response's format."""
    target = world(version=version, marked=True)
    for path, extra in (
        (CHAT, {"messages": HELLO, "response_format": {"type": "json_object"}}),
        (CHAT, {"messages": HELLO, "response_format": {"type": "json_schema", "json_schema": {"schema": WEATHER}}}),
        (RESPONSES, {"input": "x", "text": {"format": {"type": "json_schema", "name": "n", "schema": WEATHER}}}),
    ):
        said = spoken(
            BY_PATH[path],
            asked(path, {"model": "tiny", **extra}, target=target),
        )
        assert json.loads(said.text) == {"simulated": True}
    text = {"model": "tiny", "messages": HELLO, "response_format": {"type": "text"}, "max_tokens": 9}
    assert spoken(APIS["chat completions"], asked(CHAT, text, target=target)).text.startswith("[simulated] ")


@pytest.mark.parametrize("name", APIS)
@pytest.mark.parametrize("stream", [True, False])
def test_marked_texts(name: str, stream: bool) -> None:
    """Each begins with the mark, and each answer has the header."""
    api, target = APIS[name], world(marked=True)
    exchange = asked(api.path, {**api.body("tiny", "LIMIT 5", 48), "stream": stream}, target=target)
    assert spoken(api, exchange).text.startswith("[simulated] ")
    assert exchange.header("x-ollamamax-simulated") == "1"


@pytest.mark.parametrize(
    ("path", "document"),
    [
        (
            CHAT,
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "LIMIT 6"}]},
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]},
                    {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "aGk="}}]},
                    {"role": "assistant", "tool_calls": [NAMED]},
                    {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
                ]
            },
        ),
        (
            RESPONSES,
            {
                "instructions": "be brief",
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "LIMIT 6"}]},
                    {"role": "user", "content": [{"type": "input_image", "image_url": IMAGE}]},
                    {"type": "reasoning", "summary": []},
                    {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "1", "output": "sunny"},
                    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "so"}]},
                ],
            },
        ),
        (
            MESSAGES,
            {
                "max_tokens": 48,
                "system": [{"type": "text", "text": "be brief"}],
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "LIMIT 6"}]},
                    {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "aGk="}}]},
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "sunny"}]},
                ],
            },
        ),
    ],
)
def test_conversations_of_many_kinds(path: str, document: dict[str, object]) -> None:
    """Pictures, sounds, calls and what they gave are taken; the prompt has the words of all of it."""
    target = world()
    exchange = asked(path, {"model": "tiny", **document}, target=target)
    api = BY_PATH[path]
    assert (exchange.status, spoken(api, exchange).output_tokens) == (200, 6)
    words = {CHAT: 3, RESPONSES: 6, MESSAGES: 5}[path]
    assert target.accounts()[-1].prompt_tokens == words + 1


@pytest.mark.parametrize(
    ("path", "document", "framing"),
    [
        (COMPLETIONS, {"model": "tiny", "stream": False}, "length"),
        (COMPLETIONS, {"model": "tiny", "stream": True}, "length"),
        (RESPONSES, {"model": "tiny", "stream": False}, "length"),
        (RESPONSES, {"model": "tiny", "stream": True}, "chunked"),
        (MESSAGES, {"model": "tiny", "messages": [{"role": "user", "content": []}], "max_tokens": 3}, "length"),
    ],
)
def test_without_a_prompt_a_model_is_loaded(path: str, document: dict[str, object], framing: str) -> None:
    """The answer has no text and no tokens, in whatever words there are for that."""
    target = World(models=(TINY, THINKER), load_seconds=0.5)
    exchange = asked(path, document, target=target)
    assert (exchange.status, exchange.framing, exchange.end) == (200, framing, "fin")
    account = target.accounts()[-1]
    assert (account.done_reason, account.cold, account.tokens, target.ps()) == ("load", True, 0, ["tiny:latest"])


@pytest.mark.parametrize("name", APIS)
def test_a_text_of_no_tokens(name: str) -> None:
    """A stream of nothing but its beginning and its end."""
    api = APIS[name]
    exchange = asked(api.path, {**api.body("tiny", "LIMIT 0", 48), "stream": True})
    said = spoken(api, exchange)
    assert (exchange.framing, said.pieces, said.ended, said.output_tokens) == ("chunked", [], True, 0)


def test_a_whole_message_of_no_tokens() -> None:
    """Its content is null, not a list."""
    api = APIS["messages"]
    document: Any = asked(api.path, api.body("tiny", "LIMIT 0", 48)).documents[0]
    assert (document["content"], document["stop_reason"]) == (None, "end_turn")


def test_logprobs_of_a_chat() -> None:
    """The older version tells them, whole and token by token."""
    target = world(version="0.24.0")
    document = {"model": "tiny", "messages": HELLO, "max_tokens": 3, "logprobs": True, "top_logprobs": 2}
    whole: Any = asked(CHAT, document, target=target).documents[0]
    assert len(whole["choices"][0]["logprobs"]["content"]) == 3
    events = asked(CHAT, {**document, "stream": True}, target=target).events
    assert ["logprobs" in event.data for event in events] == [True] * 3 + [False] * 2
    assert b"logprobs" not in asked(CHAT, document).body


def test_embeddings() -> None:
    """Numbers and their base64 are the same vectors; fewer on request."""
    document = {"model": "tiny", "input": ["a", "b c"], "dimensions": 16}
    numbers: Any = asked(EMBEDDINGS, document).documents[0]
    packed: Any = asked(EMBEDDINGS, {**document, "encoding_format": "BASE64"}).documents[0]
    for one, other in zip(numbers["data"], packed["data"], strict=True):
        unpacked = struct.unpack("<16f", base64.b64decode(other["embedding"]))
        assert unpacked == pytest.approx(one["embedding"], rel=1e-6)
    assert numbers["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    assert [each["index"] for each in numbers["data"]] == [0, 1]
    empty: Any = asked(EMBEDDINGS, {"model": "tiny", "input": ""}).documents[0]
    assert (len(empty["data"]), empty["usage"]["prompt_tokens"]) == (1, 1)


# Encoded bodies.


def test_zstd_bodies_are_decoded() -> None:
    """On every compatible route that takes JSON; on others, and in other encodings, a body is what it is."""
    encoding = ("Content-Encoding", "zstd")
    for api in APIS.values():
        body = zstd.compress(json.dumps(api.body("tiny", "LIMIT 6", 48)).encode())
        exchange = sent(api.path, body, encoding)
        if api.path.startswith("/v1/"):
            assert spoken(api, exchange).output_tokens == 6
        else:
            assert (exchange.status, exchange.documents) == (
                400,
                [{"error": "invalid character '(' looking for beginning of value"}],
            )
    assert told(sent(CHAT, b"hello", ("Content-Encoding", "gzip"))).startswith("invalid character 'h'")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"hello", "invalid input: magic number mismatch"),
        (zstd.compress(b'{"model": "tiny"}')[:-5], "unexpected EOF"),
        (zstd.compress(b"a" * (MOST_BYTES + 1)), "http: request body too large"),
    ],
)
def test_zstd_that_is_none(body: bytes, words: str) -> None:
    """The proxy says so, in the words of Ollama's own API."""
    exchange = sent(CHAT, body, ("Content-Encoding", "zstd"))
    assert (exchange.status, exchange.header("content-type"), exchange.documents) == (400, CHARSET, [{"error": words}])


def test_a_kept_connection_is_announced_where_ollama_does() -> None:
    """Streams of responses and messages say `keep-alive`, unless the client wants the connection closed."""
    for name, api in APIS.items():
        target = world()
        connection = target.ask(api.path, {**api.body("tiny", "LIMIT 2", 48), "stream": True}, close=False)
        target.pass_until(10.0)
        announced = b"\r\nConnection: keep-alive\r\n" in connection.data
        assert announced == (name in ("responses", "messages"))


def test_a_client_that_leaves_ends_a_generation() -> None:
    """In every API at once: the tokens stop, the slot is free, the account says who closed."""
    for api in APIS.values():
        target = World(models=(TINY,), load_seconds=0.0)
        connection = target.ask(api.path, {**api.body("tiny", "LIMIT 400", 400), "stream": True})
        target.pass_until(2.0)
        connection.leave()
        account = target.accounts()[-1]
        assert (account.outcome, 60 < account.tokens < 90) == ("client_left", True)
        target.pass_until(9.0)
        assert attrs.asdict(account)["tokens"] == account.tokens < 90
