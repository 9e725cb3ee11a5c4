"""The two text formats: Prometheus' 0.0.4 and OpenMetrics 1.0.0, in pieces.

Byte for byte what prometheus-client writes, in an eighth of the time: it sorts and escapes the labels of each sample by
itself, and of a histogram each bucket is one. While a scrape is rendered the event loop waits for the interpreter's
lock at every turn, so its length is what streams feel. Timestamps and units are left out: no metric here has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.utils import floatToGoString

from ollamamax.metrics.families import Family, Histogram, Summary, Values, bounds_of

if TYPE_CHECKING:
    from prometheus_client.samples import Exemplar, Sample

PIECE_LINES = 256
"""Lines of a piece, written in some 0.2 ms."""

_TEXT_SUFFIXES = {"counter": "_total", "info": "_info"}


def exposition(families: Iterable[Family], *, openmetrics: bool) -> Iterator[bytes]:
    """Writes families.

    Args:
        families: as a registry collects them.
        openmetrics: in which of the formats.

    Returns:
        Pieces of at most `PIECE_LINES` lines, to be joined.
    """
    writer = _Writer(openmetrics=openmetrics)
    lines: list[str] = []
    for family in families:
        lines.append(_head(family, openmetrics=openmetrics))
        for line in writer.lines(family):
            lines.append(line)
            if len(lines) >= PIECE_LINES:
                yield "".join(lines).encode("utf-8", "replace")
                lines.clear()
    if openmetrics:
        lines.append("# EOF\n")
    yield "".join(lines).encode("utf-8", "replace")


class _Numbers(dict[float, str]):
    """Numbers as text; counts come again and again."""

    def __missing__(self, number: float) -> str:
        text: str = floatToGoString(number)
        self[number] = text
        return text


class _Pairs(dict[str, str]):
    """The values of one label with its name, escaped; they too come again and again."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def __missing__(self, value: str) -> str:
        pair = self[value] = _pair(self._name, value)
        return pair


class _Writer:
    """Writes the series of families, line by line."""

    def __init__(self, *, openmetrics: bool) -> None:
        self._openmetrics = openmetrics
        self._numbers = _Numbers()
        self._pairs: dict[str, _Pairs] = {}

    def lines(self, family: Family) -> Iterator[str]:
        """The lines of one family."""
        match family:
            case Values():
                return self._values(family)
            case Summary():
                return self._summary(family)
            case Histogram():
                return self._histogram(family)
            case _:
                return map(self._sample, family.samples)

    def _values(self, family: Values) -> Iterator[str]:
        name, text = family.metric.name, self._number
        if not family.metric.labels:
            return (f"{name} {text(number)}\n" for _, number in family.rows)
        joined = self._joiner(family.metric.labels)
        if family.type == "info":
            return (f"{name}{{{joined(labels)}}} 1.0\n" for labels, _ in family.rows)
        return (f"{name}{{{joined(labels)}}} {text(number)}\n" for labels, number in family.rows)

    def _summary(self, family: Summary) -> Iterator[str]:
        name, text = family.metric.name, self._number
        joined = self._joiner(family.metric.labels)
        for labels, count, total in family.rows:
            place = f"{{{joined(labels)}}}" if labels else ""
            yield f"{name}_count{place} {text(count)}\n"
            yield f"{name}_sum{place} {floatToGoString(total)}\n"

    def _histogram(self, family: Histogram) -> Iterator[str]:
        """The lines of a histogram; `le` stands among the labels where the alphabet has it."""
        name, names, numbers = family.name, family.metric.labels, self._numbers
        before = self._joiner(names, lambda label: label < "le")
        after = self._joiner(names, lambda label: label > "le")
        bounds = bounds_of(family.metric)
        exemplars = family.exemplars if self._openmetrics else {}
        for labels, counts, total in family.rows:
            first, last = before(labels), after(labels)
            head = f'{name}_bucket{{{first}{"," if first else ""}le="'
            tail = f'"{"," if last else ""}{last}}} '
            for at, (bound, count) in enumerate(zip(bounds, accumulate(counts), strict=True)):
                exemplar = _exemplar(exemplars.get((labels, at))) if exemplars else ""
                yield f"{head}{bound}{tail}{numbers[count]}{exemplar}\n"
            both = f"{first}{',' if first and last else ''}{last}"
            place = f"{{{both}}}" if both else ""
            yield f"{name}_count{place} {numbers[count]}\n"
            yield f"{name}_sum{place} {floatToGoString(total)}\n"

    def _sample(self, sample: Sample) -> str:
        """A line of the stock client's."""
        labels = ",".join([_pair(name, text) for name, text in sorted(sample.labels.items())])
        place = f"{{{labels}}}" if labels else ""
        exemplar = _exemplar(sample.exemplar) if self._openmetrics else ""
        return f"{sample.name}{place} {self._number(sample.value)}{exemplar}\n"

    def _number(self, number: float) -> str:
        # 0.0 and -0.0 are the same key.
        return self._numbers[number] if number else floatToGoString(number)

    def _joiner(
        self, names: Sequence[str], wanted: Callable[[str], bool] = lambda _: True
    ) -> Callable[[Sequence[str]], str]:
        """What makes the text of labels, in the order of their names, from their values in the declared order."""
        order = sorted((name, at) for at, name in enumerate(names) if wanted(name))
        places = [(self._pairs.setdefault(name, _Pairs(name)), at) for name, at in order]
        return lambda values: ",".join([pairs[values[at]] for pairs, at in places])


def _head(family: Family, *, openmetrics: bool) -> str:
    name, kind = family.name, family.type
    about = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        about = about.replace('"', r"\"")
    else:
        name += _TEXT_SUFFIXES.get(kind, "")
        kind = {"info": "gauge", "unknown": "untyped"}.get(kind, kind)
    return f"# HELP {name} {about}\n# TYPE {name} {kind}\n"


def _pair(name: str, text: str) -> str:
    escaped = text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return f'{name}="{escaped}"'


def _exemplar(exemplar: Exemplar | None) -> str:
    if exemplar is None:
        return ""
    labels = ",".join([_pair(name, text) for name, text in sorted(exemplar.labels.items())])
    moment = "" if exemplar.timestamp is None else f" {exemplar.timestamp}"
    return f" # {{{labels}}} {floatToGoString(exemplar.value)}{moment}"
