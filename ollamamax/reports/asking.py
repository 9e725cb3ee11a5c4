"""One question to a running server, and its answer, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast
from urllib.parse import urlencode

from ollamamax.caller import Answer, Caller, Unanswered

Question = Sequence[tuple[str, str]]
"""The parameters of a query; several of one name are several values that will do."""


class NoAnswer(Exception):
    """A question without an answer; the text is one line for the user.

    Attributes:
        is_wrong: whether the question itself was at fault, so that asking again makes no sense.
    """

    def __init__(self, text: str, *, is_wrong: bool = False) -> None:
        super().__init__(text)
        self.is_wrong = is_wrong


async def ask(caller: Caller, path: str, question: Question, accept: str = "application/json") -> Answer:
    """Asks, and sees that the answer is one.

    Raises:
        NoAnswer: it is none.
    """
    query = urlencode(question)
    try:
        answer = await caller.get(f"{path}?{query}" if query else path, Accept=accept)
    except Unanswered as failure:
        raise NoAnswer(f"{caller.url}: {failure}") from None
    if answer.status == 200 and answer.content_type.startswith(accept):
        return answer
    if answer.status == 401:
        raise NoAnswer(f"{caller.url}: it wants a key; expected one in OLLAMAMAX_API_KEY")
    message = _message(answer.json())
    if message is None:
        raise NoAnswer(f"{caller.url}: this is no OllamaMax of this version: GET {path} gave {answer.described()}")
    if answer.status == 400:
        raise NoAnswer(message, is_wrong=True)
    raise NoAnswer(f"{caller.url}: {answer.status}: {message}")


async def ask_for_list(caller: Caller, path: str, question: Question, name: str) -> Mapping[str, object]:
    """Asks for an object that has a list of objects under a name; arguments and errors as for `ask`."""
    document = (await ask(caller, path, question)).json()
    rows = document.get(name) if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise NoAnswer(f"{caller.url}: this is no OllamaMax of this version: GET {path} gave no list of {name}")
    return cast("Mapping[str, object]", document)


def _message(document: object) -> str | None:
    error = document.get("error") if isinstance(document, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) else None
