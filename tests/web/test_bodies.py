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
