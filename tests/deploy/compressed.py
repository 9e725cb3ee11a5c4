"""Rules in which time runs faster, so that a test sees within seconds what takes minutes and hours.

Ranges, intervals and what an alert waits for are divided, and with them the numbers that stand for such a time: the
seconds by which a rate becomes a count, the reach of a prediction. What a server measures (a duration, a moment) is
compared as it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
import promql_parser as promql
from deploy.rule_files import Group, Rule

_RANGE = re.compile(r"\[(\w+)\]")
_COUNT = re.compile(r"(:rate(\w+)\)? \* )(\d+)\b")
_PREDICTION = re.compile(r"(\[\w+\], )(\d+)\b")


def compressed(groups: Sequence[Group], factor: int) -> list[Group]:
    """The groups with all their times divided.

    Args:
        groups: left as they are.
        factor: by which.

    Raises:
        ValueError: a rate is multiplied by other seconds than those of its window, so that it is no count.
    """
    return [
        msgspec.structs.replace(
            group, interval=_divided(group.interval, factor), rules=[_rule(rule, factor) for rule in group.rules]
        )
        for group in groups
    ]


def _rule(rule: Rule, factor: int) -> Rule:
    def count(found: re.Match[str]) -> str:
        before, window, seconds = found.groups()
        if promql.parse_duration(window).total_seconds() != int(seconds):
            raise ValueError(f"{rule.name}: {found[0]} counts nothing")
        return f"{before}{int(seconds) / factor:g}"

    expression = _COUNT.sub(count, rule.expr)
    expression = _PREDICTION.sub(lambda found: f"{found[1]}{int(found[2]) / factor:g}", expression)
    expression = _RANGE.sub(lambda found: f"[{_divided(found[1], factor)}]", expression)
    return msgspec.structs.replace(rule, expr=expression, duration=_divided(rule.duration, factor))


def _divided(duration: str, factor: int) -> str:
    """A duration as the rules spell it, divided; none and zero stay as they are."""
    if duration in ("", "0m"):
        return duration
    return f"{round(promql.parse_duration(duration).total_seconds() * 1000 / factor)}ms"
