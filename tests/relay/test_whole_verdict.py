"""What whole answers of the `/v1` routes mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.relay.answers import Answer
from ollamamax.relay.usage import NO_USAGE, Usage
from ollamamax.relay.verdict import Verdict
from ollamamax.relay.whole_verdict import WholeVerdict

CHAT, RESPONSES, MESSAGES = Answer.CHAT_COMPLETIONS, Answer.RESPONSES, Answer.MESSAGES
GENERATIONS = [CHAT, Answer.COMPLETIONS, RESPONSES, MESSAGES]
TOKENS = b'"usage":{"prompt_tokens":4,"completion_tokens":6,"total_tokens":10}'
RESPONSE_END = (
    b'"}]}],"error":null,"tools":[{"name":"x","parameters":{"a":[1,2],"b":{}}}],"tool_choice":"auto",'
    b'"text":{"format":{"type":"text"}},'
    b'"usage":{"input_tokens":4,"output_tokens":6,"input_tokens_details":{"cached_tokens":0},'
    b'"output_tokens_details":{"reasoning_tokens":0}},"max_output_tokens":6,"max_tool_calls":null,"store":false}'
)
COUNTED = b'"usage":{"input_tokens":4,"output_tokens":6}'


def judged(answer: Answer, *pieces: bytes) -> Verdict:
    """The verdict on an answer."""
    judge = WholeVerdict(answer)
    for piece in pieces:
        judge.feed(piece, 1.0)
    return judge.finish(2.0)


@pytest.mark.parametrize(
    ("answer", "body", "expected"),
    [
        (CHAT, b'{"choices":[{"finish_reason":"stop"}],' + TOKENS + b"}", Verdict("success", Usage(4, 6), done=True)),
        (CHAT, b'{"choices":[{"finish_reason":"length"}],' + TOKENS + b"}", Verdict("length", Usage(4, 6), done=True)),
        (CHAT, b'{"choices":7,"usage":7}', Verdict("success", done=True)),
        (
            Answer.COMPLETIONS,
            b'{"choices":[{"text":"","finish_reason":"load"}],"usage":{"prompt_tokens":0,"completion_tokens":0}}',
            Verdict("success", loaded=True, done=True),
        ),
        (
            RESPONSES,
            b'{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"error":null}',
            Verdict("length", done=True),
        ),
        (RESPONSES, b'{"status":"failed","usage":{"input_tokens":1}}', Verdict("stream_error", Usage(1), error=True)),
        (
            RESPONSES,
            b'{"usage":{"input_tokens_details":{"cached_tokens":3}}}',
            Verdict("success", Usage(None, None, 3), done=True),
        ),
        (
            MESSAGES,
            b'{"stop_reason":"max_tokens","usage":{"output_tokens":6}}',
            Verdict("length", Usage(None, 6), done=True),
        ),
        (MESSAGES, b'{"type":"error","error":{"message":"x"}}', Verdict("stream_error", error=True)),
        (CHAT, b'{"error":{"message":"x"}}', Verdict("stream_error", error=True)),
        (
            Answer.V1_EMBEDDINGS,
            b'{"data":[],"usage":{"prompt_tokens":4,"total_tokens":4}}',
            Verdict("success", Usage(4), done=True),
        ),
        (Answer.TRANSCRIPTIONS, b'{"text":""}', Verdict("success", done=True)),
        (
            Answer.TRANSCRIPTIONS,
            b'{"text":"a","usage":{"type":"tokens","input_tokens":14,"output_tokens":4}}',
            Verdict("success", Usage(14, 4), done=True),
        ),
    ],
    ids=range(13),
)
def test_answers(answer: Answer, body: bytes, expected: Verdict) -> None:
    """Reason, usage and errors are where each API has them."""
    assert judged(answer, body) == expected
    assert judged(answer, *(body[at : at + 1] for at in range(len(body)))) == expected


@pytest.mark.parametrize("answer", GENERATIONS)
@pytest.mark.parametrize(
    "body", [b"", b'{"choices":[', b"[]", b"x" * 300_000, b"\xff"], ids=["none", "cut", "list", "long", "binary"]
)
def test_a_generation_that_cannot_be_read_is_incomplete(answer: Answer, body: bytes) -> None:
    """Whatever it is, it is no whole answer."""
    assert judged(answer, body) == Verdict("incomplete", cut=True)


def test_what_need_not_be_read() -> None:
    """Text is whole where its framing is, and so are numbers in an object; nothing is what a failure leaves."""
    assert judged(Answer.TRANSCRIPTIONS, b"x" * 300_000, b"y" * 300_000) == Verdict("success", done=True)
    assert judged(Answer.TRANSCRIPTIONS) == judged(Answer.TRANSCRIPTIONS, b"") == Verdict("incomplete", cut=True)
    numbers = b'{"data":[' + b"1," * 200_000
    assert judged(Answer.V1_EMBEDDINGS, numbers, b"1]}\n") == Verdict("success", done=True)
    assert judged(Answer.V1_EMBEDDINGS, numbers) == Verdict("incomplete", cut=True)
    assert judged(Answer.V1_EMBEDDINGS) == Verdict("incomplete", cut=True)


@pytest.mark.parametrize(
    ("answer", "start", "end", "outcome", "usage"),
    [
        (
            CHAT,
            b'{"choices":[{"message":{"content":"',
            b'"},"finish_reason":"stop"}],' + TOKENS + b"}\n",
            "success",
            Usage(4, 6),
        ),
        (
            MESSAGES,
            b'{"content":[{"text":"',
            b'"}],"stop_reason":"max_tokens",' + COUNTED + b"}",
            "length",
            Usage(4, 6),
        ),
        (RESPONSES, b'{"output":[{"content":[{"text":"', RESPONSE_END, "success", Usage(4, 6, 0)),
        (
            Answer.V1_EMBEDDINGS,
            b'{"data":[{"embedding":"',
            b'","index":0}],"model":"m","usage":{"prompt_tokens":4}}',
            "success",
            Usage(4),
        ),
    ],
    ids=range(4),
)
def test_large_answers(answer: Answer, start: bytes, end: bytes, outcome: str, usage: Usage) -> None:
    """Usage and reasons behind a large member are read, though only the end of a large answer is kept."""
    text = b'\\"usage\\":{\\"prompt_tokens\\":1},' * 20_000
    verdict = judged(answer, start, *(text[at : at + 65536] for at in range(0, len(text), 65536)), end)
    assert verdict == Verdict(outcome, usage, done=True)


@given(st.lists(st.binary(max_size=40), max_size=5), st.sampled_from([*GENERATIONS, Answer.TRANSCRIPTIONS]))
def test_nothing_raises(pieces: list[bytes], answer: Answer) -> None:
    """No bytes of a node raise an exception."""
    verdict = judged(answer, *pieces)
    assert verdict.done == (verdict.outcome == "success")
    assert verdict.usage == NO_USAGE
