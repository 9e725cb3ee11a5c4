"""Ten thousand requests of random paths, ids, methods and models: each is counted once, and none leaves a series.

`OLLAMAMAX_TEST_HOSTILE_REQUESTS` makes it another number; with 100,000 the test takes minutes, and pytest wants
`-o faulthandler_timeout=1200`.
"""

from __future__ import annotations

import json
import os
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BufferedReader
from random import Random

import attrs
import pytest_twisted
from real.processes import Process, Processes
from real.samples import Ended, requests_ended, samples, scraped, value
from real.simulated import carried, gateway_before
from real.wire import asked, connected, request
from twisted.internet.threads import deferToThread

from ollamamax.simulator.settings import SimulatorSettings

REQUESTS = int(os.environ.get("OLLAMAMAX_TEST_HOSTILE_REQUESTS", "10000"))
SEED = 3
WORKERS = 4
PIPELINED = 16
NODE = SimulatorSettings(load_seconds=0.0, prompt_seconds=0.0, tokens_per_second=0.0, overhead_seconds=0.0)

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
# Known to the parser, and to no route.
FOREIGN_METHODS = ("PROPFIND", "MKCOL", "PURGE", "LOCK", "M-SEARCH", "REPORT", "SUBSCRIBE", "QUERY")
INFERENCE = (
    "/api/chat", "/api/generate", "/api/embed", "/api/embeddings", "/api/v1/inference/chat",
    "/api/v1/inference/generate", "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses",
    "/v1/messages",
)  # fmt: skip
MANAGEMENT = ("/api/show", "/api/pull", "/api/push", "/api/copy")
BY_ID = {
    "/api/v1/models/{}": "/api/v1/models/:id",
    "/api/v1/models/{}/{}": "/api/v1/models/:id",
    "/api/v1/models/{}/replicas": "/api/v1/models/:id/replicas",
    "/api/v1/nodes/{}": "/api/v1/nodes/:id",
    "/api/v1/nodes/{}/health": "/api/v1/nodes/:id/health",
    "/api/v1/inference/requests/{}": "/api/v1/inference/requests/:id",
    "/v1/models/{}": "/v1/models/:model",
    "/v1/models/{}/{}": "/v1/models/:model",
}
READ_ONLY = (
    "/", "/health", "/api/version", "/api/tags", "/api/ps", "/api/v1/health", "/api/v1/models", "/api/v1/nodes",
    "/v1/models",
)  # fmt: skip
PREFIXES = ("", "", "/api", "/api/v1", "/v1", "/metrics", "/metrics.json", "/api/chat", "/api/tags")
HEADERS = ("X-Request-Id", "User-Agent", "X-Forwarded-For", "Authorization", "Cookie", "Accept")
ESCAPES = ("", "%2F", "%00", "%0d%0ax", "%22", "%5C", "%C3%A9", "%F0%9F%98%80", "%7B%7D", "%25")
UNMATCHED = "unmatched"


@attrs.frozen
class Hostile:
    """One request and what has to come of it.

    Attributes:
        data: its bytes.
        method: the label of its method.
        endpoint: the label of its route.
        status: of the answer.
        closes: whether the connection ends with the answer.
        reaches: the method and path that reach a node, if anything does.
        accounted: whether the ledger gets a row.
    """

    data: bytes
    method: str
    endpoint: str
    status: int
    closes: bool = False
    reaches: tuple[str, str] | None = None
    accounted: bool = False


