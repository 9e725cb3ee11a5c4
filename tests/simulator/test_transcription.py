"""Transcriptions: the form as it is read, and the words of the answer."""

from __future__ import annotations

from typing import Any

import pytest

from ollamamax.simulator.failures import ApiFailure, engine_lost
from ollamamax.simulator.tokens import Token
from ollamamax.simulator.transcription import Transcription, TranscriptionWords, read_form
from ollamamax.simulator.words import Usage

CONTENT_TYPE = 'multipart/form-data; boundary="B B"'


def form(*fields: tuple[str, bytes, str]) -> bytes:
    """A form's body; a field with a third part is a file of that name."""
    body = b""
    for name, value, filename in fields:
        file = f'; filename="{filename}"' if filename else ""
        body += f'--B B\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b"\r\n"
    return body + b"--B B--\r\n"


MODEL, FILE = ("model", b"tiny", ""), ("file", b"\x00\r\n--B\xff", "a.wav")


def test_what_a_form_asks_for() -> None:
    """The fields that count, in any order; the file's bytes may be anything."""
    assert read_form(form(MODEL, FILE), CONTENT_TYPE) == Transcription("tiny", 7)
    fields = [("response_format", b"text", ""), ("language", b"de", ""), ("prompt", "ß".encode(), ""), ("x", b"y", "")]
    assert read_form(form(FILE, *fields, MODEL), CONTENT_TYPE) == Transcription("tiny", 7, True, "de", "ß")
    for other in (b"json", b"verbose_json", b"srt"):
        assert not read_form(form(MODEL, FILE, ("response_format", other, "")), CONTENT_TYPE).plain


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (form(MODEL, FILE), "", "failed to parse multipart form: request Content-Type isn't multipart/form-data"),
        (
            form(MODEL, FILE),
            "multipart/mixed; boundary=B",
            "failed to parse multipart form: request Content-Type isn't multipart/form-data",
        ),
        (
            form(MODEL, FILE),
            "multipart/form-data",
            "failed to parse multipart form: no multipart boundary param in Content-Type",
        ),
        (b"", CONTENT_TYPE, "failed to parse multipart form: multipart: NextPart: EOF"),
        (
            form(MODEL, FILE),
            "multipart/form-data; boundary=C",
            "failed to parse multipart form: multipart: NextPart: EOF",
        ),
        (form(MODEL, FILE)[:-9], CONTENT_TYPE, "failed to parse multipart form: unexpected EOF"),
        (form(FILE), CONTENT_TYPE, "model is required"),
        (form(("model", b"", ""), FILE), CONTENT_TYPE, "model is required"),
        (form(MODEL), CONTENT_TYPE, "file is required: http: no such file"),
        (form(MODEL, ("file", b"x", "")), CONTENT_TYPE, "file is required: http: no such file"),
        (form(MODEL, ("file", b"", "a.wav")), CONTENT_TYPE, "audio file is empty"),
    ],
)
def test_forms_that_are_refused(body: bytes, content_type: str, words: str) -> None:
    """In the order in which they are looked at."""
    with pytest.raises(ApiFailure) as caught:
        read_form(body, content_type)
    assert (caught.value.status, caught.value.message, caught.value.layer) == (400, words, "dialect")


def test_what_the_model_is_asked() -> None:
    """The task, with what is known of the audio; streamed, and without chance."""
    plain = Transcription("m", 1).chat()
    assert list(plain) == ["model", "stream", "messages", "options"]
    assert (plain["model"], plain["stream"], plain["options"]) == ("m", True, {"temperature": 0})
    messages: Any = plain["messages"]
    system, user = messages
    assert system == {"role": "system", "content": "Transcribe the audio exactly as spoken."}
    assert (user["role"], bool(user["content"])) == ("user", True)
    steered: Any = Transcription("m", 1, language="de", prompt="LIMIT 3").chat()["messages"]
    assert steered[0]["content"] == "Transcribe the audio exactly as spoken. The audio is in de. Context: LIMIT 3"


@pytest.mark.parametrize(("plain", "body"), [(False, b'{"text":"a b"}\n'), (True, b"a b")])
def test_the_text_comes_at_the_end(plain: bool, body: bytes) -> None:
    """Without the space around it, thinking and marks; nothing before it but the head."""
    words = TranscriptionWords(plain)
    tokens = [Token("silent", "<"), Token("thinking", "x"), Token("content", " a"), Token("content", " b ")]
    assert [list(words.token(token, 1.0)) for token in tokens] == [[]] * 4
    assert list(words.final(1.0, Usage("stop"))) == [body] == [words.whole(1.0, (), Usage("stop"))]


def test_media_types() -> None:
    """The right one until a token has sent the head."""
    for plain, media_type in ((False, b"application/json"), (True, b"text/plain")):
        words = TranscriptionWords(plain)
        assert words.stream_type == words.whole_type == media_type
        words.token(Token("silent", "<think>"), 1.0)
        assert words.stream_type == media_type
        words.token(Token("thinking", "x"), 1.0)
        assert (words.stream_type, words.whole_type) == (b"application/x-ndjson", media_type)


def test_failures() -> None:
    """Nothing where Ollama says nothing; else a line."""
    words = TranscriptionWords()
    assert list(words.lost(engine_lost(), 1.0)) == []
    assert words.in_band(engine_lost()).startswith(b'{"error":{"message":"an error was')
    assert words.in_band(engine_lost()).endswith(b"}\n")
