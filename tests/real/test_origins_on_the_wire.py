"""Hosts and origins as a browser sends them: foreign pages and rebound names are refused, pages of loopback work."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from fidelity import Recorded, differences, parsed, recordings
from real.processes import Process, Processes
from real.raw_node import RawNode, raw_node
from real.samples import requests_ended, scraped
from real.wire import asked, request, sent

BROWSER = [
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("Accept", "*/*"),
    ("Accept-Language", "en-GB,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Sec-Fetch-Mode", "cors"),
]
LOOPBACK = [
    "http://localhost", "https://localhost", "http://localhost:3000", "https://localhost:8443", "http://127.0.0.1",
    "http://127.0.0.1:5173", "http://0.0.0.0:8080", "http://[::1]:3000", "HTTP://LOCALHOST:3000", "app://obsidian.md",
    "tauri://localhost", "vscode-webview://1b2c", "file://",
]  # fmt: skip
FOREIGN = [
    "http://evil.example", "https://evil.example:443", "http://localhost.evil.example", "http://evil.localhost.example",
    "http://localhost@evil.example", "http://127.0.0.1.evil.example", "http://127.0.0.10:3000", "null", "chrome://x",
    "http://evil.example/http://localhost", "localhost", "http://192.168.1.20:3000", "ftp://localhost",
]  # fmt: skip
REBOUND = ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "example.com.", "x"]
OWN = [
    "localhost", "localhost:8080", "LOCALHOST", "127.0.0.1", "127.0.0.1:11434", "[::1]:8080", "0.0.0.0:1", "10.1.2.3",
    "desk.local", "desk.internal:8080", "app.localhost",
]  # fmt: skip
ROUTES = [
    ("GET", "/"), ("GET", "/api/version"), ("GET", "/api/tags"), ("POST", "/api/chat"), ("DELETE", "/api/delete"),
    ("GET", "/api/v1/models"), ("GET", "/api/v1/system/config"), ("GET", "/api/v1/inference/requests"),
    ("GET", "/health"), ("GET", "/ready"), ("GET", "/metrics"), ("GET", "/metrics.json"), ("GET", "/nope"),
    ("OPTIONS", "/api/chat"), ("HEAD", "/api/tags"),
]  # fmt: skip


@pytest.fixture(scope="module")
def node() -> Iterator[RawNode]:
    """A node that counts what reaches it."""
    with raw_node() as started:
        yield started


@pytest.fixture(scope="module")
def gateway(shared_processes: Processes, node: RawNode) -> Process:
    """A server with the default lists."""
    return shared_processes.gateway(f"--node=raw={node.url}")


def recorded(name: str) -> Recorded:
    """A recorded exchange."""
    return next(each for each in recordings("0.33") if each.name == name)


def preflight(target: str, origin: str, method: str = "POST") -> bytes:
    """What a browser asks before it lets a page ask."""
    headers = [
        *BROWSER,
        ("Origin", origin),
        ("Access-Control-Request-Method", method),
        ("Access-Control-Request-Headers", "content-type"),
    ]
    return request("OPTIONS", target, headers=headers)


def check_refused(url: str, data: bytes, name: str) -> None:
    """Holds that a request is answered as the recorded one of this name was: 403 and nothing else."""
    wanted = recorded(name).exchange
    assert (wanted.status, wanted.body) == (403, b"")
    found = asked(url, data)
    assert differences(wanted, found, ignored_headers=["x-request-id"]) == [], data
    assert found.header("x-request-id")


# What is refused.


@pytest.mark.parametrize("name", ["bad-origin", "bad-host"])
def test_the_recorded_foreigners_are_refused_as_recorded(gateway: Process, name: str) -> None:
    """Byte for byte what was sent to a real server, and its empty 403."""
    check_refused(gateway.url, recorded(name).request, name)


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_another_origin_is_refused(gateway: Process, node: RawNode, origin: str) -> None:
    """For simple requests and for preflights, with nothing in the answer that would let the page read it."""
    chat = b'{"model": "tiny", "messages": [{"role": "user", "content": "x"}]}'
    headers = [*BROWSER, ("Origin", origin), ("Content-Type", "text/plain")]
    check_refused(gateway.url, request("POST", "/api/chat", chat, headers=headers), "bad-origin")
    check_refused(gateway.url, request("GET", "/api/tags", headers=[*BROWSER, ("Origin", origin)]), "bad-origin")
    check_refused(gateway.url, preflight("/api/chat", origin), "bad-origin")
    assert node.carried == []


@pytest.mark.parametrize("host", REBOUND)
def test_a_name_bound_to_loopback_is_refused(gateway: Process, node: RawNode, host: str) -> None:
    """A page whose own name resolves to this server sends that name as Host, and need not send an Origin."""
    check_refused(gateway.url, request("GET", "/api/tags", headers=BROWSER, host=host), "bad-host")
    same = [*BROWSER, ("Origin", f"http://{host}")]
    check_refused(gateway.url, request("POST", "/api/chat", b'{"model": "tiny"}', headers=same, host=host), "bad-host")
    assert node.carried == []


@pytest.mark.parametrize(("method", "target"), ROUTES)
def test_every_path_is_protected(gateway: Process, method: str, target: str) -> None:
    """The metrics as well, and paths that do not exist."""
    foreign = [*BROWSER, ("Origin", "https://evil.example")]
    check_refused(gateway.url, request(method, target, headers=foreign), "bad-origin")
    check_refused(gateway.url, request(method, target, headers=BROWSER, host="evil.example"), "bad-host")


def test_a_malformed_request_is_not_taken_for_a_foreigner(gateway: Process) -> None:
    """Two origins joined are one that nobody has; two Hosts are no request."""
    joined = [*BROWSER, ("Origin", "http://localhost, http://evil.example")]
    check_refused(gateway.url, request("GET", "/api/tags", headers=joined), "bad-origin")
    found = asked(gateway.url, request("GET", "/api/tags", headers=[("Host", "localhost")]))
    assert found.status == 400


@pytest.mark.parametrize(
    "order", [["http://localhost", "http://evil.example"], ["http://evil.example", "http://localhost"]]
)
def test_two_origins_are_refused_in_either_order(gateway: Process, order: Sequence[str]) -> None:
    """Whichever of the two somebody else would look at."""
    headers = [*BROWSER, *(("Origin", origin) for origin in order)]
    check_refused(gateway.url, request("GET", "/api/tags", headers=headers), "bad-origin")


def test_refusals_are_counted_under_their_route(gateway: Process) -> None:
    """As 403; those of the scraper's paths are not counted."""
    before = requests_ended(scraped(gateway.url))
    for method, target in [("POST", "/api/chat"), ("GET", "/api/v1/models/x"), ("GET", "/nope"), ("GET", "/metrics")]:
        asked(gateway.url, request(method, target, headers=[*BROWSER, ("Origin", "https://evil.example")]))
    wanted = [("POST", "/api/chat"), ("GET", "/api/v1/models/:id"), ("GET", "unmatched")]
    assert requests_ended(scraped(gateway.url)) - before == Counter((*each, "403") for each in wanted)


