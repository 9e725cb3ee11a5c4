"""The two text formats: Prometheus' 0.0.4 and OpenMetrics 1.0.0, in pieces.

Byte for byte what prometheus-client writes, in an eighth of the time: it sorts and escapes the labels of each sample by
itself, and of a histogram each bucket is one. While a scrape is rendered the event loop waits for the interpreter's
lock at every turn, so its length is what streams feel. Timestamps and units are left out: no metric here has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.utils import floatToGoString

from ollamamax.metrics.families import CompactHistogram, Exemplars, Family, bounds_of

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
    numbers = _Numbers()
    lines: list[str] = []
    for family in families:
        lines.append(_head(family, openmetrics=openmetrics))
        written = (
            _rows(family, numbers, family.exemplars if openmetrics else {})
            if isinstance(family, CompactHistogram)
            else (_line(sample, numbers, openmetrics=openmetrics) for sample in family.samples)
        )
        for line in written:
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


def _head(family: Family, *, openmetrics: bool) -> str:
    name, kind = family.name, family.type
    about = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        about = about.replace('"', r"\"")
    else:
        name += _TEXT_SUFFIXES.get(kind, "")
        kind = {"info": "gauge", "unknown": "untyped"}.get(kind, kind)
    return f"# HELP {name} {about}\n# TYPE {name} {kind}\n"


def _line(sample: Sample, numbers: _Numbers, *, openmetrics: bool) -> str:
    labels = ",".join([_pair(name, text) for name, text in sorted(sample.labels.items())])
    exemplar = _exemplar(sample.exemplar) if openmetrics else ""
    value = numbers[sample.value] if sample.value else floatToGoString(sample.value)
    return f"{sample.name}{{{labels}}} {value}{exemplar}\n" if labels else f"{sample.name} {value}{exemplar}\n"


def _rows(family: CompactHistogram, numbers: _Numbers, exemplars: Exemplars) -> Iterator[str]:
    """The lines of a histogram; `le` stands among the labels where the alphabet has it."""
    name, names = family.name, family.metric.labels
    order = sorted(range(len(names)), key=names.__getitem__)
    before = [at for at in order if names[at] < "le"]
    after = [at for at in order if names[at] > "le"]
    bounds = bounds_of(family.metric)
    for labels, counts, total in family.rows:
        first, last = _joined(names, labels, before), _joined(names, labels, after)
        head = f'{name}_bucket{{{first}{"," if first else ""}le="'
        tail = f'"{"," if last else ""}{last}}} '
        for at, (bound, count) in enumerate(zip(bounds, accumulate(counts), strict=True)):
            exemplar = exemplars.get((labels, at)) if exemplars else None
            yield f"{head}{bound}{tail}{numbers[count]}{_exemplar(exemplar)}\n"
        both = f"{first}{',' if first and last else ''}{last}"
        place = f"{{{both}}}" if both else ""
        yield f"{name}_count{place} {numbers[sum(counts)]}\n"
        yield f"{name}_sum{place} {floatToGoString(total)}\n"


def _joined(names: Sequence[str], values: Sequence[str], places: Sequence[int]) -> str:
    return ",".join([_pair(names[at], values[at]) for at in places])


def _pair(name: str, text: str) -> str:
    escaped = text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return f'{name}="{escaped}"'


def _exemplar(exemplar: Exemplar | None) -> str:
    if exemplar is None:
        return ""
    labels = ",".join([_pair(name, text) for name, text in sorted(exemplar.labels.items())])
    moment = "" if exemplar.timestamp is None else f" {exemplar.timestamp}"
    return f" # {{{labels}}} {floatToGoString(exemplar.value)}{moment}"
