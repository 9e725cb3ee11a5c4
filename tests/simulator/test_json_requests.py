"""Bodies as Go reads them, errors in its words; durations, instants and options likewise."""

from __future__ import annotations

import math

import pytest

from ollamamax.simulator import json_requests as shapes
from ollamamax.simulator.answers import to_json
from ollamamax.simulator.durations import instant, keep_alive_seconds, nanoseconds, parsed_duration
from ollamamax.simulator.failures import ApiFailure
from ollamamax.simulator.options import context_length, merged, signature

STRUCT = "json: cannot unmarshal {} into Go struct field ChatRequest.{} of type {}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "missing request body"),
        (b'{"model":', "unexpected EOF"),
        (b'{"model": "ti', "unexpected EOF"),
        (b"hello", "invalid character 'h' looking for beginning of value"),
        (b"{model: 1}", "invalid character 'm' looking for beginning of object key string"),
        (b'{"model" 1}', "invalid character '1' after object key"),
        (b'{"model": "x" "y"}', "invalid character '\"' after object key:value pair"),
        (b'{"messages": [{"a": "\\"]"} 2]}', "invalid character '2' after array element"),
        (b'{"model": "a\nb"}', "invalid character '\\n' in string literal"),
        (b'{"model": NaN}', "invalid character 'N' looking for beginning of value"),
        (b"[1]", "json: cannot unmarshal array into Go value of type api.ChatRequest"),
        (b'{"model": 7}', STRUCT.format("number", "model", "string")),
        (b'{"model": true}', STRUCT.format("bool", "model", "string")),
        (b'{"model": {}}', STRUCT.format("object", "model", "string")),
        (b'{"stream": "yes"}', STRUCT.format("string", "stream", "bool")),
        (b'{"messages": "hi"}', STRUCT.format("string", "messages", "[]api.Message")),
        (b'{"messages": ["hi"]}', STRUCT.format("string", "messages", "api.Message")),
        (b'{"messages": [{"content": 1}]}', STRUCT.format("number", "messages.content", "string")),
        (b'{"options": []}', STRUCT.format("array", "options", "map[string]interface {}")),
        (b'{"top_logprobs": 1.5}', STRUCT.format("number 1.5", "top_logprobs", "int")),
        (b'{"keep_alive": "soon"}', 'time: invalid duration "soon"'),
        (b'{"keep_alive": true}', "Unsupported type: 'bool'"),
        (b'{"think": 1}', 'invalid think value: 1 (must be true, false, "high", "medium", or "low")'),
        (b"[" * 100_000, "exceeded max depth"),
    ],
)
def test_what_is_wrong_is_said_in_gos_words(body: bytes, message: str) -> None:
    """Each kind of mistake is 400 with the text of Go's decoder."""
    with pytest.raises(ApiFailure) as caught:
        shapes.read(body, shapes.CHAT)
    assert (caught.value.status, caught.value.message) == (400, message)


def test_names_match_in_any_case_and_the_last_wins() -> None:
    """Doubled names, null, unknown names and what follows the document are treated as Go does."""
    read = shapes.read(b'{"model":"a","MODEL":"b","Model":null,"x":1,"keep_alive":-1} rest', shapes.CHAT)
    assert read == {"model": "b", "keep_alive": math.inf}
    assert shapes.read(b"null", shapes.CHAT) == {}
    nested = shapes.read(b'{"messages":[{"Role":"user","CONTENT":"x"}],"options":{"a":{"b":[1]}}}', shapes.CHAT)
    assert nested == {"messages": [{"role": "user", "content": "x"}], "options": {"a": {"b": [1]}}}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1.0), ("1h15m30.5s", 4530.5), ("-2m", -120.0), ("300ms", 0.3), ("0", 0.0), ("+.5s", 0.5), ("7µs", 7e-6)],
)
def test_durations(text: str, seconds: float) -> None:
    """Go's spelling of durations."""
    assert parsed_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("10", 'time: missing unit in duration "10"'),
        ("10x", 'time: unknown unit "x" in duration "10x"'),
        ('a"b', 'time: invalid duration "a\\"b"'),
    ],
)
def test_no_durations(text: str, message: str) -> None:
    """What is none, in Go's words."""
    with pytest.raises(ValueError, match=r"^time: ") as caught:
        parsed_duration(text)
    assert str(caught.value) == message


def test_keep_alive() -> None:
    """Numbers are seconds, negative ones and texts mean for ever."""
    assert [keep_alive_seconds(value) for value in (5, 2.5, "1m", 0)] == [5, 2.5, 60, 0]
    assert [keep_alive_seconds(value) for value in (-1, "-1s")] == [math.inf, math.inf]


def test_instants_and_nanoseconds() -> None:
    """RFC 3339 without trailing zeros."""
    assert instant(0.0) == "1970-01-01T00:00:00Z"
    assert instant(1_795_392_273.25) == "2026-11-23T00:04:33.25Z"
    assert nanoseconds(0.001) == 1_000_000


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({"num_ctx": "many"}, "integer"),
        ({"temperature": "hot"}, "float32"),
        ({"use_mmap": 1}, "boolean"),
        ({"stop": "x"}, "array"),
        ({"num_predict": True}, "integer"),
    ],
)
def test_options_of_the_wrong_type(asked: dict[str, object], kind: str) -> None:
    """500, and the type that was expected."""
    with pytest.raises(ApiFailure) as caught:
        merged({}, asked)
    assert (caught.value.status, caught.value.message) == (500, f'option "{next(iter(asked))}" must be of type {kind}')


def test_options_in_force() -> None:
    """The request's options win over the model's; unknown ones pass; only some change the runner."""
    options = merged({"num_predict": 48, "seed": 1}, {"seed": 2.0, "num_predict": None, "flavour": "x"})
    assert options == {"num_predict": 48, "seed": 2, "flavour": "x"}
    assert context_length({"num_ctx": 1 << 20}, 8192) == 8192
    assert signature({"temperature": 1.0}, 4096) == signature({}, 4096)
    assert signature({"num_thread": 2}, 4096) != signature({}, 4096)


def test_html_is_escaped_and_other_letters_are_not() -> None:
    """As Go's encoder does."""
    assert to_json({"a": "<b> & ü"}) == '{"a":"\\u003cb\\u003e \\u0026 ü"}'.encode()