# What is allowed.


@pytest.mark.parametrize("host", OWN)
def test_this_servers_own_names_are_allowed(gateway: Process, host: str) -> None:
    """Addresses, localhost, and names that no resolver on the internet gives."""
    assert asked(gateway.url, request("GET", "/api/tags", host=host)).status == 200


def test_the_recorded_preflight_is_answered_as_recorded(gateway: Process) -> None:
    """Status and headers are the real server's; the id is ours."""
    wanted = recorded("good-origin-preflight")
    found = asked(gateway.url, wanted.request)
    assert differences(wanted.exchange, found, ignored_headers=["x-request-id"]) == []


@pytest.mark.parametrize("origin", LOOPBACK)
def test_pages_of_loopback_may_ask_and_read(gateway: Process, origin: str) -> None:
    """A preflight tells the page what it may send; the answer itself names the page's origin, errors too."""
    asked_before = asked(gateway.url, preflight("/api/v1/inference/chat", origin))
    assert asked_before.status == 204
    assert asked_before.header("access-control-allow-origin") == origin
    assert "POST" in asked_before.header("access-control-allow-methods").split(",")
    assert "Content-Type" in asked_before.header("access-control-allow-headers").split(",")
    for target, status in [("/api/tags", 200), ("/metrics", 200), ("/metrics.json", 200), ("/nope", 404)]:
        found = asked(gateway.url, request("GET", target, headers=[*BROWSER, ("Origin", origin)]))
        assert found.status == status
        assert [value for name, value in found.headers if name == "access-control-allow-origin"] == [origin]
        assert "Origin" in [value for name, value in found.headers if name == "vary"]


def test_a_page_reads_a_carried_answer(gateway: Process) -> None:
    """A stream from a node has the header too, once, and the node was not told of the origin."""
    headers = [*BROWSER, ("Origin", "http://localhost:3000"), ("Content-Type", "application/json")]
    data, end = sent(gateway.url, request("POST", "/api/chat", b'{"model": "tiny"}', headers=headers))
    found = parsed(data, end)
    assert (found.status, found.end) == (200, "fin")
    assert [value for name, value in found.headers if name == "access-control-allow-origin"] == [
        "http://localhost:3000"
    ]
    assert json.loads(found.body.splitlines()[-1])["done"] is True


def test_a_request_without_an_origin_gets_no_header_of_it(gateway: Process) -> None:
    """As recorded: what is no page is not told of pages."""
    found = asked(gateway.url, request("GET", "/api/tags"))
    assert found.header("access-control-allow-origin") == ""
    assert found.header("vary") == ""


def test_a_preflight_of_a_path_without_a_route_allows_no_method(gateway: Process) -> None:
    """It is answered all the same, so that the page can read the 404."""
    found = asked(gateway.url, preflight("/nope", "http://localhost:3000"))
    assert (found.status, found.header("allow")) == (204, "")


def test_more_hosts_and_origins_can_be_allowed(processes: Processes) -> None:
    """The two settings; a pattern allows what it says and not its neighbours."""
    environ = {
        "OLLAMAMAX_ALLOWED_HOSTS": "gpu.example.org",
        "OLLAMAMAX_ALLOWED_ORIGINS": "https://*.intranet.example,http://desk:*",
    }
    gateway = processes.gateway("--node=none=http://127.0.0.1:9", environ=environ)
    statuses = {
        host: asked(gateway.url, request("GET", "/health", host=host)).status
        for host in ("gpu.example.org", "GPU.example.org:8080", "example.org", "x.gpu.example.org")
    }
    assert list(statuses.values()) == [200, 200, 403, 403]
    origins = [
        "https://a.intranet.example",
        "http://desk:3000",
        "http://a.intranet.example",
        "https://intranet.example",
    ]
    found = [asked(gateway.url, request("GET", "/health", headers=[("Origin", origin)])).status for origin in origins]
    assert found == [200, 200, 403, 403]
