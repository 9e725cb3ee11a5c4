"""A real Prometheus scrapes a running server under load, and answers what the load implies."""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from real.processes import Process, Processes
from real.prometheus import PATIENCE_SECONDS, Prometheus, Result, wait_for

from ollamamax.metrics.catalogue import (
    CATALOGUE,
    INFERENCE_LOAD_DURATION,
    LEDGER_SPOOL_BYTES,
    NODE_DISK,
)

ROOT = Path(__file__).parent.parent.parent
SCRAPE_INTERVAL = "200ms"
RANGE_SECONDS = 300
STREAMS = 3
RATES, QUANTILES, FAILURES, TOP, IN_FLIGHT = QUERIES = (
    "rate(http_requests_total[5m])",
    "histogram_quantile(0.95, rate(http_request_duration_seconds_bucket[5m]))",
    'sum(rate(http_requests_total{status=~"4..|5.."}[5m]))',
    "topk(10, sum(rate(http_requests_total[5m])) by (endpoint))",
    "http_requests_in_flight",
)

Series = tuple[str, str, str]
"""Method, endpoint and status of one series."""


@attrs.frozen
class Kind:
    """One kind of request: how it is made, the series that it belongs to, how many of it are a load.

    `{}` in its path is the number of the request, so that ids and paths differ from one to the next.
    """

    method: str
    path: str
    series: Series
    times: int
    body: object = None
    headers: Mapping[str, str] = attrs.Factory(dict)


def chat(prompt: str) -> object:
    """The body of a chat that is answered whole."""
    return {"model": "tiny", "messages": [{"role": "user", "content": prompt}], "stream": False}


PREFLIGHT = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "GET"}
KINDS: Sequence[Kind] = (
    Kind("GET", "/api/v1/health", ("GET", "/api/v1/health", "200"), 40),
    Kind("GET", "/api/v1/models", ("GET", "/api/v1/models", "200"), 10),
    Kind("GET", "/api/v1/models/tiny", ("GET", "/api/v1/models/:id", "200"), 6),
    Kind("GET", "/api/v1/models/absent-{}", ("GET", "/api/v1/models/:id", "404"), 9),
    Kind("HEAD", "/api/tags", ("HEAD", "/api/tags", "200"), 4),
    Kind("POST", "/api/v1/models", ("POST", "/api/v1/models", "405"), 3),
    Kind("GET", "/nowhere/{}", ("GET", "unmatched", "404"), 7),
    Kind("FOO", "/api/tags", ("_OTHER", "unmatched", "400"), 2),
    Kind("OPTIONS", "/api/tags", ("OPTIONS", "/api/tags", "204"), 2, headers=PREFLIGHT),
    Kind("GET", "/api/tags", ("GET", "/api/tags", "403"), 2, headers={"Host": "rebound.example"}),
    Kind("POST", "/api/chat", ("POST", "/api/chat", "400"), 4, body=["no object"]),
    Kind("POST", "/api/chat", ("POST", "/api/chat", "500"), 3, body=chat("HTTP500")),
    Kind("POST", "/api/chat", ("POST", "/api/chat", "200"), 5, body=chat("LIMIT 30")),
)
UNMEASURED = ("/metrics", "/metrics.json", "/metrics?name[]=http_requests_total", "/%6detrics")
SLOW: Series = ("POST", "/api/chat", "200")
"""What takes a known time: 30 tokens at 100 tokens a second."""
SLOW_SECONDS = 0.25
GONE: Series = ("POST", "/api/chat", "499")
NO_LABELS: Series = ("", "", "")


class HttpPrometheus(Prometheus):
    """A Prometheus whose results are told by the labels of the HTTP metrics."""

    _moment = ""

    def value(self, query: str) -> dict[Series, float]:
        """The result of an instant query, by the labels that a series of the server has; absent labels are empty."""
        return {_series(result["metric"]): float(result["value"][1]) for result in self._result(query)}

    def samples(self, query: str) -> dict[Series, list[float]]:
        """The result of a query for a range of samples: their values in order."""
        return {
            _series(result["metric"]): [float(value) for _, value in result["values"]] for result in self._result(query)
        }

    def stand_still(self) -> None:
        """Makes every query from now on one about the last scrape, of which all samples are there.

        Not about the moment of this call: where a scrape failed, on a machine that is busy, no series is there.
        """
        moments: list[float] = []

        def scrape_is_there() -> bool:
            moments[:] = self.value("timestamp(http_requests_in_flight)").values()
            return bool(moments)

        wait_for(scrape_is_there, self.text)
        (moment,) = moments
        self._moment = f"{moment:.3f}"

    def _result(self, query: str) -> Sequence[Result]:
        return self.instant(query, **({"time": self._moment} if self._moment else {}))


def _series(labels: Mapping[str, str]) -> Series:
    return (labels.get("method", ""), labels.get("endpoint", ""), labels.get("status", ""))


