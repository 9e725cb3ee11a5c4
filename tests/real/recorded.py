"""Answers that came through the gateway, judged by those that were recorded: alike, but for a listed few."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from fidelity import Exchange, Recorded, differences

Judgement = Callable[[Recorded, Exchange], None]
"""Asserts how an answer differs from the recorded one, and that it does in nothing else."""


def added_headers(recorded: Recorded) -> tuple[str, ...]:
    """What the gateway adds to each answer: its id, also where Anthropic's clients look for it."""
    path = recorded.request.split(b" ", 2)[1]
    return ("x-request-id", "request-id") if path.startswith(b"/v1/messages") else ("x-request-id",)


def unlike(recorded: Recorded, found: Exchange) -> list[str]:
    """In what an answer differs from the recorded one but for the headers that are added to each."""
    return differences(recorded.exchange, found, ignored_headers=added_headers(recorded))


def told_by_the_gateway(
    status: int, document: object, *, content_type: str = "application/json; charset=utf-8", allow: str = ""
) -> Judgement:
    """The gateway's own words, as JSON and with their length, under a status; else the recorded answer's shape."""

    def judge(recorded: Recorded, found: Exchange) -> None:
        assert (found.status, found.framing, found.end) == (status, "length", "fin")
        assert found.header("content-type") == content_type
        assert json.loads(found.body) == document
        assert found.header("allow") == allow
        wanted = [name for name, _ in recorded.exchange.headers]
        assert sorted(name for name, _ in found.headers) == sorted([*wanted, *added_headers(recorded)])

    return judge


def assert_like_the_recorded(
    wanted: Mapping[str, Recorded],
    found: Mapping[str, Exchange],
    *,
    different: Mapping[str, Judgement],
    in_other_words: Mapping[str, str],
) -> None:
    """Each answer is like the recorded one, and those that are listed differ in just what is listed.

    Args:
        wanted: what was recorded, by name.
        found: what came, by the same names.
        different: how some are judged instead; each of them has to differ.
        in_other_words: the only difference of some that have nothing but another text.
    """
    told = {name: different_in for name, each in wanted.items() if (different_in := unlike(each, found[name]))}
    expected = {name: [text] for name, text in in_other_words.items() if name in wanted}
    assert {name: different_in for name, different_in in told.items() if name not in different} == expected
    assert told.keys() - expected.keys() == different.keys() & wanted.keys()
    for name in different.keys() & wanted.keys():
        different[name](wanted[name], found[name])
    for name, each in wanted.items():
        (identity,) = {found[name].header(header) for header in added_headers(each)}
        assert identity
