"""The route for transcriptions, whose answers are as odd as those of a real 0.33."""

from __future__ import annotations

import json

import pytest
from fidelity import Exchange
from simulator.asking import sent, told

TRANSCRIPTIONS = "/v1/audio/transcriptions"
CHARSET, BARE = "application/json; charset=utf-8", "application/json"
AUDIO = ("file", b"RIFFxxxx", "a.wav")


def form(*fields: tuple[str, bytes, str | None], end: bool = True) -> bytes:
    """A form's body; a field with a third part is a file of that name."""
    body = b""
    for name, value, filename in fields:
        file = f'; filename="{filename}"\r\nContent-Type: audio/wav' if filename else ""
        body += f'--BB\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b"\r\n"
    return body + (b"--BB--\r\n" if end else b"")


def transcribed(
    *fields: tuple[str, bytes, str | None], content_type: str = "multipart/form-data; boundary=BB"
) -> Exchange:
    """What a form gets."""
    return sent(TRANSCRIPTIONS, form(*fields), ("Content-Type", content_type))


def model_field(name: str = "tiny") -> tuple[str, bytes, None]:
    """The form's field for the model."""
    return ("model", name.encode(), None)


def steered(prompt: str) -> tuple[str, bytes, None]:
    """The form's field that steers."""
    return ("prompt", prompt.encode(), None)


@pytest.mark.parametrize("model_last", [True, False])
@pytest.mark.parametrize(("response_format", "plain"), [("json", False), ("verbose_json", False), ("text", True)])
def test_transcriptions(model_last: bool, response_format: str, plain: bool) -> None:
    """One chunk with the text, under the media type of Ollama's own streams, wherever the model's field stands."""
    fields = [AUDIO, steered("LIMIT 4"), ("response_format", response_format.encode(), None)]
    exchange = transcribed(*(*fields, model_field()) if model_last else (model_field(), *fields))
    assert (exchange.status, exchange.header("content-type"), exchange.framing) == (
        200,
        "application/x-ndjson",
        "chunked",
    )
    assert len(exchange.parts) == 1
    text = exchange.body.decode() if plain else json.loads(exchange.body)["text"]
    assert len(text.split()) == 4


def test_a_silent_transcription() -> None:
    """Without a token nothing has sent the head before the text is there, and the media type is right."""
    exchange = transcribed(model_field(), AUDIO, steered("LIMIT 0"))
    assert (exchange.header("content-type"), exchange.body) == (BARE, b'{"text":""}\n')


def test_forms_that_are_refused() -> None:
    """As any request that the dialect refuses."""
    for exchange, words in (
        (transcribed(AUDIO), "model is required"),
        (
            sent(TRANSCRIPTIONS, b"{}", ("Content-Type", "application/json")),
            "failed to parse multipart form: request Content-Type isn't multipart/form-data",
        ),
    ):
        assert (exchange.status, exchange.header("content-type"), told(exchange)) == (400, CHARSET, words)


@pytest.mark.parametrize(
    ("model", "prompt", "status", "words"),
    [
        ("absent", "", 404, "model 'absent' not found"),
        ("x:cloud", "", 403, "ollama cloud is disabled: remote model is unavailable"),
        ("tiny", "BUSY", 503, "server busy, please try again.  maximum pending requests exceeded"),
    ],
)
def test_transcriptions_that_the_native_route_refuses(model: str, prompt: str, status: int, words: str) -> None:
    """Translated back, the cloud's refusal too: no proxy looks at a form."""
    exchange = transcribed(model_field(model), AUDIO, steered(prompt))
    assert (exchange.status, exchange.header("content-type"), told(exchange)) == (status, BARE, words)


def test_transcriptions_whose_engine_fails() -> None:
    """Before the head a 500, chunked; after it an empty body with a clean end."""
    refused = transcribed(model_field(), AUDIO, steered("HTTP500"))
    assert (refused.status, refused.framing, "engine says no" in told(refused)) == (500, "chunked", True)
    for word in ("CUT", "DIE"):
        cut = transcribed(model_field(), AUDIO, steered(word))
        assert (cut.status, cut.header("content-type"), cut.body, cut.end) == (200, "application/x-ndjson", b"", "fin")
