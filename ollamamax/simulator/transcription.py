"""`/v1/audio/transcriptions`: the form that asks, and the text that answers (`middleware/openai.go`). Pure.

Ollama streams inside and collects the text, so the head goes out with the first token, with the media type of its own
streams whatever follows; an engine that fails after that leaves an empty body with a clean end.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import attrs
from werkzeug.formparser import MultiPartParser
from werkzeug.http import parse_options_header

from .dialects import openai_error
from .failures import ApiFailure, not_understood
from .frames import line
from .json_requests import Fields
from .tokens import Token
from .words import BARE_JSON, NDJSON, PLAIN, Usage

_TASK = "Transcribe the audio exactly as spoken."


@attrs.frozen
class Transcription:
    """What the form asks for.

    Attributes:
        model: whom.
        audio_bytes: how much there is to hear.
        plain: whether the answer is to be the bare text.
        language: of what is spoken, if it is known.
        prompt: what helps to understand it.
    """

    model: str
    audio_bytes: int
    plain: bool = False
    language: str = ""
    prompt: str = ""

    def chat(self) -> Fields:
        """As `/api/chat` takes it."""
        parts = [_TASK, *([f"The audio is in {self.language}."] if self.language else [])]
        parts += [f"Context: {self.prompt}"] if self.prompt else []
        return {
            "model": self.model,
            "stream": True,
            "messages": [
                {"role": "system", "content": " ".join(parts)},
                {"role": "user", "content": "Which words are spoken?"},
            ],
            "options": {"temperature": 0},
        }


def read_form(body: bytes, content_type: str) -> Transcription:
    """What a request's form asks for.

    Raises:
        ApiFailure: 400, in the words of Ollama and of Go's `mime/multipart`.
    """
    media_type, parameters = parse_options_header(content_type)
    if media_type != "multipart/form-data":
        raise _unreadable("request Content-Type isn't multipart/form-data")
    boundary = parameters.get("boundary", "")
    if not boundary:
        raise _unreadable("no multipart boundary param in Content-Type")
    delimiter = boundary.encode("latin-1", "replace")
    if b"--" + delimiter not in body:
        raise _unreadable("multipart: NextPart: EOF")
    try:
        fields, files = MultiPartParser(_in_memory).parse(io.BytesIO(body), delimiter, len(body))
    except ValueError:
        raise _unreadable("unexpected EOF") from None
    model = fields.get("model", "")
    if not model:
        raise not_understood("model is required")
    audio = files.get("file")
    if audio is None:
        raise not_understood("file is required: http: no such file")
    size = len(audio.read())
    if not size:
        raise not_understood("audio file is empty")
    plain = fields.get("response_format") == "text"
    return Transcription(model, size, plain, fields.get("language", ""), fields.get("prompt", ""))


def _in_memory(*_: object, **__: object) -> io.BytesIO:
    """Where the parser puts a file: the body is in memory already."""
    return io.BytesIO()


def _unreadable(reason: str) -> ApiFailure:
    return not_understood(f"failed to parse multipart form: {reason}")


@attrs.define
class TranscriptionWords:
    """One transcription.

    Attributes:
        plain: whether the answer is the bare text.
    """

    plain: bool = False
    _said: list[str] = attrs.field(factory=list, init=False)
    _begun: bool = attrs.field(default=False, init=False)

    @property
    def whole_type(self) -> bytes:
        """The media type that the text should have."""
        return PLAIN if self.plain else BARE_JSON

    @property
    def stream_type(self) -> bytes:
        """The media type that it has."""
        return NDJSON if self._begun else self.whole_type

    def token(self, token: Token, now: float) -> Sequence[bytes]:
        """Nothing yet."""
        if token.kind != "silent":
            self._begun = True
        if token.kind == "content":
            self._said.append(token.text)
        return ()

    def final(self, now: float, usage: Usage) -> Sequence[bytes]:
        """The text."""
        return (self._body(),)

    def whole(self, now: float, said: Sequence[Token], usage: Usage) -> bytes:
        """The same, for there is no other way."""
        return self._body()

    def lost(self, failure: ApiFailure, now: float) -> Sequence[bytes]:
        """Nothing."""
        return ()

    def in_band(self, failure: ApiFailure) -> bytes:
        """The error as a line."""
        return line(openai_error(failure))

    def _body(self) -> bytes:
        text = "".join(self._said).strip()
        return text.encode() if self.plain else line({"text": text})
