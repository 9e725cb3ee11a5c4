"""A question and its answer, or one line that says why there is none."""

from __future__ import annotations

from typing import Any

import pytest
from reports.answering import URL, FakeCaller, error
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ollamamax.caller import Answer, Unanswered
from ollamamax.reports.asking import NoAnswer, ask_for_list


def asked(answer: object) -> Any:
    """What comes of a question."""
    caller = FakeCaller(lambda _, __: answer)
    results: list[object] = []
    question = [("model", "a b&c"), ("model", "d")]
    Deferred.fromCoroutine(ask_for_list(caller.as_caller, "/x", question, "rows")).addBoth(results.append)
    assert caller.asked == [{"model": ["a b&c", "d"]}]
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


def test_an_answer() -> None:
    """All values of a parameter are sent, and the document comes back."""
    assert asked({"rows": [{"a": 1}], "b": 2}) == {"rows": [{"a": 1}], "b": 2}


@pytest.mark.parametrize(
    ("answer", "text", "is_wrong"),
    [
        (Unanswered("no connection: it took too long"), f"{URL}: no connection: it took too long", False),
        (error(400, "since: expected a time"), "since: expected a time", True),
        (error(503, "the database cannot be used now"), f"{URL}: 503: the database cannot be used now", False),
        (error(401, "no key"), f"{URL}: it wants a key; expected one in OLLAMAMAX_API_KEY", False),
        (
            Answer(200, "text/html", b"<html>"),
            f"{URL}: this is no OllamaMax of this version: GET /x gave 200 text/html",
            False,
        ),
        (
            Answer(404, "text/html", b"<html>"),
            f"{URL}: this is no OllamaMax of this version: GET /x gave 404 text/html",
            False,
        ),
        ({"rows": [1]}, f"{URL}: this is no OllamaMax of this version: GET /x gave no list of rows", False),
        ([], f"{URL}: this is no OllamaMax of this version: GET /x gave no list of rows", False),
    ],
)
def test_no_answer(answer: object, text: str, is_wrong: bool) -> None:
    """Whose fault it is, and what to do."""
    with pytest.raises(NoAnswer) as caught:
        asked(answer)
    assert (str(caught.value), caught.value.is_wrong) == (text, is_wrong)
