"""Bodies as Go reads them, errors in its words; durations, instants and options likewise."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.simulator import json_requests as shapes
from ollamamax.simulator.durations import instant, keep_alive_seconds, nanoseconds, parsed_duration
from ollamamax.simulator.failures import ApiFailure
from ollamamax.simulator.frames import to_json
from ollamamax.simulator.options import context_length, merged, signature

NUMBER = "json: cannot unmarshal number {} into Go value of type float64"
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
        (b'{"model": "a",}', "invalid character '}' looking for beginning of object key string"),
        (b'{"model": "a" , \n }', "invalid character '}' looking for beginning of object key string"),
        (b'{"messages": [1, ]}', "invalid character ']' looking for beginning of value"),
        (b"{'model': 1}", "invalid character '\\'' looking for beginning of object key string"),
        (b'{"a": "x\\\\" 1}', "invalid character '1' after object key:value pair"),
        (b'{"a": "\\\\\\"[" 1}', "invalid character '1' after object key:value pair"),
        (b'[{"a": 1}, {"b": 2} 1]', "invalid character '1' after array element"),
        (b'{"a": [1], "b": 2 1}', "invalid character '1' after object key:value pair"),
        (b'{"options": {"num_ctx": 1e999}}', NUMBER.format("1e999")),
        (b'{"options": {"x": [-1e999]}}', NUMBER.format("-1e999")),
        (b'{"keep_alive": ' + b"9" * 400 + b"}", NUMBER.format("9" * 400)),
        (b'{"keep_alive": ' + b"9" * 5000 + b"}", NUMBER.format("9" * 5000)),
        (b'{"stream": 1.5}', STRUCT.format("number", "stream", "bool")),
        (b'{"top_logprobs": "x"}', STRUCT.format("string", "top_logprobs", "int")),
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


@pytest.mark.parametrize("think", [True, False, "high", "medium", "low", "max"])
def test_how_much_may_be_thought(think: object) -> None:
    """Yes, no, or how much."""
    assert shapes.read(json.dumps({"think": think}).encode(), shapes.CHAT) == {"think": think}


def test_any_value_may_stand_where_any_is_meant() -> None:
    """A format is a word or a schema; the order of a schema's members is not kept apart."""
    for told in ("json", 1, [1, {"a": None}], {"type": "object", "properties": {"a": {"type": "string"}}}):
        assert shapes.read(json.dumps({"format": told}).encode(), shapes.CHAT) == {"format": told}


def test_white_space_and_broken_letters() -> None:
    """White space around a document means nothing; bytes that are no UTF-8 become U+FFFD, as in Go."""
    assert shapes.read(b' \t\r\n{"model": "a\xff"} \n', shapes.CHAT) == {"model": "a\ufffd"}
    with pytest.raises(ApiFailure, match="missing request body"):
        shapes.read(b" \t\r\n", shapes.CHAT)
    with pytest.raises(ApiFailure, match="looking for beginning of value"):
        shapes.read(b"\x0c{}", shapes.CHAT)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_SHAPES = [shapes.CHAT, shapes.GENERATE, shapes.EMBED, shapes.SHOW, shapes.PULL, shapes.CREATE, shapes.COPY]


@given(
    st.sampled_from(_SHAPES),
    st.binary(max_size=40)
    | st.text(alphabet="{}[]\":,\\ 'a1e.-+tn", max_size=30).map(str.encode)
    | st.dictionaries(st.sampled_from(sorted({name for shape in _SHAPES for name in shape.fields})), _JSON).map(
        lambda told: json.dumps(told).encode()
    ),
)
def test_any_body_is_read_or_refused(shape: shapes.Shape, body: bytes) -> None:
    """The fields that the shape has, or 400: nothing else is raised."""
    status, fields = 200, {}
    try:
        fields = dict(shapes.read(body, shape))
    except ApiFailure as failure:
        status = failure.status
    assert status in (200, 400)
    assert fields.keys() <= shape.fields.keys()
    assert None not in fields.values()


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
