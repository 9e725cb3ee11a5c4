"""What the log tells of one request when it is over.

Pure. Never a query, a header but for what the settings let be known of the client, or a body.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from ollamamax.logs.lines import pair, plain

PATH_LIMIT = 1024
"""Characters of a path that are told."""

_UNSEEN = re.compile(rb"[^!-~]")
INFERENCE_FIELDS = (
    "operation",
    "outcome",
    "error_code",
    "node",
    "model",
    "attempts",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "first_token_seconds",
    "queue_seconds",
    "slot_wait_seconds",
    "load_seconds",
    "prompt_seconds",
    "output_seconds",
)
"""What is told of an inference request besides, by the names of the ledger."""


@attrs.frozen
class AccessEntry:
    """One request at its end.

    Attributes:
        method: as sent.
        path: as sent, percent-encoded, without its query.
        status: of the answer; 499 where the client left.
        seconds: from the head's arrival to the end.
        request_id: the id that the answer carried.
        bytes_out: bytes of the answer's body that were written.
        client: the client's address, as far as the settings want it known.
        inference: of an inference request, the fields of `INFERENCE_FIELDS` that are known.
    """

    method: str
    path: str
    status: int
    seconds: float
    request_id: str
    bytes_out: int
    client: str | None = None
    inference: Mapping[str, object] = {}

    @property
    def summary(self) -> str:
        """What happened, in three words."""
        return f"{plain(self.method)} {self.path} {self.status}"

    @property
    def fields(self) -> Mapping[str, object]:
        """Everything by name."""
        return {
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "seconds": self.seconds,
            "request_id": self.request_id,
            "bytes_out": self.bytes_out,
            "client": self.client,
            **self.inference,
        }

    def __str__(self) -> str:
        told = {"bytes_out": self.bytes_out, "client": self.client, **self.inference}
        pairs = [pair(name, value) for name, value in told.items() if value is not None]
        return " ".join([f"{self.summary} {self.seconds:.3f}s {self.request_id}", *pairs])


def shown_path(path: bytes) -> str:
    """A path as it is told: as it was sent, what is not printable ASCII percent-encoded, cut where it is very long."""
    encoded = _UNSEEN.sub(lambda byte: b"%%%02X" % byte[0][0], path).decode("ascii")
    return encoded if len(encoded) <= PATH_LIMIT else f"{encoded[:PATH_LIMIT]}..."
