"""A server for commands that answers from what a test holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from twisted.internet.task import Clock

from ollamamax.caller import Answer, Caller, Unanswered

URL = "http://h:1"


class FakeCaller:
    """Answers as it is told, and notes what it was asked.

    Attributes:
        answer: makes of a path and its parameters what is answered: a document, an answer, or a failure to raise.
        asked: the parameters of each request.
    """

    def __init__(self, answer: Callable[[str, dict[str, list[str]]], object]) -> None:
        self.clock = Clock()
        self.url = URL
        self.answer = answer
        self.asked: list[dict[str, list[str]]] = []

    async def get(self, path: str, **headers: str) -> Answer:
        parts = urlsplit(path)
        parameters = parse_qs(parts.query)
        self.asked.append(parameters)
        found = self.answer(parts.path, parameters)
        if isinstance(found, Unanswered):
            raise found
        if isinstance(found, Answer):
            return found
        return Answer(200, f"{headers['Accept']}; charset=utf-8", json.dumps(found).encode())

    @property
    def as_caller(self) -> Caller:
        """Itself, as what it stands for."""
        return cast("Caller", self)


def error(status: int, message: str) -> Answer:
    """An answer of the gateway's that is none."""
    body = {"error": {"code": "x", "message": message, "request_id": "r"}}
    return Answer(status, "application/json; charset=utf-8", json.dumps(body).encode())


def row(identifier: str, second: float, **columns: Any) -> dict[str, Any]:
    """A row as the API has it, of a request that was over so many seconds after ten."""
    moment = f"2025-10-27T10:{int(second) // 60:02}:{second % 60:06.3f}Z"
    known = {"started_at": "2025-10-27T10:00:00.000Z", "finished_at": moment, "outcome": "success", "status": 200}
    known |= {"operation": "chat", "model": "tiny:latest", "node": "desk", "end_user": None, "owner": None}
    known |= {"input_tokens": 12345, "output_tokens": 7, "first_token_seconds": 0.25, "duration_seconds": 75.0}
    return {"id": identifier, **known, **columns}
