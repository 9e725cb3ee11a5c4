"""What the gateway reads of a JSON body, and which bodies it refuses."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.errors import InvalidBody, MissingBody, ModelRequired
from ollamamax.web.bodies import parse


def test_reads_members_by_their_folded_name() -> None:
    """Go matches keys whatever their case, so a member is found under its folded name."""
    body = parse(b'{"MODEL": "tiny", "Stream": false}')
    assert body.model() == "tiny"
    assert body.read("stream", bool) is False


def test_keeps_the_bytes_as_they_came() -> None:
    """The body that is sent on is the body that was checked."""
    data = b' {"model" : "tiny",\n"prompt":"\\u00e9"} '
    assert parse(data).data == data


@pytest.mark.parametrize("data", [b"", b"  \n"])
def test_a_missing_body_is_named(data: bytes) -> None:
    """No body at all is another error than a broken one."""
    with pytest.raises(MissingBody):
        parse(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"[]", "Expected `object`, got `array`"),
        (b"null", "Expected `object`, got `null`"),
        (b'"x"', "Expected `object`, got `str`"),
        (b"7", "Expected `object`, got `int`"),
        (b'{"model":', "Input data was truncated"),
        (b'{"model": "a"} x', "JSON is malformed"),
        (b"{'model': 1}", "JSON is malformed"),
        (b"\xff\xfe", "JSON is malformed"),
        (b'{"\xff": 1}', "invalid UTF-8 in a key"),
        (b"[" * 100_000, ""),
        (b'{"a":' * 100_000, ""),
    ],
)
def test_what_is_no_object_is_refused(data: bytes, why: str) -> None:
    """Anything but one JSON object is an invalid body, however deep it is nested; the text says what is wrong."""
    with pytest.raises(InvalidBody) as caught:
        parse(data)
    assert caught.value.public_message.startswith(f"invalid JSON: {why}")


@pytest.mark.parametrize(
    "data",
    [
        b'{"model": "a", "model": "b"}',
        b'{"model": "a", "MODEL": "b"}',
        b'{"\\u006dodel": "a", "model": "b"}',
        '{"stream": true, "ſtream": false}'.encode(),
        '{"keep_alive": 1, "\u212aeep_alive": 2}'.encode(),
        b'{"model": "a", "options": {"num_ctx": 1, "NUM_CTX": 2}}',
        b'{"model": "a", "stream_options": {"include_usage": true, "Include_Usage": false}}',
        '{"model": "a", "STREAM_OPTIONS": {"include_usage": true, "include_u\u017fage": false}}'.encode(),
    ],
)
def test_two_keys_that_ollama_takes_for_one_are_refused(data: bytes) -> None:
    """Doubled keys are refused whatever their case, at the top and in the options."""
    with pytest.raises(InvalidBody) as caught:
        parse(data)
    assert caught.value.public_message == ("invalid JSON: two keys of one object differ in nothing but their case")


def test_doubled_keys_elsewhere_are_the_nodes_business() -> None:
    """A tool's schema may hold what it likes: the gateway checks nothing there."""
    assert parse(b'{"model": "a", "format": {"X": 1, "x": 2}}').model() == "a"


@pytest.mark.parametrize("data", [b"{}", b'{"model": null}', b'{"model": ""}', b'{"model": "  "}'])
def test_a_model_is_required(data: bytes) -> None:
    """Absent, null and empty are the same: no model."""
    with pytest.raises(ModelRequired):
        parse(data).model()


def test_older_names_of_the_model_are_read_in_order() -> None:
    """`name` counts where `model` is empty."""
    assert parse(b'{"name": "old", "model": ""}').model("model", "name") == "old"
    assert parse(b'{"name": "old", "model": "new"}').model("model", "name") == "new"


def test_a_member_of_another_type_is_named() -> None:
    """The error names the member, and not its value."""
    with pytest.raises(InvalidBody, match="model") as error:
        parse(b'{"model": {"secret": 1}}').model()
    assert "secret" not in error.value.public_message


def test_a_member_that_is_no_text_of_utf_8_is_named() -> None:
    """The bytes are not quoted."""
    with pytest.raises(InvalidBody) as error:
        parse(b'{"model": "secret\xff"}').model()
    assert error.value.public_message == "model: invalid UTF-8"


