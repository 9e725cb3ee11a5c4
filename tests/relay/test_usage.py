"""What is believed of a node's report."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.relay.usage import NO_USAGE, NativeAnswer, Usage, reported_usage, token_usage

DAY = 86400 * 10**9
MEASURED = b"""{"done": true, "total_duration": 4000000000, "load_duration": 500000000, "prompt_eval_count": 7,
    "prompt_eval_cached_count": 3, "prompt_eval_duration": 250000000, "eval_count": 11, "eval_duration": 2000000000}"""


def usage(report: bytes, *, generates: bool = True) -> Usage:
    """The usage in a JSON object."""
    return reported_usage(msgspec.json.decode(report, type=NativeAnswer), generates)


def test_every_number_has_its_place() -> None:
    """Counts are counts, nanoseconds become seconds."""
    assert usage(MEASURED) == Usage(7, 11, 3, 4.0, 0.5, 0.25, 2.0)


def test_an_embedding_has_no_output() -> None:
    """Whatever the node says of generating; the rest is as for any."""
    assert usage(MEASURED, generates=False) == Usage(7, None, 3, 4.0, 0.5, 0.25, None)


def test_what_is_left_out_is_zero_where_the_node_measured() -> None:
    """Go leaves zeros out, so beside a total duration they are zeros; a cache is not in every version."""
    assert usage(b'{"total_duration": 1000000000}') == Usage(0, 0, None, 1.0, 0.0, 0.0, 0.0)
    assert usage(b'{"total_duration": 1000000000}', generates=False) == Usage(total_seconds=1.0)


@pytest.mark.parametrize("generates", [True, False])
@pytest.mark.parametrize("report", [b"{}", b'{"done": true, "done_reason": "load"}', b'{"total_duration": null}'])
def test_nothing_was_reported(report: bytes, generates: bool) -> None:
    """Without a total duration nothing was measured, and nothing is zero."""
    assert usage(report, generates=generates) == NO_USAGE


def test_a_count_without_a_total_counts() -> None:
    """What is there is read, though nothing is taken for a left-out zero."""
    assert usage(b'{"prompt_eval_count": 5}') == Usage(input_tokens=5)


@pytest.mark.parametrize(
    ("number", "tokens"),
    [
        (b"0", 0),
        (b"1000000000", 10**9),
        (b"1000000001", None),
        (b"9" * 19, None),
        (b"9" * 5000, None),
        (b"-1", None),
        (b"1.5", None),
        (b"1e3", None),
        (b'"7"', None),
        (b"true", None),
        (b"null", None),
        (b"[7]", None),
        (b'{"n": 7}', None),
    ],
)
def test_a_count_that_cannot_be_true_is_none(number: bytes, tokens: int | None) -> None:
    """More than a thousand million, fractions, negative numbers and other types are no counts; the rest stays."""
    for name in ("prompt_eval_count", "eval_count", "prompt_eval_cached_count"):
        told = usage(b'{"total_duration": 1000000000, "' + name.encode() + b'": ' + number + b"}")
        found = {
            "prompt_eval_count": told.input_tokens,
            "eval_count": told.output_tokens,
            "prompt_eval_cached_count": told.cached_tokens,
        }
        assert found[name] == tokens
        assert told.total_seconds == 1.0


@pytest.mark.parametrize(
    ("nanoseconds", "seconds"), [(1, 1e-9), (30 * DAY, 30 * 86400.0), (30 * DAY + 1, None), (10**18, None)]
)
def test_a_duration_beyond_thirty_days_is_none(nanoseconds: int, seconds: float | None) -> None:
    """Of each of the four durations alike; it would spoil sums for ever."""
    number = str(nanoseconds).encode()
    assert usage(b'{"total_duration": ' + number + b"}").total_seconds == seconds
    for name in ("load", "prompt_eval", "eval"):
        told = usage(b'{"total_duration": 1, "' + name.encode() + b'_duration": ' + number + b"}")
        found = {"load": told.load_seconds, "prompt_eval": told.prompt_seconds, "eval": told.output_seconds}
        assert found.pop(name) == seconds
        assert set(found.values()) == {0.0}


_NUMBERS = st.integers() | st.floats() | st.text(max_size=4) | st.none() | st.lists(st.integers(), max_size=2)


@given(
    st.dictionaries(
        st.sampled_from(sorted(NativeAnswer.__struct_fields__)),
        _NUMBERS,
    ),
    st.booleans(),
)
def test_whatever_is_reported_does_no_harm(members: dict[str, object], generates: bool) -> None:
    """Nothing raises; what comes out is not negative, and not beyond the bounds."""
    told = usage(msgspec.json.encode(members), generates=generates)
    for tokens in (told.input_tokens, told.output_tokens, told.cached_tokens):
        assert tokens is None or 0 <= tokens <= 10**9
    for seconds in (told.total_seconds, told.load_seconds, told.prompt_seconds, told.output_seconds):
        assert seconds is None or 0 <= seconds <= 30 * 86400


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (b'{"prompt_tokens":4,"completion_tokens":6,"total_tokens":10}', Usage(4, 6)),
        (b'{"prompt_tokens":4,"total_tokens":4}', Usage(4)),
        (b'{"prompt_tokens":4,"prompt_tokens_details":{"cached_tokens":3}}', Usage(4, None, 3)),
        (b'{"input_tokens":4,"output_tokens":6}', Usage(4, 6)),
        (b'{"input_tokens":4,"input_tokens_details":{"cached_tokens":3},"output_tokens":0}', Usage(4, 0, 3)),
        (b'{"prompt_tokens":0,"completion_tokens":0}', Usage(0, 0)),
        (b'{"prompt_tokens":-1,"completion_tokens":1.5}', NO_USAGE),
        (b'{"prompt_tokens":"4","completion_tokens":6}', Usage(None, 6)),
        (b'{"prompt_tokens":' + b"9" * 5000 + b',"completion_tokens":6}', Usage(None, 6)),
        (b'{"prompt_tokens":1000000001,"completion_tokens":1e3}', NO_USAGE),
        (b'{"input_tokens":true,"output_tokens":null,"input_tokens_details":7}', NO_USAGE),
        (b'{"input_tokens":4,"input_tokens_details":{"cached_tokens":"3"}}', Usage(4)),
        (b'{"type":"duration","seconds":9}', NO_USAGE),
        (b"[4]", NO_USAGE),
        (b"null", NO_USAGE),
        (b"", NO_USAGE),
    ],
    ids=range(16),
)
def test_tokens(member: bytes, expected: Usage) -> None:
    """Counts in the words of OpenAI's and Anthropic's APIs; what cannot be one is none and hides nothing else."""
    assert token_usage(msgspec.Raw(member)) == expected