@contextmanager
def scraping(program: str, folder: Path, gateway: Process) -> Iterator[HttpPrometheus]:
    """A Prometheus that scrapes the gateway, for the time of a `with` block."""
    prometheus = HttpPrometheus(program, folder, [gateway.url.removeprefix("http://")], SCRAPE_INTERVAL)
    try:
        prometheus.wait_ready()
        yield prometheus
    finally:
        prometheus.stop()


@pytest.fixture(scope="module")
def simulator(shared_processes: Processes) -> Process:
    """The simulated node before which all gateways are."""
    return shared_processes.simulator("--tokens-per-second=100", "--parallel=16", "--load-seconds=0")


@pytest.fixture
def gateway(processes: Processes, simulator: Process) -> Process:
    """A gateway of one test, which counts from nothing."""
    return processes.gateway(f"--node=sim={simulator.url}")


def counted(gateway: Process) -> Counter[Series]:
    """`http_requests_total` as the gateway itself shows it."""
    text = httpx.get(f"{gateway.url}/metrics").text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return Counter({_series(s.labels): int(s.value) for s in samples if s.name == "http_requests_total"})


def put_under_load(gateway: Process, times: int) -> Counter[Series]:
    """Makes every kind of request so many times its number, several at once; gives what has to be counted of them."""
    requests = [(kind, number) for kind in KINDS for number in range(times * kind.times)]
    requests.sort(key=lambda one: (one[1], one[0].path))

    def make(kind: Kind, number: int) -> tuple[Series, int]:
        content = None if kind.body is None else json.dumps(kind.body)
        path = kind.path.format(number)
        answer = client.request(kind.method, path, content=content, headers=dict(kind.headers))
        return kind.series, answer.status_code

    with httpx.Client(base_url=gateway.url, timeout=PATIENCE_SECONDS) as client, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(make, *zip(*requests, strict=True)))
        for path in UNMEASURED:
            assert client.get(path).status_code == 200
    assert [answer for answer in answers if int(answer[0][2]) != answer[1]] == []
    return Counter(series for series, _ in answers)


@contextmanager
def endless_stream(gateway: Process) -> Iterator[None]:
    """A chat that has begun to answer and goes on until the end of the `with` block, when its client leaves."""
    body = {"model": "tiny", "messages": [{"role": "user", "content": "LIMIT 9999"}], "options": {"num_predict": 9999}}
    with httpx.stream("POST", f"{gateway.url}/api/chat", json=body, timeout=PATIENCE_SECONDS) as stream:
        # Held on to: an iterator of httpx's that is dropped closes its response.
        lines = stream.iter_lines()
        assert not json.loads(next(lines))["done"]
        yield


def wait_until_scraped(prometheus: HttpPrometheus, expected: Counter[Series]) -> None:
    """Waits until Prometheus shows exactly these counts."""
    seen: dict[Series, float] = {}

    def same() -> bool:
        seen.clear()
        seen.update(prometheus.value("http_requests_total"))
        return seen == expected

    wait_for(same, lambda: f"{Counter(seen) - expected} too many, {expected - Counter(seen)} missing")


def quantile_bounds(gateway: Process, series: Series) -> tuple[float, float]:
    """Between which bounds of buckets every observation of a series lies, as the gateway itself shows it."""
    text = httpx.get(f"{gateway.url}/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    buckets = sorted(
        (float(sample.labels["le"]), sample.value)
        for sample in families["http_request_duration_seconds"].samples
        if sample.name.endswith("_bucket") and _series(sample.labels) == series
    )
    total = buckets[-1][1]
    empty = [bound for bound, count in buckets if count == 0]
    full = [bound for bound, count in buckets if count == total]
    # Prometheus answers with the highest finite bound where the observations lie above it.
    return max(empty, default=0.0), min(full[0], buckets[-2][0])


def test_the_five_queries_answer_what_the_load_implies(
    gateway: Process, program: Callable[..., str], tmp_path: Path
) -> None:
    """Counts are exact; rates, quantiles and sums lie where the counts put them; nothing of the scraper is in them.

    `rate` extrapolates by at most 1.1 times the distance of two samples at either end of the range, so times the range
    it lies between the true increase and little more.
    """
    with scraping(program("prometheus"), tmp_path / "prometheus", gateway) as prometheus:
        before = counted(gateway)
        first = before + put_under_load(gateway, 1)
        wait_until_scraped(prometheus, first)
        increase = put_under_load(gateway, 2)
        wait_until_scraped(prometheus, first + increase)
        prometheus.stand_still()

        ranges = prometheus.samples(f"http_requests_total[{RANGE_SECONDS}s]")
        grown = {series: values[-1] - values[0] for series, values in ranges.items()}
        slack = {series: 1 + 2.2 / (len(values) - 1) for series, values in ranges.items() if len(values) > 1}
        assert all(grown[series] >= number for series, number in increase.items())

        rates = prometheus.value(RATES)
        assert rates.keys() == first.keys() | increase.keys()
        for series, rate in rates.items():
            assert 0.999 * grown[series] <= rate * RANGE_SECONDS <= 1.001 * slack[series] * grown[series], series

        quantiles = prometheus.value(QUANTILES)
        assert quantiles.keys() == rates.keys()
        for series in increase:
            low, high = quantile_bounds(gateway, series)
            assert low <= quantiles[series] <= high, series
        assert quantiles[SLOW] >= SLOW_SECONDS

        (failures,) = prometheus.value(FAILURES).values()
        failing = [series for series in rates if series[2][0] in "45"]
        assert {series[2] for series in failing} >= {"400", "403", "404", "405", "500"}
        assert math.isclose(failures, sum(rates[series] for series in failing))

        top = prometheus.value(TOP)
        sums: Counter[str] = Counter()
        for (_, endpoint, _), rate in rates.items():
            sums[endpoint] += rate  # type: ignore[assignment]
        assert {endpoint: pytest.approx(rate) for endpoint, rate in sums.most_common(10)} == {
            series[1]: rate for series, rate in top.items()
        }
        assert max(top, key=top.__getitem__)[1] == "/api/v1/health"

        assert prometheus.value(IN_FLIGHT) == {NO_LABELS: 0.0}
        assert prometheus.value('{__name__=~"http_.+", endpoint=~".*metrics.*"}') == {}
        assert prometheus.value('up{job="ollamamax"}') == {NO_LABELS: 1.0}
        (scrapes,) = prometheus.value('ollamamax_metrics_scrapes_total{code="200"}').values()
        assert scrapes >= len(ranges[SLOW])


