"""What answers of Ollama's own API mean; recorded ones are in `test_recorded_verdicts`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.bodies import Body, selectable

from ollamamax.relay.answers import Answer
from ollamamax.relay.verdict import NO_USAGE, ManagementVerdict, NativeVerdict, Usage, Verdict


def judged(judge: NativeVerdict | ManagementVerdict, pieces: list[bytes]) -> Verdict:
    """The verdict on pieces that came at 0.0, 1.0, 2.0…"""
    for now, piece in enumerate(pieces):
        judge.feed(piece, float(now))
    return judge.finish(float(len(pieces)))


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("pull-fresh-stream", "success"),
        ("pull-stream", "success"),
        ("push-stream", "success"),
        ("create-from", "success"),
        ("pull-no-registry", "stream_error"),
        ("pull-absent", "stream_error"),
    ],
)
def test_recorded_management(name: str, outcome: str, recorded: dict[tuple[str, str], Any]) -> None:
    """Progress streams end in success or in an error line."""
    pieces = Body(recorded["0.33", name].raw).pieces
    assert judged(ManagementVerdict(), pieces).outcome == outcome
    cut = judged(ManagementVerdict(), [b"".join(pieces)[:-20]])
    assert cut.outcome == "incomplete"
    assert cut.mid_line


def final(fields: bytes) -> Usage:
    """The usage of a final line with these members."""
    return judged(NativeVerdict(Answer.CHAT, True), [b'{"done":true' + fields + b"}\n"]).usage


@pytest.mark.parametrize(
    "number",
    [b"-1", b"1.5", b"1e3", b"true", b"null", b'"4"', b"[4]", b"{}", b"1" * 30, b"9" * 5000, b"1e400", b"1000000001"],
    ids=lambda number: number[:12].decode(),
)
def test_absurd_counts_are_not_reported(number: bytes) -> None:
    """A count that cannot be one is None and hides nothing else."""
    for name in ("prompt_eval_count", "eval_count", "prompt_eval_cached_count"):
        usage = final(b',"' + name.encode() + b'":' + number + b',"total_duration":1000000000')
        assert {
            "prompt_eval_count": usage.input_tokens,
            "eval_count": usage.output_tokens,
            "prompt_eval_cached_count": usage.cached_tokens,
        }[name] is None
        assert usage.total_seconds == 1.0
    assert final(b',"total_duration":' + b"9" * 18).total_seconds is None


def test_numbers_left_out() -> None:
    """Go leaves zeros out: where the answer was measured they are 0, where it was not they are unknown."""
    assert final(b',"total_duration":2000000000,"eval_count":3') == Usage(0, 3, None, 2.0, 0.0, 0.0, 0.0)
    assert final(b',"done_reason":"stop"') == NO_USAGE
    assert final(b',"total_duration":1,"prompt_eval_count":9,"prompt_eval_cached_count":7').cached_tokens == 7


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[1,2]",
        b'{"done":true',
        b'{"done":"true"}',
        b'{"done":1}',
        b'{"message":{"done":true}}',
        b'{"message":{"content":"\\"done\\":true"},"done":false}',
        b'{"x":' + b"[" * 100_000 + b"}",
        b'{"message":7,"done":false}',
        b'{"error":null,"done":false}',
        b'{"error":"","done":false}',
        b"\xff\xfe",
    ],
    ids=selectable,
)
def test_no_terminal(line: bytes) -> None:
    """Whatever only looks like a terminal or an error is none, and broken lines raise nothing."""
    verdict = judged(NativeVerdict(Answer.CHAT, True), [line + b"\n"])
    assert (verdict.outcome, verdict.done, verdict.error) == ("incomplete", False, False)


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        (b'{ "done" : true }', "success"),
        (b'{"d\\u006fne":true}', "success"),
        (b'{"done":false,"done":true}', "success"),
        (b'{"done":true,"done":false}', "incomplete"),
        (b'{"done":true}\r', "success"),
        (b'{"done":true,"done_reason":"length"}', "length"),
        (b'{"error":"x"}', "stream_error"),
        (b'{"\\u0065rror":"x","done":false}', "stream_error"),
        (b'{"error":{"message":"x"},"done":false}', "stream_error"),
        (b'{"error":"x","done":true,"done_reason":"length"}', "stream_error"),
    ],
)
def test_spellings_of_terminals(line: bytes, outcome: str) -> None:
    """A terminal and an error are found however JSON allows to write them, first token seen or not."""
    content = b'{"message":{"content":"a"},"done":false}\n'
    assert judged(NativeVerdict(Answer.CHAT, True), [line + b"\n"]).outcome == outcome
    assert judged(NativeVerdict(Answer.CHAT, True), [content, line + b"\n"]).outcome == outcome
    assert judged(NativeVerdict(Answer.CHAT, True), [content, line]).outcome == outcome


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        (b'{"message":{"role":"assistant","content":""},"done":false}', False),
        (b'{"message":null,"done":false}', False),
        (b'{"response":"","done":false}', False),
        (b'{"message":{"content":"","tool_calls":[]},"done":false}', False),
        (b'{"message":{"content":" "},"done":false}', True),
        (b'{"message":{"content":"","thinking":"a"},"done":false}', True),
        (b'{"message":{"content":"","tool_calls":[{"id":1}]},"done":false}', True),
        (b'{"response":"a","done":false}', True),
        (b'{"response":"","thinking":"a","done":false}', True),
        (b'{"response":"","tool_calls":[{"id":1}],"done":false}', True),
    ],
)
def test_first_token(line: bytes, counts: bool) -> None:
    """The first token is the first chunk with content, thinking or tool calls; not the first chunk."""
    pieces = [b'{"message":{"content":""},"done":false}\n', line + b"\n", b'{"done":true}\n']
    assert judged(NativeVerdict(Answer.CHAT, True), pieces).first_token_at == (1.0 if counts else None)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(("answer", "tokens"), [(Answer.EMBED, 5), (Answer.EMBEDDINGS, None)])
def test_what_embeddings_report(answer: Answer, tokens: int | None, streaming: bool) -> None:
    """The older route reports nothing, whatever stands in its answer."""
    body = b'{"embedding":[0.5],"total_duration":1000000000,"prompt_eval_count":5}'
    verdict = judged(NativeVerdict(answer, streaming), [body])
    assert (verdict.outcome, verdict.loaded, verdict.usage.input_tokens) == ("success", False, tokens)


@pytest.mark.parametrize("judge", [NativeVerdict(Answer.CHAT, True), ManagementVerdict()])
def test_where_the_bytes_ended(judge: NativeVerdict | ManagementVerdict) -> None:
    """Inside of a line or behind one, also when the line was read by then."""
    assert judged(judge, [b"{}\n"]).mid_line is False
    assert judged(judge, [b"{"]).mid_line is True


def test_the_first_token_may_be_in_the_last_line() -> None:
    """It came when the stream ended, where no line feed ended the line."""
    judge = NativeVerdict(Answer.CHAT, True)
    judge.feed(b'{"message":{"content":"a"},"done":true}', 1.0)
    assert judge.finish(7.0).first_token_at == 7.0


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b'{"status":"pulling"}'], Verdict("incomplete")),
        ([b'{"status":"success"}'], Verdict("success", done=True)),
        ([b'{"stat\\u0075s":"success"}'], Verdict("success", done=True)),
        ([b'{"error":"x"}'], Verdict("stream_error", error=True)),
        ([b'{"\\u0065rror":"x"}'], Verdict("stream_error", error=True)),
        ([b'{"status":"success"}', b'{"error":"x"}'], Verdict("stream_error", done=True, error=True)),
        ([b'{"status":"pulling \\"success\\""}'], Verdict("incomplete")),
    ],
    ids=range(7),
)
def test_how_management_ends(lines: list[bytes], expected: Verdict) -> None:
    """By its word of success or by an error, however JSON allows to write the members' names."""
    assert judged(ManagementVerdict(), [b"".join(line + b"\n" for line in lines)]) == expected


