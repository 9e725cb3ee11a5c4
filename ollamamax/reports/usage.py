"""`ollamamax usage`: what was used, as a table, as lines of JSON or as CSV."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

from ollamamax.caller import Caller
from ollamamax.reports.asking import Question, ask, ask_for_list
from ollamamax.reports.tables import Column, Table
from ollamamax.reports.words import count, duration, local_time, shown

PATH = "/api/v1/usage"
_TITLES = ("requests", "errors", "input", "output", "cached", "node time")

Form = Literal["table", "json", "csv"]


async def print_usage(caller: Caller, question: Question, form: Form, say: Callable[[str], object]) -> None:
    """Asks, and prints the answer.

    Args:
        caller: asks the server.
        question: of what usage.
        form: a table for people, a JSON object a line, or the server's own CSV.
        say: takes the lines.

    Raises:
        NoAnswer: there is none.
    """
    if form == "csv":
        answer = await ask(caller, PATH, question, "text/csv")
        say(answer.body.decode("utf-8").removesuffix("\r\n"))
        return
    document = await ask_for_list(caller, PATH, question, "usage")
    rows = cast("Sequence[Mapping[str, Any]]", document["usage"])
    for line in (json.dumps(row, ensure_ascii=False) for row in rows) if form == "json" else _table(document, rows):
        say(line)


def _table(document: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    by = cast("Sequence[str]", document["by"])
    table = Table([*(Column(name) for name in by), *(Column(title, to_the_right=True) for title in _TITLES)])
    lines = [[*(shown(row[name]) for name in by), *_figures(row)] for row in rows]
    total = [*(["total"] + [""] * (len(by) - 1) if by else []), *_figures(document["total"])]
    table.fit([*lines, total])
    times = f"from {local_time(document['since'])} to {local_time(document['until'])}"
    body = [table.line(cells) for cells in lines] if by else []
    return [times, table.head(), *body, table.line(total)]


def _figures(row: Mapping[str, Any]) -> list[str]:
    counts = (row[name] for name in ("requests", "errors", "input_tokens", "output_tokens", "cached_tokens"))
    return [*(count(value) for value in counts), duration(row["node_seconds"])]
