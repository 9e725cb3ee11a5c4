"""Chat completions and completions, against recordings byte by byte and, beyond them, as a real 0.33 answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from simulator.replayed import chunks, comparable, recorded, spoken_again, told_tokens, usage

from ollamamax.simulator.failures import engine_lost
from ollamamax.simulator.openai_events import ChatCompletionWords, CompletionWords
from ollamamax.simulator.tokens import Token
from ollamamax.simulator.words import Usage

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}]
TEXT = [Token("content", each) for each in ("the", " river")]


@pytest.mark.parametrize(
    ("version", "name", "words", "told"),
    [
        ("0.33", "v1-chat-stream", lambda: ChatCompletionWords("1", "tiny"), usage("stop", 4, 6)),
        (
            "0.33",
            "v1-chat-stream-usage",
            lambda: ChatCompletionWords("1", "tiny", include_usage=True),
            usage("stop", 4, 6),
        ),
        ("0.33", "v1-chat-think-stream", lambda: ChatCompletionWords("1", "thinker"), usage("stop", 4, 11)),
        ("0.33", "v1-chat-tools-stream", lambda: ChatCompletionWords("1", "thinker", TOOLS), usage("stop", 4, 4)),
        (
            "0.33",
            "v1-completions-stream-usage",
            lambda: CompletionWords("1", "tiny", include_usage=True),
            usage("stop", 4, 6),
        ),
        ("0.24", "v1-chat-stream", lambda: ChatCompletionWords("1", "tiny", chunk_roles=True), usage("length", 18, 6)),
        (
            "0.24",
            "v1-chat-stream-usage",
            lambda: ChatCompletionWords("1", "tiny", chunk_roles=True, include_usage=True),
            usage("length", 18, 6),
        ),
        (
            "0.24",
            "v1-completions-stream-usage",
            lambda: CompletionWords("1", "tiny", include_usage=True),
            usage("length", 18, 6),
        ),
    ],
)
def test_recorded_streams(version: str, name: str, words: Callable[[], Any], told: Usage) -> None:
    """The same chunks, but for identities and times."""
    exchange = recorded(version, name)
    assert spoken_again(words(), told_tokens(exchange), told) == chunks(exchange)
    assert words().stream_type.decode() == exchange.header("content-type")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("v1-chat-whole", lambda: ChatCompletionWords("1", "tiny")),
        ("v1-completions-whole", lambda: CompletionWords("1", "tiny")),
    ],
)
def test_recorded_whole_answers(name: str, words: Callable[[], Any]) -> None:
    """Likewise."""
    exchange = recorded("0.33", name)
    texts = ["the", " river", " carries", " small", " stones", " over"]
    said = words().whole(1.9, [Token("content", text) for text in texts], usage("stop", 4, 6))
    assert comparable(said) == comparable(exchange.body)
    assert words().whole_type.decode() == exchange.header("content-type")
    assert json.loads(said)["created"] == 1


def test_a_recorded_stream_that_is_cut() -> None:
    """A last chunk without a model and a text."""
    exchange = recorded("0.33", "v1-chat-cut-mid-stream")
    words = ChatCompletionWords("1", "tiny")
    parts = [part for token in told_tokens(exchange) for part in words.token(token, 1.0)]
    assert tuple(comparable(part) for part in (*parts, *words.lost(engine_lost(), 1.0))) == chunks(exchange)
    (lost,) = CompletionWords("1", "tiny").lost(engine_lost(), 1.0)
    document = json.loads(lost.removeprefix(b"data: "))
    assert (document["model"], document["choices"]) == ("", [{"text": "", "index": 0, "finish_reason": None}])


def test_an_error_within_a_stream() -> None:
    """As OpenAI's own clients know it."""
    for words in (ChatCompletionWords("1", "tiny"), CompletionWords("1", "tiny")):
        document = json.loads(words.in_band(engine_lost()).removeprefix(b"data: "))
        assert document["error"] == {
            "message": "an error was encountered while running the model: unexpected EOF",
            "type": "api_error",
            "param": None,
            "code": None,
        }


