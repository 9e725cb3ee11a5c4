"""R2 to R4: the three HTTP families, their types, helps, labels, buckets, and that they count."""

from __future__ import annotations

import math
from collections.abc import Mapping

from prometheus_client import Histogram
from twisted.internet.defer import Deferred, DeferredList

from ollamamax.verify.exposition import DURATION, IN_FLIGHT, REQUESTS, Exposition, Labels
from ollamamax.verify.promise import Failed, expect, get_unknown_model
from ollamamax.verify.server import Server

_LABELS = {"method", "endpoint", "status"}
_AT_ONCE = 8


def _expect_family(exposition: Exposition, name: str, kind: str, help_text: str) -> None:
    family = exposition.families.get(name)
    if family is None:
        raise Failed(f"expected a {kind} {name}, there is none")
    expect(family.type == kind, f"expected {name} to be a {kind}, it is a {family.type}")
    expect(family.documentation == help_text, f'expected the help "{help_text}", it is "{family.documentation}"')


def _expect_labels(labels: Mapping[str, str], name: str) -> None:
    expect(labels.keys() == _LABELS, f"expected the labels method, endpoint, status on {name}, seen {sorted(labels)}")


async def _observe_one(server: Server, family: str) -> Exposition:
    """Makes a request, and scrapes once a family has counted it, by method and status."""
    before = await server.scrape()
    status = str((await get_unknown_model(server)).status)
    expected = before.counted(family, method="GET", status=status) + 1
    after = await server.scrape_until(lambda now: now.counted(family, method="GET", status=status) >= expected)
    counted = after.counted(family, method="GET", status=status)
    labelled = any(set(labels) >= _LABELS for labels in after.label_names(family))
    expect(
        counted >= expected or not labelled,
        f"expected {family} to have counted a GET answered with {status} ({expected:g}), seen {counted:g}",
    )
    return after


async def check_counter(server: Server) -> str:
    """R2."""
    exposition = await _observe_one(server, REQUESTS)
    _expect_family(exposition, REQUESTS, "counter", "Total number of HTTP requests")
    samples = exposition.samples(REQUESTS, REQUESTS)
    expect(bool(samples), f"expected samples of {REQUESTS} after a request, there are none")
    for sample in samples:
        _expect_labels(sample.labels, REQUESTS)
        whole = sample.value >= 0 and sample.value == int(sample.value)
        expect(whole, f"expected {REQUESTS} to count whole requests, seen {sample.value}")
    return ""


async def check_histogram(server: Server) -> str:
    """R3."""
    exposition = await _observe_one(server, DURATION)
    _expect_family(exposition, DURATION, "histogram", "HTTP request duration in seconds")
    buckets: dict[Labels, list[tuple[float, float]]] = {}
    for sample in exposition.samples(DURATION):
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        _expect_labels(labels, sample.name)
        if sample.name == f"{DURATION}_bucket":
            bound = float(sample.labels.get("le", "nan"))
            buckets.setdefault(tuple(sorted(labels.items())), []).append((bound, sample.value))
    expect(bool(buckets), f"expected buckets of {DURATION} after a request, there are none")
    for labels_of_one, found in buckets.items():
        bounds = [bound for bound, _ in sorted(found)]
        expected = [*(bound for bound in Histogram.DEFAULT_BUCKETS if not math.isinf(bound)), math.inf]
        expect(bounds == expected, f"expected the default buckets {_listed(expected)}, seen {_listed(bounds)}")
        values = [value for _, value in sorted(found)]
        count = exposition.counts().get((DURATION, labels_of_one))
        expect(values == sorted(values), "expected buckets that only grow with their bound, seen some that shrink")
        expect(count == values[-1], f"expected the count to be that of the last bucket {values[-1]:g}, seen {count}")
    return ""


def _listed(numbers: list[float]) -> str:
    return " ".join(f"{number:g}" for number in numbers)


async def check_in_flight(server: Server) -> str:
    """R4."""
    base = _in_flight(await server.scrape())
    await DeferredList([Deferred.fromCoroutine(get_unknown_model(server)) for _ in range(_AT_ONCE)], consumeErrors=True)
    after = _in_flight(await server.scrape_until(lambda now: _in_flight(now) <= base))
    expect(
        after <= base, f"expected {IN_FLIGHT} to come back to {base:g} after {_AT_ONCE} requests, it is at {after:g}"
    )
    return ""


def _in_flight(exposition: Exposition) -> float:
    _expect_family(exposition, IN_FLIGHT, "gauge", "Number of HTTP requests currently being processed")
    samples = exposition.samples(IN_FLIGHT)
    labels = [sample.labels for sample in samples]
    expect(labels == [{}], f"expected one sample of {IN_FLIGHT} without labels, seen labels {labels}")
    value = samples[0].value
    expect(value >= 0 and value == int(value), f"expected {IN_FLIGHT} to be a whole number from 0, seen {value:g}")
    return value
