"""Forms, read as far as their model."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollamamax.errors import GatewayError, InvalidBody, MissingBody, ModelRequired
from ollamamax.web.forms import MAX_MODEL_BYTES, ModelField, boundary_of, form_type, model_part

BOUNDARY = b"xXx"


def part(name: str, value: bytes, *, parameters: str = "", headers: str = "") -> bytes:
    """A part with what begins it."""
    head = f'Content-Disposition: form-data; name="{name}"{parameters}\r\n{headers}\r\n'
    return b"--xXx\r\n" + head.encode() + value + b"\r\n"


FILE = part("file", b"RIFF\r\n--xX\r\n\r\n--", parameters='; filename="a.wav"', headers="Content-Type: audio/wav\r\n")
MODEL = part("model", b"tiny")
LANGUAGE = part("language", b"en")
END = b"--xXx--\r\n"


def read(data: bytes, cuts: list[int] | None = None) -> str:
    """The model of a form that arrives in pieces."""
    field = ModelField(BOUNDARY)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts or []), len(data)]
    for start, end in pairwise(edges):
        if start < end and (model := field.feed(data[start:end])) is not None:
            return model
    field.end()
    raise AssertionError("a form that ended without a word")


NAMED = [
    (MODEL + FILE + END, "tiny"),
    (FILE + MODEL + END, "tiny"),
    (FILE + LANGUAGE + MODEL + END, "tiny"),
    (MODEL + FILE, "tiny"),
    (MODEL + part("model", b"other") + END, "tiny"),
    (part("Model", b"other") + MODEL + END, "tiny"),
    (part("model", b"other", parameters='; filename="x"') + MODEL + END, "tiny"),
    (part("model", b"tiny", parameters='; filename=""') + END, "tiny"),
    (part("model", b"tiny", headers="Content-Type: text/plain; charset=utf-8\r\n") + END, "tiny"),
    (part("model", "тест:7b".encode()) + END, "тест:7b"),
    (part("model", b"m" * MAX_MODEL_BYTES) + END, "m" * MAX_MODEL_BYTES),
    (b"--xXx\r\ncontent-disposition: FORM-DATA; NAME=model\r\n\r\ntiny\r\n--xXx--", "tiny"),
    (MODEL + END + b"whatever follows", "tiny"),
]
NAMELESS = [
    (b"", MissingBody, "missing request body"),
    (END, ModelRequired, "model is required"),
    (FILE + END, ModelRequired, "model is required"),
    (FILE + END + MODEL + END, ModelRequired, "model is required"),
    (part("model", b"") + END, ModelRequired, "model is required"),
    (part("model", b" \t") + MODEL + END, ModelRequired, "model is required"),
    (part("model", b"\xff") + END, InvalidBody, "model: invalid UTF-8"),
    (part("model", b"m" * (MAX_MODEL_BYTES + 1)) + END, InvalidBody, "model: the name is too long"),
    (b"--xXx", InvalidBody, "failed to parse multipart form: unexpected EOF"),
    (b"-", InvalidBody, "failed to parse multipart form: unexpected EOF"),
    (FILE[:-20], InvalidBody, "failed to parse multipart form: unexpected EOF"),
    (FILE + MODEL[:-2], InvalidBody, "failed to parse multipart form: unexpected EOF"),
    (b'{"model": "tiny"}', InvalidBody, "failed to parse multipart form: it does not begin with its boundary"),
    (b"preamble\r\n" + MODEL + END, InvalidBody, "failed to parse multipart form: it does not begin with its bou"),
    (b"--xXx\r\n\r\nx\r\n" + END, InvalidBody, "failed to parse multipart form: "),
    (MODEL.replace(b"\r\n", b"\n") + END, InvalidBody, "failed to parse multipart form: "),
    (b"--xXx\r\nX: " + b"y" * 100_000, InvalidBody, "failed to parse multipart form: "),
    (LANGUAGE * 1001 + MODEL + END, InvalidBody, "failed to parse multipart form: "),
]
CUTS = st.lists(st.integers(0, 400), max_size=12)


@pytest.mark.parametrize(("data", "model"), NAMED)
def test_the_model_of_a_form(data: bytes, model: str) -> None:
    """It is found wherever it stands, in one piece or byte by byte; of several it is the first, as Ollama has it."""
    assert (read(data), read(data, list(range(len(data))))) == (model, model)


@pytest.mark.parametrize(("data", "error", "words"), NAMELESS)
def test_forms_without_a_model(data: bytes, error: type[GatewayError], words: str) -> None:
    """Each says what is wrong with it."""
    for cuts in ([], list(range(min(len(data), 2000)))):
        with pytest.raises(error) as caught:
            read(data, cuts)
        assert caught.value.public_message.startswith(words)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMED), st.sampled_from(NAMELESS[:-2]), CUTS)
def test_bytes_may_arrive_as_they_like(
    named: tuple[bytes, str], nameless: tuple[bytes, type[GatewayError], str], cuts: list[int]
) -> None:
    """Wherever a form is cut on its way, it is read the same."""
    assert read(named[0], cuts) == named[1]
    with pytest.raises(nameless[1]) as caught:
        read(nameless[0], cuts)
    assert caught.value.public_message.startswith(nameless[2])


@pytest.mark.parametrize(
    ("value", "boundary"),
    [
        (b"multipart/form-data; boundary=xXx", b"xXx"),
        (b"Multipart/Form-Data;BOUNDARY=xXx", b"xXx"),
        (b'multipart/form-data; charset=utf-8; boundary="a b"', None),
        (b'multipart/form-data; boundary="a:b/c=?(d)"; charset="x y"', b"a:b/c=?(d)"),
        (b"multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxk", b"----WebKitFormBoundary7MA4YWxk"),
        (b"multipart/form-data; boundary=" + b"x" * 70, b"x" * 70),
        (b"multipart/form-data; boundary=" + b"x" * 71, None),
        (b"multipart/form-data; boundary=a; boundary=b", None),
        (b"multipart/form-data; boundary=a; Boundary=a", None),
        (b'multipart/form-data; boundary=""', None),
        (b'multipart/form-data; boundary="a\\"b"', None),
        (b"multipart/form-data; boundary*=utf-8''a", None),
        (b"multipart/form-data; boundary", None),
        (b"multipart/form-data", None),
        (b"multipart/mixed; boundary=a", None),
        (b"application/json", None),
        (b"", None),
    ],
)  # fmt: skip
def test_the_boundary(value: bytes, boundary: bytes | None) -> None:
    """It has to be plain, since a node has to see the same; what is sent to the node says it in one way."""
    if boundary is None:
        with pytest.raises(InvalidBody, match="failed to parse multipart form"):
            boundary_of([value])
    else:
        assert boundary_of([value]) == boundary
        assert boundary_of([form_type(boundary)]) == boundary


def test_one_content_type_and_no_other() -> None:
    """None and two are none."""
    for values in ([], [b"multipart/form-data; boundary=a"] * 2):
        with pytest.raises(InvalidBody, match="isn't multipart/form-data"):
            boundary_of(values)


@given(st.text(min_size=1, max_size=20).filter(lambda text: text.strip() and "\r" not in text and "--" not in text))
def test_the_part_of_the_gateways_own(model: str) -> None:
    """It goes in front of a form, and is read as the model whatever the form says itself."""
    assert read(model_part(BOUNDARY, model) + part("model", b"secret") + END) == model