def test_streams_held_open_are_in_flight(gateway: Process, program: Callable[..., str], tmp_path: Path) -> None:
    """As many requests are in flight as streams are held open during a scrape; once left, none is, each is a 499."""
    with scraping(program("prometheus"), tmp_path / "prometheus", gateway) as prometheus:
        seen: dict[Series, float] = {}

        def shows(query: str, series: Series, number: int) -> bool:
            seen.clear()
            seen.update(prometheus.value(query))
            return seen.get(series) == number

        with ExitStack() as streams:
            for _ in range(STREAMS):
                streams.enter_context(endless_stream(gateway))
            wait_for(lambda: shows(IN_FLIGHT, NO_LABELS, STREAMS), lambda: seen)
            assert GONE not in prometheus.value("http_requests_total")
        wait_for(lambda: shows(IN_FLIGHT, NO_LABELS, 0), lambda: seen)
        wait_for(lambda: shows("http_requests_total", GONE, STREAMS), lambda: seen)
        prometheus.stand_still()
        left = prometheus.value('ollamamax_http_client_disconnects_total{phase="mid_stream"}')
        assert left == {("", "/api/chat", ""): STREAMS}


def test_promtool_finds_nothing_to_complain_about(gateway: Process, program: Callable[..., str]) -> None:
    """`promtool check metrics` prints nothing for an exposition whose families have samples, where they can."""
    put_under_load(gateway, 1)
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "LIMIT 5"}]}
    assert httpx.post(f"{gateway.url}/api/chat", json=chat, timeout=PATIENCE_SECONDS).status_code == 200
    with endless_stream(gateway):
        pass
    wait_for(lambda: GONE in counted(gateway), lambda: counted(gateway))
    text = httpx.get(f"{gateway.url}/metrics").content
    families = list(text_string_to_metric_families(text.decode()))
    empty = {family.name for family in families if not family.samples}
    # There is no PostgreSQL, no setting that tells of a disk, and no load that takes long.
    assert empty == {LEDGER_SPOOL_BYTES.name, NODE_DISK.name, INFERENCE_LOAD_DURATION.name}
    assert {name for family in families for name in (family.name, f"{family.name}_total")} >= {
        metric.name for metric in CATALOGUE
    }
    assert promtool(program, "check", "metrics", text=text) == (0, "")


def promtool(program: Callable[..., str], *arguments: str, text: bytes = b"") -> tuple[int, str]:
    """What `promtool` prints, and its exit status."""
    command = [program("promtool", "prometheus"), *arguments]
    ran = subprocess.run(
        command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_SECONDS, check=False
    )
    return ran.returncode, ran.stdout.decode(errors="replace")


@pytest.mark.parametrize("page", ["README.md", "docs/prometheus.md"])
def test_the_configuration_that_is_shown_is_one(page: str, program: Callable[..., str], tmp_path: Path) -> None:
    """`promtool check config` accepts what the page tells a user to write."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (shown,) = (block for block in blocks if "scrape_configs:" in block)
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(shown, encoding="utf-8")
    status, printed = promtool(program, "check", "config", str(configuration))
    assert status == 0, printed


def test_the_queries_that_are_shown_are_queries(program: Callable[..., str], tmp_path: Path) -> None:
    """Every query of the page can be parsed, and the five that are asked for are among them."""
    page = (ROOT / "docs" / "prometheus.md").read_text("utf-8")
    queries = re.findall(r"^```promql\n(.*?)\n```$", page, re.MULTILINE | re.DOTALL)
    assert set(QUERIES) <= set(queries)
    rules = [{"record": f"shown:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "shown", "rules": rules}]}), encoding="utf-8")
    status, printed = promtool(program, "check", "rules", str(file))
    assert status == 0, printed
    assert f"{len(queries)} rules found" in printed