def test_an_error_line_wins_over_a_later_terminal() -> None:
    """A stream with an error is no success whatever follows."""
    verdict = judged(NativeVerdict(Answer.CHAT, True), [b'{"error":"x"}\n{"done":true}\n'])
    assert (verdict.outcome, verdict.done, verdict.error) == ("stream_error", True, True)


@pytest.mark.parametrize("size", [100_000, 400_000, 3_000_000])
def test_large_whole_answers(size: int) -> None:
    """The members behind a large one are read, though only the end of a large answer is kept."""
    numbers = b"[" + b",".join([b"0.25"] * (size // 5)) + b"]"
    body = b'{"model":"m","embeddings":[' + numbers + b"]," + b'"total_duration":5000000000,"prompt_eval_count":17}'
    pieces = [body[at : at + 65536] for at in range(0, len(body), 65536)]
    usage = judged(NativeVerdict(Answer.EMBED, False), pieces).usage
    assert (usage.input_tokens, usage.total_seconds) == (17, 5.0)
    assert judged(NativeVerdict(Answer.EMBEDDINGS, False), [b'{"embedding":' + numbers + b"}"]).outcome == "success"


@pytest.mark.parametrize("text", [b"a,", b'\\",\\"done\\":true,\\"x\\":\\"', b"],", b"\\\\", b"x" * 10], ids=selectable)
def test_long_texts_in_whole_answers(text: bytes) -> None:
    """Text that looks like members does not pass for them, in an answer of which only the end is kept."""
    body = (
        b'{"model":"m","message":{"role":"assistant","content":"'
        + text * 50_000
        + text * (300_000 // len(text))
        + b'","tool_calls":[{"function":{"arguments":{"done":false,"eval_count":1}}}]},"done":true,'
        b'"done_reason":"length","total_duration":1000000000,"prompt_eval_count":2,"eval_count":3}'
    )
    pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
    verdict = judged(NativeVerdict(Answer.CHAT, False), pieces)
    assert (verdict.outcome, verdict.usage.input_tokens, verdict.usage.output_tokens) == ("length", 2, 3)
    assert judged(NativeVerdict(Answer.CHAT, False), [*pieces[:-1]]).outcome == "incomplete"


def test_a_broken_whole_answer() -> None:
    """A whole generation without its terminal is incomplete; nothing to read of an embedding is no failure."""
    assert judged(NativeVerdict(Answer.CHAT, False), [b'{"message":']).outcome == "incomplete"
    assert judged(NativeVerdict(Answer.GENERATE, False), []).outcome == "incomplete"
    assert judged(NativeVerdict(Answer.GENERATE, False), [b'{"error":"x"}']).outcome == "stream_error"
    assert judged(NativeVerdict(Answer.EMBED, False), [b"x" * 300_000, b"y" * 300_000]).usage == NO_USAGE


@given(st.lists(st.binary(max_size=40), max_size=10), st.booleans())
def test_nothing_raises(pieces: list[bytes], streaming: bool) -> None:
    """No bytes of a node raise an exception."""
    judged(NativeVerdict(Answer.CHAT, streaming), pieces)
    judged(ManagementVerdict(), pieces)