def test_a_stream_has_one_time_and_one_name() -> None:
    """The time of its first chunk (0.33); in the older version each chunk has its own."""
    for chunk_roles, times in ((False, [5, 5, 5]), (True, [5, 7, 9])):
        words = ChatCompletionWords("1", "tiny", chunk_roles=chunk_roles)
        parts = [*words.token(TEXT[0], 5.5), *words.token(TEXT[1], 7.5), *words.final(9.5, usage("stop", 1, 2))]
        documents = [json.loads(part.split(b"\n\n")[0].removeprefix(b"data: ")) for part in parts]
        assert [document["created"] for document in documents] == times
        assert len({document["id"] for document in documents}) == 1
    names = {json.loads(ChatCompletionWords(str(n), "m").whole(1.0, [], usage("stop", 1, 1)))["id"] for n in range(50)}
    assert len(names) > 40
    assert all(0 <= int(name.removeprefix("chatcmpl-")) < 999 for name in names)


def test_a_stream_of_nothing_opens_with_a_role() -> None:
    """The chunk and the finish come in one."""
    (part,) = ChatCompletionWords("1", "tiny").final(1.0, usage("stop", 1, 0))
    first, finish, done, rest = part.split(b"\n\n")
    choice = json.loads(first.removeprefix(b"data: "))["choices"][0]
    assert choice == {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    finished = json.loads(finish.removeprefix(b"data: "))["choices"][0]
    assert finished == {"index": 0, "delta": {}, "finish_reason": "stop"}
    assert (done, rest) == (b"data: [DONE]", b"")


def test_whole_answers_with_thinking_and_calls() -> None:
    """Beside the text, which is there also when it is empty."""
    words = ChatCompletionWords("1", "thinker", TOOLS)
    said = [Token("silent", "<think>"), Token("thinking", "hm"), Token("tool", "")]
    choice = json.loads(words.whole(1.0, said, usage("stop", 1, 3)))["choices"][0]
    call = choice["message"]["tool_calls"][0]
    assert list(choice["message"]) == ["role", "content", "reasoning", "tool_calls"]
    assert (choice["message"]["content"], choice["message"]["reasoning"]) == ("", "hm")
    assert list(call) == ["id", "index", "type", "function"]
    assert (call["index"], call["type"]) == (0, "function")
    assert call["function"] == {"name": "get_weather", "arguments": '{"city":"Paris"}'}


@pytest.mark.parametrize(
    ("chunk_roles", "done_reason", "reason"),
    [(False, "stop", "tool_calls"), (False, "length", "length"), (True, "length", "tool_calls")],
)
def test_the_reason_after_a_call(chunk_roles: bool, done_reason: str, reason: str) -> None:
    """A call is the reason for a natural end; in the older version for every end."""
    words = ChatCompletionWords("1", "thinker", TOOLS, chunk_roles=chunk_roles)
    whole = json.loads(words.whole(1.0, [Token("tool", "")], usage(done_reason, 1, 3)))
    assert whole["choices"][0]["finish_reason"] == reason
    words.token(Token("tool", ""), 1.0)
    (part,) = words.final(1.0, usage(done_reason, 1, 3))
    assert json.loads(part.split(b"\n\n")[0].removeprefix(b"data: "))["choices"][0]["finish_reason"] == reason


def test_log_probabilities() -> None:
    """Of each token of the text, in a stream and whole."""
    words = ChatCompletionWords("1", "tiny", chunk_roles=True, top_logprobs=2)
    (part,) = words.token(TEXT[0], 1.0)
    told = json.loads(part.removeprefix(b"data: "))["choices"][0]["logprobs"]["content"]
    assert [(each["token"], len(each["top_logprobs"])) for each in told] == [("the", 2)]
    (thinking,) = words.token(Token("thinking", "hm"), 1.0)
    assert b"logprobs" not in thinking
    whole = json.loads(words.whole(1.0, [*TEXT, Token("silent", "")], usage("stop", 1, 2)))
    assert [each["token"] for each in whole["choices"][0]["logprobs"]["content"]] == ["the", " river"]


def test_a_completion_shows_no_thinking() -> None:
    """But a chunk for each token of it, the marks included; a chat has none for those."""
    words = CompletionWords("1", "thinker")
    for token in (Token("silent", "<think>"), Token("thinking", "hm")):
        (part,) = words.token(token, 1.0)
        document = json.loads(part.removeprefix(b"data: "))
        assert (document["choices"][0]["text"], "usage" in document) == ("", False)
    assert ChatCompletionWords("1", "thinker").token(Token("silent", "<think>"), 1.0) == ()
