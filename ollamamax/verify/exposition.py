"""What a scrape holds, for checks: families with their type, help and samples.

Pure. Lenient where it can be: a line that cannot be read is left out and remembered, so that one wrong line is one
failed check and not all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

REQUESTS = "http_requests_total"
DURATION = "http_request_duration_seconds"
IN_FLIGHT = "http_requests_in_flight"

Labels = tuple[tuple[str, str], ...]


@attrs.frozen
class Exposition:
    """One answer of `/metrics`.

    Attributes:
        text: the body.
        families: by the name that stands in the body (`http_requests_total` for a counter).
        repeated: the series that are there more than once.
        unreadable: the lines that are no exposition format.
    """

    text: str
    families: Mapping[str, Metric]
    repeated: Sequence[str]
    unreadable: Sequence[str]

    @classmethod
    def read(cls, text: str) -> Exposition:
        """Reads an answer's body."""
        unreadable: list[str] = []
        try:
            families = list(text_string_to_metric_families(text))
        except ValueError:
            unreadable = [line for line in text.splitlines() if not _is_readable(line)]
            readable = "\n".join(line for line in text.splitlines() if line not in unreadable)
            families = list(text_string_to_metric_families(f"{readable}\n"))
        by_name = {_shown_name(family): family for family in families}
        times = Counter(_series(sample) for family in families for sample in family.samples)
        return cls(text, by_name, [series for series, count in times.items() if count > 1], unreadable)

    def samples(self, family: str, name: str | None = None) -> list[Sample]:
        """The samples of a family; of those, the ones of one name (`…_bucket`) where one is given."""
        found = self.families.get(family)
        return [sample for sample in found.samples if name is None or sample.name == name] if found else []

    def counts(self) -> Mapping[tuple[str, Labels], float]:
        """How often each method, endpoint and status was observed, by either of the two HTTP families."""
        return {
            (family, tuple(sorted(sample.labels.items()))): sample.value
            for family, name in ((REQUESTS, REQUESTS), (DURATION, f"{DURATION}_count"))
            for sample in self.samples(family, name)
        }

    def label_sets(self) -> frozenset[Labels]:
        """The distinct combinations of labels in the two HTTP families."""
        return frozenset(labels for _, labels in self.counts())

    def counted(self, family: str, **labels: str) -> float:
        """The observations of one HTTP family, summed over all series that have these labels."""
        return sum(
            value
            for (name, found), value in self.counts().items()
            if name == family and labels.items() <= dict(found).items()
        )

    def label_names(self, family: str) -> Iterator[Iterable[str]]:
        """The names of the labels of each of a family's samples."""
        return (sample.labels.keys() for sample in self.samples(family))

    def values_of(self, label: str) -> Iterator[str]:
        """Every value of a label in the two HTTP families."""
        return (value for labels in self.label_sets() for name, value in labels if name == label)


def _is_readable(line: str) -> bool:
    try:
        list(text_string_to_metric_families(f"{line}\n"))
    except ValueError:
        return False
    return True


def _series(sample: Sample) -> str:
    labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
    return f"{sample.name}{{{labels}}}"


def _shown_name(family: Metric) -> str:
    # The parser takes the suffix off a counter's name.
    return f"{family.name}_total" if family.type == "counter" else family.name
