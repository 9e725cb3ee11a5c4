"""A small measured server that does everything right, or one thing wrong: what `ollamamax verify` has to tell apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest
from twisted.internet.interfaces import IListeningPort
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

LABELS = ("method", "endpoint", "status")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
REQUESTS_HELP = "Total number of HTTP requests"
DURATION_HELP = "HTTP request duration in seconds"
IN_FLIGHT_HELP = "Number of HTTP requests currently being processed"

# What is wrong → the check that has to say so.
DEFECTS = {
    "counter-missing": "R2",
    "counter-is-a-gauge": "R2",
    "counter-help": "R2",
    "counter-without-status": "R2",
    "counter-stuck": "R2",
    "histogram-missing": "R3",
    "histogram-is-a-summary": "R3",
    "histogram-buckets": "R3",
    "histogram-extra-label": "R3",
    "in-flight-missing": "R4",
    "in-flight-labelled": "R4",
    "in-flight-leaks": "R4",
    "scrapes-measured": "R5",
    "scrapes-measured-as-unmatched": "R5",
    "health-not-measured": "R5",
    "content-type": "R6",
    "line-that-is-none": "R6",
    "series-twice": "R6",
    "json-missing": "R7",
    "json-without-database": "R7",
    "json-count-as-text": "R7",
    "json-timestamp": "R7",
    "ids-as-endpoints": "R8",
    "ids-in-a-comment": "R8",
    "paths-as-endpoints": "R9",
    "methods-as-they-come": "R9",
    "health-missing": "R11",
    "model-found": "R11",
}


class MeasuredServer(Resource):
    """The resource that answers everything.

    Args:
        defect: one of `DEFECTS`, or empty for none.
    """

    isLeaf = True

    def __init__(self, defect: str = "") -> None:
        super().__init__()
        assert defect in {"", *DEFECTS}
        self.defect = defect
        self.registry = CollectorRegistry(auto_describe=False)
        self.last_id = ""
        self._requests = self._make_requests()
        self._durations = self._make_durations()
        gauge_labels = ["worker"] if defect == "in-flight-labelled" else []
        gauge_name = "elsewhere" if defect == "in-flight-missing" else "http_requests_in_flight"
        gauge = Gauge(gauge_name, IN_FLIGHT_HELP, gauge_labels, registry=self.registry)
        self._in_flight = gauge.labels("0") if gauge_labels else gauge

    def _make_requests(self) -> Counter | Gauge:
        names = [name for name in LABELS if name != "status" or self.defect != "counter-without-status"]
        help_text = "Requests" if self.defect == "counter-help" else REQUESTS_HELP
        if self.defect == "counter-is-a-gauge":
            return Gauge("http_requests_total", help_text, names, registry=self.registry)
        name = "elsewhere" if self.defect == "counter-missing" else "http_requests"
        return Counter(name, help_text, names, registry=self.registry)

    def _make_durations(self) -> Histogram | Summary:
        name = "elsewhere_seconds" if self.defect == "histogram-missing" else "http_request_duration_seconds"
        if self.defect == "histogram-is-a-summary":
            return Summary(name, DURATION_HELP, LABELS, registry=self.registry)
        names = [*LABELS, "worker"] if self.defect == "histogram-extra-label" else LABELS
        buckets = (0.1, 1.0, 10.0) if self.defect == "histogram-buckets" else Histogram.DEFAULT_BUCKETS
        return Histogram(name, DURATION_HELP, names, buckets=buckets, registry=self.registry)

    def render(self, request: Request) -> bytes:
        """Answers a request, and measures it as the defect will have it."""
        path = request.path.decode("ascii")
        scraping = path in ("/metrics", "/metrics.json")
        if not scraping:
            self._in_flight.inc()
        status, content_type, body = self._answer(path)
        request.setResponseCode(status)
        request.setHeader("Content-Type", content_type)
        if not scraping and self.defect != "in-flight-leaks":
            self._in_flight.dec()
        if not scraping or self.defect.startswith("scrapes-measured"):
            self._observe(request.method.decode("ascii"), self._endpoint(path), str(status))
        return body

    def _observe(self, method: str, endpoint: str, status: str) -> None:
        if endpoint == "/api/v1/health" and self.defect == "health-not-measured":
            return
        if method not in METHODS and self.defect != "methods-as-they-come":
            method = "_OTHER"
        values = [method, endpoint, status]
        if self.defect != "counter-stuck" or status != "404":
            self._requests.labels(*(values[:2] if self.defect == "counter-without-status" else values)).inc()
        observed = [*values, "0"] if self.defect == "histogram-extra-label" else values
        self._durations.labels(*observed).observe(0.01)

    def _endpoint(self, path: str) -> str:
        if path.startswith("/api/v1/models/"):
            self.last_id = path.rpartition("/")[2]
            return path if self.defect == "ids-as-endpoints" else "/api/v1/models/:id"
        if path in ("/api/v1/health", "/api/v1/models") or self.defect == "paths-as-endpoints":
            return path
        return path if self.defect == "scrapes-measured" and path.startswith("/metrics") else "unmatched"

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        if path == "/metrics":
            content_type = "text/html" if self.defect == "content-type" else "text/plain; version=0.0.4; charset=utf-8"
            return 200, content_type, self._exposition()
        if path == "/metrics.json" and self.defect != "json-missing":
            return 200, "application/json", json.dumps(self._statistics()).encode()
        status, document = 404, {"error": {"code": "route_not_found"}}
        if path in ("/api/v1/health", "/api/v1/models") and (path, self.defect) != ("/api/v1/health", "health-missing"):
            status, document = 200, {}
        if path.startswith("/api/v1/models/") and self.defect == "model-found":
            status = 200
        return status, "application/json", json.dumps(document).encode()

    def _exposition(self) -> bytes:
        more = {
            "line-that-is-none": b'{"not": "a metric"\n',
            "series-twice": b"process_start_time_seconds 1\nprocess_start_time_seconds 1\n",
            "ids-in-a-comment": f"# the last id was {self.last_id}\n".encode(),
        }
        return generate_latest(self.registry) + more.get(self.defect, b"")

    def _statistics(self) -> dict[str, object]:
        timestamp = "yesterday" if self.defect == "json-timestamp" else "2025-10-27T10:30:00Z"
        if self.defect == "json-without-database":
            return {"timestamp": timestamp}
        queries = "1234" if self.defect == "json-count-as-text" else 1234
        return {"database": {"connections": 10, "queries_total": queries}, "timestamp": timestamp}


class ForeignServer(Resource):
    """A web server that is something else altogether."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        """A page, whatever was asked for."""
        request.setHeader("Content-Type", "text/html")
        return b"<html><body>It works!</body></html>"


Listen = Callable[[int, Site], IListeningPort]


@contextmanager
def served(resource: Resource, listen: Listen) -> Iterator[str]:
    """Serves a resource on a free port of loopback, and gives its URL."""
    port = listen(0, Site(resource, parsePOSTFormSubmission=False))
    try:
        yield f"http://127.0.0.1:{port.getHost().port}"  # type: ignore[attr-defined]
    finally:
        port.stopListening()