class Requests:
    """Makes random requests, the same ones for the same seed.

    Attributes:
        words: all that was made up.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.words: set[str] = set()
        self._kinds: Sequence[tuple[int, Callable[[], Hostile]]] = [
            (30, self._unknown_path),
            (15, self._unknown_id),
            (15, self._unknown_model),
            (8, self._wrong_method),
            (6, self._foreign_method),
            (6, self._broken_body),
            (5, self._no_text),
            (4, self._malformed),
            (3, self._foreigner),
            (3, self._query),
            (2, self._too_long),
            (1, self._blob),
            (1, self._upload),
            (1, self._described),
            (1, self._served),
        ]

    def __iter__(self) -> Iterator[Hostile]:
        weights, kinds = zip(*self._kinds, strict=True)
        while True:
            yield self._random.choices(kinds, weights)[0]()

    # What is made up.

    def _word(self) -> str:
        length = self._random.choice((12, 14, 16, 20, 40, 40, 600))
        word = "".join(self._random.choices(string.ascii_letters + string.digits, k=length))
        self.words.add(word)
        return word

    def _escaped(self, word: str) -> str:
        """A word with some of its letters percent-encoded, and letters that need to be."""
        if self._random.random() < 0.5:
            return word
        place = self._random.randrange(len(word))
        return f"{word[:place]}%{ord(word[place]):02x}{word[place + 1 :]}{self._random.choice(ESCAPES)}"

    def _headers(self) -> list[tuple[str, str]]:
        return [(self._random.choice(HEADERS), self._word()[:40])] if self._random.random() < 0.3 else []

    def _request(self, method: str, target: str, body: bytes | None = None) -> bytes:
        return request(method, target, body, headers=self._headers(), close=False)

    def _method(self) -> str:
        return self._random.choice(METHODS)

    # The kinds.

    def _unknown_path(self) -> Hostile:
        words = [self._escaped(self._word()) for _ in range(self._random.randint(1, 3))]
        path = "/".join((self._random.choice(PREFIXES), *words))
        method = self._method()
        return Hostile(self._request(method, path), method, UNMATCHED, 404)

    def _unknown_id(self) -> Hostile:
        path, endpoint = self._random.choice(list(BY_ID.items()))
        method = self._random.choice(("GET", "GET", "GET", "HEAD", "DELETE", "OPTIONS"))
        # A slash may be part of a model's name, and ends any other id; a line end is part of none.
        word = self._escaped(self._word()) if "models" in path else self._word()
        word = word.replace("%0d%0a", "")
        status = 404 if method in ("GET", "HEAD") else 405
        return Hostile(self._request(method, path.format(word, self._word())), method, endpoint, status)

    def _unknown_model(self) -> Hostile:
        path = self._random.choice(INFERENCE)
        name = self._random.choice(("{}", "{}:{}", "a/b/{}", "é{}")).format(self._word(), self._word())
        body = json.dumps({"model": name, "prompt": self._word(), "stream": self._random.random() < 0.5})
        return Hostile(self._request("POST", path, body.encode()), "POST", path, 404, accounted=True)

    def _wrong_method(self) -> Hostile:
        posts = self._random.random() < 0.5
        path = self._random.choice((*INFERENCE, *MANAGEMENT) if posts else READ_ONLY)
        method = self._random.choice(("GET", "HEAD", "PUT", "TRACE") if posts else ("POST", "PUT", "PATCH", "DELETE"))
        return Hostile(self._request(method, path), method, path, 405)

    def _foreign_method(self) -> Hostile:
        method = self._random.choice(FOREIGN_METHODS)
        if self._random.random() < 0.5:
            return Hostile(self._request(method, f"/{self._word()}"), "_OTHER", UNMATCHED, 404)
        path = self._random.choice((*INFERENCE, *READ_ONLY))
        return Hostile(self._request(method, path), "_OTHER", path, 405)

    def _broken_body(self) -> Hostile:
        path = self._random.choice((*INFERENCE, *MANAGEMENT))
        word = self._word()
        body = self._random.choice(
            (
                self._random.randbytes(self._random.randint(1, 60)).strip() or b"\0",
                f'{{"model": "{word}"'.encode(),
                f'{{"{word}": "{word}"}}'.encode(),
                f'{{"model": ["{word}"], "source": 7}}'.encode(),
                f'{{"{word}": 1, "{word.upper()}": 2}}'.encode(),
                b'{"model": "\xff\xfe%b", "source": "\xff"}' % word.encode(),
            )
        )
        return Hostile(self._request("POST", path, body), "POST", path, 400, accounted=path in INFERENCE)

    def _no_text(self) -> Hostile:
        prefix = self._random.choice(("", "/api", "/api/v1/models", "/api/v1/nodes", "/api/blobs", "/metrics"))
        wrong = self._random.choice(("%ff", "%C0%AF", "%ED%A0%80", "%F8%88%80%80%80", "%e2%82"))
        method = self._method()
        return Hostile(self._request(method, f"{prefix}/{self._word()}{wrong}"), method, UNMATCHED, 404)

    def _malformed(self) -> Hostile:
        word = self._word()
        method = self._random.choice(("FOO", "get", "Post", word.upper()[:20], f"G{word[:5]}ET", "\x00", "GET,"))
        return Hostile(self._request(method, f"/{word}"), "_OTHER", UNMATCHED, 400, closes=True)

    def _foreigner(self) -> Hostile:
        word = self._word()[:30]
        if self._random.random() < 0.5:
            data = request("GET", "/api/tags", host=f"{word}.example", close=False)
        else:
            data = request("GET", "/api/tags", headers=[("Origin", f"https://{word}.example")], close=False)
        return Hostile(data, "GET", "/api/tags", 403)

    def _query(self) -> Hostile:
        path = self._random.choice(READ_ONLY)
        return Hostile(self._request("GET", f"{path}?{self._word()}={self._escaped(self._word())}"), "GET", path, 200)

    def _too_long(self) -> Hostile:
        path = self._random.choice((*INFERENCE, *MANAGEMENT))
        headers = [("Content-Length", str(10**11 + self._random.randrange(10**9)))]
        data = request("POST", path, headers=headers, close=False)
        return Hostile(data, "POST", path, 413, closes=True, accounted=path in INFERENCE)

    def _blob(self) -> Hostile:
        path = f"/api/blobs/sha256:{self._random.randbytes(32).hex()}"
        self.words.add(path[-64:])
        return Hostile(self._request("HEAD", path), "HEAD", "/api/blobs/:digest", 404, reaches=("HEAD", path))

    def _upload(self) -> Hostile:
        digest = self._random.randbytes(32).hex()
        self.words.add(digest)
        path = self._random.choice(("/api/blobs/sha256:{}", "/api/%62lobs/sha256:{}", "/%61pi/blobs/sha256%3a{}"))
        data = self._request("POST", path.format(digest), self._word().encode())
        return Hostile(data, "POST", "/api/blobs/:digest", 400, reaches=("POST", path.format(digest)))

    def _described(self) -> Hostile:
        body = json.dumps({"model": self._word()[:40]}).encode()
        reaches = ("POST", "/api/show")
        return Hostile(self._request("POST", "/api/show", body), "POST", "/api/show", 404, reaches=reaches)

    def _served(self) -> Hostile:
        body = json.dumps({"model": "tiny", "prompt": f"{self._word()} LIMIT 2"}).encode()
        path = self._random.choice(("/api/generate", "/api/v1/inference/generate"))
        reaches = ("POST", "/api/generate")
        return Hostile(self._request("POST", path, body), "POST", path, 200, reaches=reaches, accounted=True)


# How they are sent.


@attrs.frozen
class Told:
    """What an answer told.

    Attributes:
        status: the status.
        request_id: the X-Request-Id.
    """

    status: int
    request_id: str


def read_answer(reader: BufferedReader, *, bodiless: bool) -> Told:
    """Reads one answer to its end."""
    status = int(reader.readline().split(b" ")[1])
    fields = {}
    while (line := reader.readline()) != b"\r\n":
        name, _, text = line.partition(b":")
        fields[name.lower()] = text.strip()
    if not bodiless and fields.get(b"transfer-encoding") == b"chunked":
        while size := int(reader.readline(), 16):
            reader.read(size + 2)
        reader.readline()
    elif not bodiless:
        reader.read(int(fields[b"content-length"]))
    return Told(status, fields[b"x-request-id"].decode())


def batches(hostile: Sequence[Hostile]) -> Iterator[Sequence[Hostile]]:
    """The requests in runs that are sent at once; what closes the connection is the last of its run."""
    batch: list[Hostile] = []
    for each in hostile:
        batch.append(each)
        if each.closes or len(batch) == PIPELINED:
            yield batch
            batch = []
    yield batch


def send_all(url: str, hostile: Sequence[Hostile]) -> list[Told]:
    """Sends requests over a few connections that are kept, many at a time; what each was answered."""
    told: list[Told] = []
    waiting = batches(hostile)
    more = True
    while more:
        with connected(url) as connection, connection.makefile("rb") as reader:
            more = False
            for batch in waiting:
                connection.sendall(b"".join(each.data for each in batch))
                told += [read_answer(reader, bodiless=each.data.startswith(b"HEAD ")) for each in batch]
                if batch and batch[-1].closes:
                    assert reader.read() == b""
                    more = True
                    break
    return told


def send_in_parallel(url: str, hostile: Sequence[Hostile]) -> list[Told]:
    """Sends requests by some clients at a time; what each was answered, in the order of the requests."""
    size = -(-len(hostile) // WORKERS)
    shares = [hostile[start : start + size] for start in range(0, len(hostile), size)]
    with ThreadPoolExecutor(WORKERS) as pool:
        return [told for share in pool.map(lambda share: send_all(url, share), shares) for told in share]


# What is left of them.


def rows(gateway: Process) -> int:
    """How many requests the ledger has."""
    answer = asked(gateway.url, request("GET", "/api/v1/inference/requests?limit=1"))
    return int(json.loads(answer.body)["pagination"]["total"])


def is_own(name: str) -> bool:
    """Whether a metric is one of queries: what the server does from time to time makes some of a new kind."""
    return name.startswith("db_quer")


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_ten_thousand_hostile_requests_leave_nothing_behind(processes: Processes) -> None:
    """Each is answered, counted once under a known pattern, and reaches a node only where it has to.

    After one request for each method, pattern and status that there is among them, all of them leave the series as they
    were, in every family; nothing is in flight, and nothing that was made up stands in the metrics.
    """
    made = Requests(SEED)
    hostile = [each for each, _ in zip(made, range(REQUESTS), strict=False)]
    kinds = list({(each.method, each.endpoint, each.status): each for each in hostile}.values())
    async with gateway_before(NODE, processes) as (gateway, simulator):

        def exchange() -> tuple[str, list[Told], str, int, int]:
            asked(gateway.url, request("POST", "/api/generate", b'{"model": "tiny", "prompt": "LIMIT 2"}'))
            send_all(gateway.url, kinds)
            rows_before, already = rows(gateway), len(carried(simulator))
            scraped(gateway.url)
            before = scraped(gateway.url)
            told = send_in_parallel(gateway.url, hostile)
            return before, told, scraped(gateway.url), rows(gateway) - rows_before, already

        before, told, after, accounted, already = await deferToThread(exchange)
        reached = carried(simulator)[already:]
        log = gateway.text()

    wrong = [(each, answer.status) for each, answer in zip(hostile, told, strict=True) if each.status != answer.status]
    assert wrong[:5] == []
    assert len({answer.request_id for answer in told}) == REQUESTS

    ended = requests_ended(after) - requests_ended(before)
    assert ended == Counter[Ended]((each.method, each.endpoint, str(each.status)) for each in hostile)
    assert sum(ended.values()) == REQUESTS
    assert value(samples(after), "http_requests_in_flight") == 0
    assert accounted == sum(each.accounted for each in hostile)

    assert {series for series in samples(after).keys() ^ samples(before).keys() if not is_own(series[0])} == set()
    sizes = [samples(text, "ollamamax_metrics_series") for text in (before, after)]
    assert {
        pairs for (_, pairs), size in sizes[1].items() ^ sizes[0].items() if not is_own(dict(pairs)["family"])
    } == set()
    assert sum(sizes[1].values()) == len(samples(after))
    folded = after.casefold()
    assert [word for word in made.words if word.casefold() in folded] == []

    wanted = Counter(each.reaches for each in hostile if each.reaches is not None)
    assert Counter(reached) == wanted
    assert "Traceback" not in log
    assert "#critical" not in log
    assert "#error" not in log
    assert re.search(r"#info\] GET /", log)