@pytest.mark.parametrize(
    ("data", "empty"),
    [
        (b"{}", True),
        (b'{"prompt": ""}', True),
        (b'{"prompt": null}', True),
        (b'{"prompt": "x"}', False),
        (b'{"prompt": [ ]}', True),
        (b'{"prompt": " "}', False),
        (b'{"prompt":[]}', True),
        (b'{"prompt": [1]}', False),
        (b'{"prompt": [1, 2]}', False),
        (b'{"prompt": [ 1 ]}', False),
        (b'{"prompt": [[]]}', False),
        (b'{"prompt": {}}', False),
        (b'{"prompt": 0}', False),
    ],
)
def test_emptiness_of_a_member(data: bytes, empty: bool) -> None:
    """Absent, null, an empty text and an empty list hold nothing."""
    assert parse(data).is_empty("prompt") is empty


USAGE = b'{"include_usage":true}'


@pytest.mark.parametrize(
    ("data", "asking"),
    [
        (b'{"model": "a"}', b'{"model":"a","stream_options":%b}' % USAGE),
        (b' {"a" : [1,  2.50] ,"\\u0062":1e3}', b'{"a":[1,  2.50],"b":1e3,"stream_options":%b}' % USAGE),
        (b'{"Stream_Options": null, "x": 1}', b'{"Stream_Options":%b,"x":1}' % USAGE),
        (b'{"stream_options": {}}', b'{"stream_options":%b}' % USAGE),
        (b'{"stream_options": {"include_usage": false}}', b'{"stream_options":%b}' % USAGE),
        (b'{"stream_options": {"a": 1, "INCLUDE_USAGE": null}}', b'{"stream_options":{"a":1,"INCLUDE_USAGE":true}}'),
        (b'{"stream_options": {"x": "\\u00e9"}}', b'{"stream_options":{"x":"\\u00e9","include_usage":true}}'),
    ],
)  # fmt: skip
def test_usage_is_asked_for(data: bytes, asking: bytes) -> None:
    """A body that does not ask for its usage does so afterwards; all other values are there byte for byte."""
    body = parse(data).asking_for_usage()
    assert body is not None
    assert body.data == asking
    assert parse(body.data) == body
    assert body.asking_for_usage() is None


@pytest.mark.parametrize(
    "options", [b'{"include_usage": true}', b'{"include_usage": "no"}', b'{"include_usage": 1}', b"[]", b'"x"', b"true"]
)
def test_usage_is_not_asked_for_again(options: bytes) -> None:
    """Who asks already is left alone, and so is what the node refuses for its type."""
    assert parse(b'{"stream_options": %b}' % options).asking_for_usage() is None


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans()))
def test_every_object_of_distinct_keys_is_accepted(members: dict[str, object]) -> None:
    """Whatever a client puts in, distinct folded keys are accepted and found again, equal ones refused."""
    data = json.dumps(members).encode()
    folded = {key.casefold() for key in members}
    if len(folded) < len(members):
        with pytest.raises(InvalidBody):
            parse(data)
    else:
        assert set(parse(data).fields) == folded


@pytest.mark.parametrize(
    ("body", "path", "text"),
    [
        (b'{"user": "ada"}', ("user",), "ada"),
        (b'{"USER": "ada"}', ("user",), "ada"),
        (b'{"metadata": {"user_id": "ada", "x": 1}}', ("metadata", "user_id"), "ada"),
        (b'{"user": ""}', ("user",), None),
        (b'{"user": 7}', ("user",), None),
        (b'{"user": null}', ("user",), None),
        (b"{}", ("user",), None),
        (b"{}", ("metadata", "user_id"), None),
        (b'{"metadata": "ada"}', ("metadata", "user_id"), None),
        (b'{"metadata": {"user_id": 1, "USER_ID": 2}}', ("metadata", "user_id"), None),
        (b'{"user": "ada"}', (), None),
    ],
)
def test_a_text_that_is_only_noted(body: bytes, path: tuple[str, ...], text: str | None) -> None:
    """It is found at any depth, and whatever stands there instead is no reason to refuse a body."""
    assert parse(body).text(*path) == text
