"""Usage as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
from datetime import date

import pytest

from ollamamax.store.usage import Key, Sums, Usage
from ollamamax.web.usage import as_csv, as_json

FIRST = Sums(
    outcomes={"success": 2, "timeout": 1}, input_tokens=30, output_tokens=20, cached_tokens=5, node_seconds=0.1 + 0.2
)
SECOND = Sums(outcomes={"client_error": 1, "success": 1}, input_tokens=1)


def usage(*by: str, sums: dict[Key, Sums]) -> Usage:
    """What was used since 1970."""
    return Usage(since=0.0, until=None, by=by, sums=sums)


def test_json() -> None:
    """A sum is told with what it is of, its errors are ours alone, and all are summed up."""
    day = date(2025, 10, 27)
    found = json.loads(as_json(usage("day", "model", sums={(day, "tiny:latest"): FIRST, (day, None): SECOND}), 86400.0))
    assert found["usage"][0] == {
        "day": "2025-10-27",
        "model": "tiny:latest",
        "requests": 3,
        "errors": 1,
        "outcomes": {"success": 2, "timeout": 1},
        "input_tokens": 30,
        "output_tokens": 20,
        "cached_tokens": 5,
        "node_seconds": 0.3,
    }
    assert found["usage"][1]["model"] is None
    assert found["total"] == {
        "requests": 5,
        "errors": 1,
        "outcomes": {"client_error": 1, "success": 3, "timeout": 1},
        "input_tokens": 31,
        "output_tokens": 20,
        "cached_tokens": 5,
        "node_seconds": 0.3,
    }
    assert (found["since"], found["until"], found["by"]) == (
        "1970-01-01T00:00:00.000Z",
        "1970-01-02T00:00:00.000Z",
        ["day", "model"],
    )


def test_nothing_was_used() -> None:
    """The list is empty, and its sum nothing."""
    found = json.loads(as_json(usage("day", sums={}), 1.0))
    assert (found["usage"], found["total"]["requests"]) == ([], 0)
    assert as_csv(usage("day", sums={})).count(b"\r\n") == 1


def test_csv() -> None:
    """A header, then a line for each sum, every outcome in a column of its own; what has no name is empty."""
    day = date(2025, 10, 27)
    assert as_csv(usage("day", "owner", sums={(day, 'a,"b"\r\nc'): FIRST, (day, None): SECOND})) == (
        b"day,owner,requests,errors,success,length,client_error,client_disconnected,unavailable,timeout,node_error,"
        b"stream_error,incomplete,interrupted,input_tokens,output_tokens,cached_tokens,node_seconds\r\n"
        b'2025-10-27,"a,""b""\r\nc",3,1,2,0,0,0,0,1,0,0,0,0,30,20,5,0.3\r\n'
        b"2025-10-27,,2,0,1,0,1,0,0,0,0,0,0,0,1,0,0,0.0\r\n"
    )


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"])
def test_a_name_is_no_formula(name: str) -> None:
    """What a spreadsheet would reckon out begins with an apostrophe; nothing else is changed."""
    text = as_csv(usage("end_user", sums={(name,): FIRST, ("a=b",): FIRST})).decode()
    assert [line[0] for line in csv.reader(io.StringIO(text, newline=""))] == ["end_user", f"'{name}", "a=b"]
