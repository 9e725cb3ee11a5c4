"""What `ollamamax usage` prints."""

from __future__ import annotations

import json
from typing import Any

import pytest
from reports.answering import FakeCaller
from twisted.internet.defer import Deferred

from ollamamax.caller import Answer
from ollamamax.reports.usage import Form, print_usage


def figures(requests: int) -> dict[str, Any]:
    """A sum."""
    tokens = {"input_tokens": 1200, "output_tokens": 34, "cached_tokens": 0, "node_seconds": 3725.0}
    return {"requests": requests, "errors": 1, "outcomes": {"success": requests - 1, "timeout": 1}, **tokens}


def printed(answer: object, form: Form) -> str:
    """All lines."""
    lines: list[str] = []
    caller = FakeCaller(lambda _, __: answer)
    done: list[object] = []
    Deferred.fromCoroutine(print_usage(caller.as_caller, [], form, lines.append)).addBoth(done.append)
    assert done == [None]
    return "".join(f"{line}\n" for line in lines)


def document(*by: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """An answer of the server's."""
    times = {"since": "2025-10-01T00:00:00.000Z", "until": "2025-11-01T00:00:00.000Z"}
    return {**times, "by": list(by), "usage": rows, "total": figures(1234)}


def test_a_table() -> None:
    """A line a sum, and one for all of them; what has no name is a dash."""
    rows = [
        {"day": "2025-10-27", "model": "tiny:latest", **figures(5)},
        {"day": "2025-10-27", "model": None, **figures(1)},
    ]
    times, *lines = printed(document("day", "model", rows=rows), "table").splitlines()
    assert times.startswith("from 20")
    assert lines == [
        "day         model        requests  errors  input  output  cached  node time",
        "2025-10-27  tiny:latest         5       1  1,200      34       0   1 h 02 m",
        "2025-10-27  -                   1       1  1,200      34       0   1 h 02 m",
        "total                       1,234       1  1,200      34       0   1 h 02 m",
    ]


def test_a_table_of_one_sum() -> None:
    """By nothing, all there is to tell is the sum."""
    assert printed(document(rows=[figures(1234)]), "table").splitlines()[1:] == [
        "requests  errors  input  output  cached  node time",
        "   1,234       1  1,200      34       0   1 h 02 m",
    ]


def test_nothing_was_used() -> None:
    """There is the sum alone."""
    assert len(printed(document("day", rows=[]), "table").splitlines()) == 3
    assert printed(document("day", rows=[]), "json") == ""


def test_lines_of_json() -> None:
    """Each is what the server has said of a sum."""
    rows = [{"owner": "ada", **figures(5)}, {"owner": None, **figures(1)}]
    assert [json.loads(line) for line in printed(document("owner", rows=rows), "json").splitlines()] == rows


@pytest.mark.parametrize("body", [b"day,requests\r\n", b"day,requests\r\n2025-10-27,5\r\n"])
def test_csv(body: bytes) -> None:
    """It is the server's own."""
    answer = Answer(200, "text/csv; charset=utf-8; header=present", body)
    assert printed(answer, "csv") == body.decode()[:-2] + "\n"
