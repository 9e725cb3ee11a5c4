"""Forms with a file in them, read until the model that they name is known.

Pure. What the gateway reads and what a node reads must be the same, but no two parsers of multipart bodies agree on
everything. So the node is not left to find the model in the client's bytes: its head names the one boundary that was
read here, and a part of the gateway's own with the model goes first. Of several fields of one name Ollama takes the
first (`Request.FormValue` of Go), so whatever else the client's bytes hold cannot name another one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from ollamamax.errors import InvalidBody, MissingBody, ModelRequired

MAX_MODEL_BYTES = 1024
_MAX_PARTS = 1000  # as Go's own
_WORDS = "failed to parse multipart form"
_PARAMETER = rb";[ \t]*([a-z0-9!#$&^_.+-]+)=(\"[^\"\\]*\"|[^\s\";,\\]+)[ \t]*"
_FORM_TYPE = re.compile(rb"multipart/form-data[ \t]*((?:%b)*)" % _PARAMETER, re.IGNORECASE)
_PARAMETERS = re.compile(_PARAMETER, re.IGNORECASE)
# RFC 2046, 5.1.1, without the space.
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=?-]{1,70}")


def boundary_of(content_types: Sequence[bytes]) -> bytes:
    """The boundary of a form.

    Args:
        content_types: the values of a request's Content-Type fields.

    Raises:
        InvalidBody: the body is no form, or it cannot be told where its parts end.
    """
    match = _FORM_TYPE.fullmatch(content_types[0].strip()) if len(content_types) == 1 else None
    if match is None:
        raise InvalidBody(f"{_WORDS}: request Content-Type isn't multipart/form-data")
    found = [value.strip(b'"') for name, value in _PARAMETERS.findall(match[1]) if name.lower() == b"boundary"]
    if len(found) != 1 or _BOUNDARY.fullmatch(found[0]) is None:
        raise InvalidBody(f"{_WORDS}: no multipart boundary param in Content-Type")
    return bytes(found[0])


def form_type(boundary: bytes) -> bytes:
    """The Content-Type of a form with this boundary."""
    return b'multipart/form-data; boundary="%b"' % boundary


def model_part(boundary: bytes, model: str) -> bytes:
    """The field `model` as the first part of a form; what follows it begins with the boundary."""
    return b'--%b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n' % (boundary, model.encode())


class ModelField:
    """Reads a form as it arrives, as far as its model."""

    def __init__(self, boundary: bytes) -> None:
        self._opening = b"--" + boundary
        self._start: bytes | None = b""
        self._parser = PushMultipartParser(boundary, max_segment_count=_MAX_PARTS)
        self._reading = False
        self._value = b""

    def feed(self, data: bytes) -> str | None:
        """Takes a piece of the body.

        Returns:
            The model once it is known; then nothing more may be fed.

        Raises:
            InvalidBody: it is no form, or its model is no name.
            ModelRequired: the model is empty.
        """
        if self._start is not None and not (data := self._opened(data)):
            return None
        try:
            for event in self._parser.parse(data):
                if isinstance(event, MultipartSegment):
                    # A part with the name of a file is a file, whatever its own name.
                    self._reading = event.name == "model" and not event.filename
                elif event is None:
                    if self._reading:
                        return self._model()
                elif self._reading:
                    self._value += event
                    if len(self._value) > MAX_MODEL_BYTES:
                        raise InvalidBody("model: the name is too long")
        except MultipartError as error:
            raise InvalidBody(f"{_WORDS}: {error}") from None
        return None

    def end(self) -> None:
        """The body is over, and no model was known.

        Raises:
            MissingBody: there was none.
            InvalidBody: it was cut off.
            ModelRequired: it names no model.
        """
        if self._start == b"":
            raise MissingBody
        try:
            self._parser.close()
        except MultipartError:
            raise InvalidBody(f"{_WORDS}: unexpected EOF") from None
        raise ModelRequired

    def _opened(self, data: bytes) -> bytes:
        """All that has come, once it is known to begin with the boundary; until then nothing.

        The parser would look further for the first boundary, and find it where a node does not.
        """
        assert self._start is not None
        self._start += data
        if not self._start.startswith(self._opening[: len(self._start)]):
            raise InvalidBody(f"{_WORDS}: it does not begin with its boundary")
        if len(self._start) < len(self._opening):
            return b""
        opened, self._start = self._start, None
        return opened

    def _model(self) -> str:
        try:
            model = self._value.decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidBody("model: invalid UTF-8") from None
        if not model.strip():
            raise ModelRequired
        return model
