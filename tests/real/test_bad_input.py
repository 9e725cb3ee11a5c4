"""What a client does wrong: the answer in the dialect called, the metrics, the ledger, and nothing for the node."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

import attrs
import pytest
from fidelity import Exchange, parsed
from real.processes import Process, Processes
from real.raw_node import RawNode, raw_node
from real.samples import Ended, requests_ended, samples, scraped, value
from real.wire import asked, connected, received, request, sent

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LIMIT_BYTES = 5000
DIGEST = "sha256:" + "0" * 64
CHUNKED = b"POST /api/chat HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
CHAT = ("/api/chat", "/api/v1/inference/chat")
GENERATE = ("/api/generate", "/api/v1/inference/generate")
NATIVE = (*CHAT, *GENERATE, "/api/embed", "/api/embeddings")
COMPATIBLE = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages")
INFERENCE = (*NATIVE, *COMPATIBLE)
DIALECTS = (*NATIVE, "/v1/chat/completions", "/v1/messages")
"""The native routes and one of each other dialect; all others are held to the same in memory."""
FORMS = "/v1/audio/transcriptions"
MANAGEMENT = {
    "/api/show": "model",
    "/api/push": "model",
    "/api/pull": "model",
    "/api/create": "from",
    "/api/copy": "source",
    "/api/delete": "model",
}


@pytest.fixture(scope="module")
def node() -> Iterator[RawNode]:
    """A node that counts what reaches it."""
    with raw_node() as started:
        yield started


@pytest.fixture(scope="module")
def gateway(shared_processes: Processes, node: RawNode) -> Process:
    """A server with a low limit of bodies."""
    environ = {"OLLAMAMAX_LIMITS_MAX_BODY_BYTES": str(LIMIT_BYTES)}
    return shared_processes.gateway(f"--node=raw={node.url}", environ=environ)


@pytest.fixture(autouse=True)
def nothing_else(gateway: Process, node: RawNode) -> Iterator[None]:
    """Holds after every test: nothing reached the node, nothing is in flight, no defect was logged."""
    yield
    assert node.carried == []
    assert value(samples(scraped(gateway.url)), "http_requests_in_flight") == 0
    text = gateway.text()
    assert "Traceback" not in text
    assert "#critical" not in text


@attrs.frozen
class Bad:
    """A request that is refused.

    Attributes:
        data: its bytes; the connection closes after it.
        status: of the answer.
        code: of the error, as the control API names it.
        endpoint: under which it is counted; None where it is not.
        method: under which it is counted.
        text: the error's words, where they are Ollama's or ours for sure.
        allow: the Allow header.
        accounted: whether it is a request of the ledger's.
    """

    data: bytes
    status: int
    code: str
    endpoint: str | None
    method: str = "GET"
    text: str = ""
    allow: str = ""
    accounted: bool = False

    @property
    def target(self) -> str:
        """The request's path."""
        return self.data.split(b" ")[1].decode()

    @property
    def is_control(self) -> bool:
        """Whether it is answered as the control API answers."""
        return self.target.startswith("/api/v1/") or self.target in ("/health", "/ready", "/metrics", "/metrics.json")

    @property
    def is_compatible(self) -> bool:
        """Whether it is answered as OpenAI's or Anthropic's API."""
        return self.target.startswith("/v1/")

    @property
    def is_anthropics(self) -> bool:
        """Whether it is answered as Anthropic's API."""
        return self.target.startswith("/v1/messages")

    @property
    def kind(self) -> str:
        """The error's type on the compatible routes."""
        if self.status == 413 and self.is_anthropics:
            return "request_too_large"
        return "not_found_error" if self.status == 404 else "invalid_request_error"


def get(target: str, status: int, code: str, endpoint: str | None, *, method: str = "GET", text: str = "") -> Bad:
    """A request without a body."""
    return Bad(request(method, target), status, code, endpoint, method, text)


def wrong_method(method: str, target: str, allow: str, endpoint: str | None = "") -> Bad:
    """A method that the path's route does not have; its pattern is the path itself unless it is given."""
    label = method if method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE") else "_OTHER"
    pattern = target if endpoint == "" else endpoint
    return Bad(
        request(method, target), 405, "method_not_allowed", pattern, label, text="method not allowed", allow=allow
    )


def check(bad: Bad, found: Exchange) -> None:
    """Holds an answer against what it should be; its body is JSON in the dialect called."""
    assert (found.status, found.framing, found.end) == (bad.status, "length", "fin")
    plain = bad.is_compatible and bad.status != 400
    assert found.header("content-type") == "application/json" + ("" if plain else "; charset=utf-8")
    assert found.header("allow") == bad.allow
    assert found.header("connection") == "close"
    request_id = found.header("x-request-id")
    assert str(UUID(request_id)) == request_id
    assert found.header("request-id") == (request_id if bad.is_anthropics else "")
    if bad.data.startswith(b"HEAD "):
        assert found.body == b""
        return
    document = json.loads(found.body)
    if bad.is_control:
        error = document.pop("error")
        message = error.pop("message")
        assert error == {"code": bad.code, "request_id": request_id}
    elif bad.is_anthropics:
        error = document.pop("error")
        message = error.pop("message")
        assert (error, document.pop("type"), document.pop("request_id")) == ({"type": bad.kind}, "error", request_id)
    elif bad.is_compatible:
        error = document.pop("error")
        message = error.pop("message")
        assert error == {"type": bad.kind, "param": None, "code": None}
    else:
        message = document.pop("error")
    assert document == {}
    assert isinstance(message, str)
    assert message
    if bad.text:
        assert message == bad.text


def account(gateway: Process, request_id: str) -> Mapping[str, object] | None:
    """The ledger's row of a request."""
    answer = asked(gateway.url, request("GET", f"/api/v1/inference/requests/{request_id}"))
    assert answer.status in (200, 404)
    return dict(json.loads(answer.body)) if answer.status == 200 else None


def check_accounts(gateway: Process, cases: Mapping[str, Bad], found: Mapping[str, Exchange]) -> None:
    """Holds the ledger against what it should have: one finished row of each inference request, none of others."""
    for name, bad in cases.items():
        request_id = found[name].header("x-request-id")
        row = account(gateway, request_id)
        if not bad.accounted:
            assert row is None, name
            continue
        assert row is not None, name
        seen = [row[column] for column in ("id", "outcome", "status", "error_code", "endpoint", "node", "attempts")]
        assert seen == [request_id, "client_error", bad.status, bad.code, bad.endpoint, None, 0], name
        assert row["finished_at"] is not None


def try_all(gateway: Process, cases: Mapping[str, Bad]) -> None:
    """Sends each once and holds answers, metrics and ledger against what they should be."""
    before = requests_ended(scraped(gateway.url))
    found = {name: asked(gateway.url, bad.data) for name, bad in cases.items()}
    after = requests_ended(scraped(gateway.url))
    wrong = {}
    for name, bad in cases.items():
        try:
            check(bad, found[name])
        except AssertionError as error:
            wrong[name] = f"{error}\n{found[name]}"
    assert wrong == {}
    assert after - before == Counter[Ended](
        (bad.method, bad.endpoint, str(bad.status)) for bad in cases.values() if bad.endpoint is not None
    )
    check_accounts(gateway, cases, found)


# Paths.


def test_unknown_paths_are_404(gateway: Process) -> None:
    """In the dialect of their prefix, all under one label; below a metrics path too, which is a path like others."""
    words = "there is no such route"
    targets = [
        "/nope", "/api/nope", "/api/chat/", "/api//chat", "/api/v1/nope", "/api/v1/", "/api/v1/models/", "/health/",
        "/metrics/", "/metrics/x", "/metrics.json/x", "/Metrics", "/api/blobs/", "/api/blobs/a/b",
        "/api/v1/nodes/a/b", "/api/experimental/other", "/%ff", "/api/v1/models/%ff%fe", "/api/v1/%C0%AF",
        "/api/chat%2f", "/%2e%2e/%2e%2e/etc/passwd", "/v1/nope", "/v1/models/", "/v1/chat/completions/", "/v1//models",
        "/v1/messages/count_tokens", "/v1/messages/%ff", "/v1/audio/translations",
    ]  # fmt: skip
    cases = {
        f"{method} {target}": get(target, 404, "route_not_found", "unmatched", method=method, text=words)
        for target in targets
        for method in ("GET", "HEAD", "POST")
    }
    try_all(gateway, cases)


def test_unknown_ids_are_404(gateway: Process) -> None:
    """Under the route's pattern."""
    cases = {
        target: get(target, 404, "not_found", endpoint)
        for target, endpoint in {
            "/api/v1/models/absent": "/api/v1/models/:id",
            "/api/v1/models/some/where/absent:7b": "/api/v1/models/:id",
            "/api/v1/models/some%2Fwhere%2Fabsent%3A7b": "/api/v1/models/:id",
            "/api/v1/models/absent/replicas": "/api/v1/models/:id/replicas",
            "/api/v1/nodes/absent": "/api/v1/nodes/:id",
            "/api/v1/nodes/absent/health": "/api/v1/nodes/:id/health",
            "/api/v1/inference/requests/absent": "/api/v1/inference/requests/:id",
            "/api/v1/inference/requests/x%00y": "/api/v1/inference/requests/:id",
        }.items()
    }
    try_all(gateway, cases)


# Methods.


def test_wrong_methods_are_405(gateway: Process) -> None:
    """With Allow, under the route's own pattern; a method beyond the RFC's is `_OTHER`; scrapers are not counted."""
    cases = [
        *(wrong_method(method, "/api/chat", "POST") for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH")),
        *(wrong_method(method, "/api/generate", "POST") for method in ("OPTIONS", "TRACE", "PROPFIND", "PURGE")),
        *(wrong_method("GET", target, "POST") for target in NATIVE if target != "/api/chat"),
        *(wrong_method("GET", target, "POST") for target in MANAGEMENT if target != "/api/delete"),
        wrong_method("POST", "/api/delete", "DELETE"),
        *(wrong_method("POST", target, "GET, HEAD") for target in ("/", "/api/version", "/api/tags", "/api/ps")),
        wrong_method("GET", f"/api/blobs/{DIGEST}", "HEAD, POST", "/api/blobs/:digest"),
        wrong_method("GET", "/api/me", "POST"),
        *(wrong_method("POST", target, "GET, HEAD") for target in ("/health", "/ready", "/api/v1/health")),
        *(wrong_method("DELETE", f"/api/v1/{target}", "GET, HEAD") for target in ("models", "nodes", "system/stats")),
        wrong_method("PATCH", "/api/v1/models/x/y", "GET, HEAD", "/api/v1/models/:id"),
        wrong_method("PATCH", "/api/v1/models/x/replicas", "GET, HEAD", "/api/v1/models/:id/replicas"),
        wrong_method("PUT", "/api/v1/nodes/x", "GET, HEAD", "/api/v1/nodes/:id"),
        wrong_method("PUT", "/api/v1/nodes/x/health", "GET, HEAD", "/api/v1/nodes/:id/health"),
        wrong_method("DELETE", "/api/v1/inference/requests/x", "GET, HEAD", "/api/v1/inference/requests/:id"),
        *(wrong_method("GET", target, "POST") for target in (*COMPATIBLE, FORMS)),
        wrong_method("DELETE", "/v1/messages", "POST"),
        wrong_method("POST", "/v1/models", "GET, HEAD"),
        wrong_method("DELETE", "/v1/models/a/b:c", "GET, HEAD", "/v1/models/:model"),
        wrong_method("POST", "/metrics", "GET, HEAD", None),
        wrong_method("DELETE", "/metrics.json", "GET, HEAD", None),
    ]
    try_all(gateway, {f"{case.data.split(b' ')[0].decode()} {case.target}": case for case in cases})


def test_what_is_never_carried_is_403(gateway: Process) -> None:
    """A node's account, and what Ollama's cloud does in its name."""
    words = "this route is not available through the gateway"
    experimental = ("/api/experimental/web_search", "/api/experimental/web_fetch")
    cases = {
        target: Bad(request("POST", target, b"{}"), 403, "forbidden", target, "POST", text=words)
        for target in ("/api/me", "/api/signout", *experimental)
    }
    cases["key"] = get("/api/user/keys/a/b", 403, "forbidden", "/api/user/keys/:id", method="DELETE", text=words)
    try_all(gateway, cases)


# Bodies.


def broken_bodies(name: str) -> dict[str, tuple[bytes, str, str]]:
    """Bodies that no route takes, by what is wrong with them: the body, the error's code, its words where known.

    Args:
        name: the member that names the model.
    """
    twice = "invalid JSON: two keys of one object differ in nothing but their case"
    key = name.encode()
    model = b'"%b": "tiny"' % key
    return {
        "no body": (b"", "missing_body", "missing request body"),
        "white space": (b" \n\t", "missing_body", "missing request body"),
        "cut off": (b'{"%b":' % key, "invalid_body", ""),
        "more than one value": (b'{%b} {"x": 1}' % model, "invalid_body", ""),
        "no JSON": (b"model=tiny", "invalid_body", ""),
        "a list": (b"[{%b}]" % model, "invalid_body", ""),
        "a text": (b'"tiny"', "invalid_body", ""),
        "null": (b"null", "invalid_body", ""),
        "no UTF-8 in a key": (b'{%b, "\xff": 1}' % model, "invalid_body", ""),
        "no UTF-8 in the name": (b'{"%b": "\xff"}' % key, "invalid_body", f"{name}: invalid UTF-8"),
        "a number for a name": (b'{"%b": 7}' % key, "invalid_body", ""),
        "a list for a name": (b'{"%b": ["tiny"]}' % key, "invalid_body", ""),
        "an object for a name": (b'{"%b": {}}' % key, "invalid_body", ""),
        "far too deep": (b'{%b, "options": %b' % (model, b'{"a":' * 900), "invalid_body", ""),
        "a key twice": (b'{%b, "x": 1, "x": 2}' % model, "invalid_body", twice),
        "a key in two cases": (b'{"%b": "absent", "%b": "tiny"}' % (key, key.upper()), "invalid_body", twice),
        "a key twice, escaped": (b'{%b, "x": 1, "\\u0058": 2}' % model, "invalid_body", twice),
        "a long s": ('{"stream": true, "ſtream": false, '.encode() + model + b"}", "invalid_body", twice),
        "a kelvin sign": ('{"keep_alive": 1, "\u212aeep_alive": 2, '.encode() + model + b"}", "invalid_body", twice),
        "an option twice": (b'{%b, "options": {"num_ctx": 1, "NUM_CTX": 2}}' % model, "invalid_body", twice),
        "an option twice, OPTIONS": (b'{%b, "OPTIONS": {"a": 1, "A": 2}}' % model, "invalid_body", twice),
    }  # fmt: skip


NAMELESS = {
    "no member": b"{}",
    "null": b'{"model": null}',
    "empty": b'{"model": ""}',
    "blank": b'{"model": "  "}',
}


@pytest.mark.parametrize("target", DIALECTS)
def test_a_bad_body_of_an_inference_is_400(gateway: Process, target: str) -> None:
    """Each with a finished row in the ledger."""
    cases = {
        name: Bad(request("POST", target, body), 400, code, target, "POST", text, accounted=True)
        for name, (body, code, text) in broken_bodies("model").items()
    }
    cases |= {
        f"without a model: {name}": Bad(
            request("POST", target, body), 400, "model_required", target, "POST", "model is required", accounted=True
        )
        for name, body in NAMELESS.items()
    }
    if target not in ("/api/embed", "/api/embeddings"):
        body = b'{"model": "absent", "stream": "no"}'
        cases["stream"] = Bad(request("POST", target, body), 400, "invalid_body", target, "POST", accounted=True)
    try_all(gateway, cases)


@pytest.mark.parametrize("target", MANAGEMENT)
def test_a_bad_body_of_management_is_400(gateway: Process, target: str) -> None:
    """Without a row in the ledger; a model that is made from files need not name another."""
    name = MANAGEMENT[target]
    method = "DELETE" if target == "/api/delete" else "POST"
    cases = {
        what: Bad(request(method, target, body), 400, code, target, method, text)
        for what, (body, code, text) in broken_bodies(name).items()
    }
    if target != "/api/create":
        cases |= {
            f"without a model: {what}": Bad(
                request(method, target, body), 400, "model_required", target, method, "model is required"
            )
            for what, body in NAMELESS.items()
        }
    try_all(gateway, cases)


@pytest.mark.parametrize("target", DIALECTS)
def test_an_unknown_model_is_404(gateway: Process, target: str) -> None:
    """In Ollama's own words, with the name as it was spelt."""
    names = ["absent", "Absent:7B", "some/where/absent:7b", "ti\0ny", "x" * 3000, "тест", "..", "a b", "it's"]
    cases = {
        name: Bad(
            request("POST", target, json.dumps({"model": name}).encode()),
            404,
            "model_not_found",
            target,
            "POST",
            f"model '{name}' not found",
            accounted=True,
        )
        for name in names
    }
    try_all(gateway, cases)


def test_the_ledger_has_a_name_in_both_spellings(gateway: Process) -> None:
    """As the client spelt it, and as nodes know it."""
    found = asked(gateway.url, request("POST", "/api/chat", b'{"model": "Some/Where:7B"}'))
    row = account(gateway, found.header("x-request-id"))
    assert row is not None
    assert (row["requested_model"], row["model"]) == ("Some/Where:7B", "some/where:7b")


# Sizes and encodings.


def too_long(framing: str) -> tuple[Sequence[tuple[str, str]], bytes]:
    """Headers and body of a request above the limit.

    Args:
        framing: `length` for a body that is only announced, `chunks` for one that comes.
    """
    if framing == "length":
        return [("Content-Length", str(LIMIT_BYTES + 1))], b""
    data = b"x" * (LIMIT_BYTES + 1)
    return [("Transfer-Encoding", "chunked")], b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_above_the_limit_is_413(gateway: Process, framing: str) -> None:
    """Announced, it is answered before it comes; in chunks, as soon as it is too long; under the route's pattern."""
    headers, body = too_long(framing)
    targets = [*INFERENCE, *(target for target in MANAGEMENT if target != "/api/delete")]
    cases = {
        target: Bad(
            request("POST", target, body, headers=headers),
            413,
            "body_too_large",
            target,
            "POST",
            "the request body is too large",
            accounted=target in INFERENCE,
        )
        for target in targets
    }
    try_all(gateway, cases)


def test_what_else_is_wrong_with_a_long_request_goes_first(gateway: Process) -> None:
    """A path or a method that does not exist is what it is, whatever the length of the body."""
    headers, body = too_long("length")

    def long(bad: Bad, method: str) -> Bad:
        return attrs.evolve(bad, data=request(method, bad.target, body, headers=headers))

    cases = {
        "path": long(get("/nope", 404, "route_not_found", "unmatched", method="POST"), "POST"),
        "control path": long(get("/api/v1/nope", 404, "route_not_found", "unmatched", method="POST"), "POST"),
        "compatible path": long(get("/v1/nope", 404, "route_not_found", "unmatched", method="POST"), "POST"),
        "method": long(wrong_method("PUT", "/api/chat", "POST"), "PUT"),
        "compatible method": long(wrong_method("PUT", "/v1/messages", "POST"), "PUT"),
        "control method": long(wrong_method("PUT", "/api/v1/models", "GET, HEAD"), "PUT"),
        "metrics": long(wrong_method("POST", "/metrics", "GET, HEAD", None), "POST"),
        "never carried": long(get("/api/me", 403, "forbidden", "/api/me", method="POST"), "POST"),
    }
    try_all(gateway, cases)


def test_a_body_at_the_limit_is_read(gateway: Process) -> None:
    """One byte less than too much is none too much."""
    body = b'{"model": "absent"}'.ljust(LIMIT_BYTES)
    answer = asked(gateway.url, request("POST", "/api/chat", body))
    assert (answer.status, json.loads(answer.body)) == (404, {"error": "model 'absent' not found"})


def test_a_client_that_waits_for_a_word_is_refused_without_one(gateway: Process) -> None:
    """`Expect: 100-continue` with a body above the limit: 413 at once and no 100 before it."""
    headers = [("Expect", "100-continue"), *too_long("length")[0]]
    data, end = sent(gateway.url, request("POST", "/api/chat", headers=headers))
    assert (data.split(b"\r\n")[0], end) == (b"HTTP/1.1 413 Request Entity Too Large", "fin")


def test_a_refused_connection_takes_nothing_more(gateway: Process) -> None:
    """After a 413 the rest of the body is no second request, though the client did not ask to close."""
    headers, _ = too_long("length")
    first = request("POST", "/api/chat", headers=headers, close=False)
    data, end = sent(gateway.url, first, b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert data.count(b"HTTP/1.1 ") == 1
    assert parsed(data, end).header("connection") == "close"


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "br", "identity, gzip", "nonsense", "ä"])
def test_a_compressed_body_is_415(gateway: Process, encoding: str) -> None:
    """Nothing could be checked in it; a blob too, since its node would take it as it is."""
    targets = dict.fromkeys((*INFERENCE, FORMS, *MANAGEMENT), "POST") | {"/api/delete": "DELETE"}
    if encoding == "zstd":
        targets = {target: method for target, method in targets.items() if target not in COMPATIBLE}
    words = "unsupported Content-Encoding"
    cases = {
        target: Bad(
            request(method, target, b'{"model": "tiny"}', headers=[("Content-Encoding", encoding)]),
            415,
            "unsupported_encoding",
            target,
            method,
            words,
            accounted=target in (*INFERENCE, FORMS),
        )
        for target, method in targets.items()
    }
    blob = request("POST", f"/api/blobs/{DIGEST}", b"x", headers=[("Content-Encoding", encoding)])
    cases["blob"] = Bad(blob, 415, "unsupported_encoding", "/api/blobs/:digest", "POST", words)
    try_all(gateway, cases)


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        (b'{"model": "absent"}', 400, "invalid_body", "failed to decompress zstd body"),
        (zstd.compress(b"{}")[:-1], 400, "invalid_body", "failed to decompress zstd body: unexpected EOF"),
        (zstd.compress(b'{"model": "absent"}'), 404, "model_not_found", "model 'absent' not found"),
        (zstd.compress(b""), 400, "missing_body", "missing request body"),
        (zstd.compress(b"\0" * 100_000_000), 413, "body_too_large", "the request body is too large"),
    ],
)  # fmt: skip
def test_zstd_where_it_is_decoded(gateway: Process, body: bytes, status: int, code: str, words: str) -> None:
    """What is none, what is cut off, and a bomb of 100 MB in 10 KB are each told what they are."""
    cases = {
        target: Bad(
            request("POST", target, body, headers=[("Content-Encoding", "zstd")]),
            status,
            code,
            target,
            "POST",
            words,
            accounted=True,
        )
        for target in COMPATIBLE
    }
    try_all(gateway, cases)


# Forms.


def test_a_bad_form(gateway: Process) -> None:
    """No form, no boundary, no model, one that is cut off, and a model behind a file that is too long to be kept."""
    kind = "multipart/form-data; boundary=xXx"
    model = b'--xXx\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n'
    file = b'--xXx\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n%b\r\n'
    end = b"--xXx--\r\n"
    words = "failed to parse multipart form: "
    no_form, no_boundary = (
        "request Content-Type isn't multipart/form-data",
        "no multipart boundary param in Content-Type",
    )
    bad = {
        "JSON": ("application/json", b'{"model": "tiny"}', 400, "invalid_body", f"{words}{no_form}"),
        "no boundary": ("multipart/form-data", end, 400, "invalid_body", f"{words}{no_boundary}"),
        "no body": (kind, b"", 400, "missing_body", "missing request body"),
        "no model": (kind, file % b"x" + end, 400, "model_required", "model is required"),
        "an empty model": (kind, model % b"" + end, 400, "model_required", "model is required"),
        "no UTF-8": (kind, model % b"\xff" + end, 400, "invalid_body", "model: invalid UTF-8"),
        "cut off": (kind, file % b"x", 400, "invalid_body", f"{words}unexpected EOF"),
        "an absent model": (kind, model % b"Absent" + end, 404, "model_not_found", "model 'Absent' not found"),
        "and last": (kind, file % b"x" + model % b"a/b" + end, 404, "model_not_found", "model 'a/b' not found"),
        "a long file first": (kind, file % (b"x" * LIMIT_BYTES) + model % b"tiny" + end, 413, "body_too_large", ""),
    }  # fmt: skip
    cases = {
        name: Bad(
            request("POST", FORMS, body, headers=[("Content-Type", content_type)]),
            status,
            code,
            FORMS,
            "POST",
            text,
            accounted=True,
        )
        for name, (content_type, body, status, code, text) in bad.items()
    }  # fmt: skip
    try_all(gateway, cases)


# What is no request.


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\x00z\r\n\r\n", 400),
        (CHUNKED + b"Content-Length: 3\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 5000 + b"\r\n", 431),
    ],
)  # fmt: skip
def test_malformed_requests_are_400(gateway: Process, data: bytes, status: int) -> None:
    """Without method and path they are `_OTHER` and `unmatched`; the connection ends, and a second request with it."""
    before = requests_ended(scraped(gateway.url))
    with connected(gateway.url) as connection:
        connection.sendall(data + b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer, end = received(connection)
    found = parsed(answer, end)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert (found.status, found.header("connection"), found.end) == (status, "close", "fin")
    assert found.header("x-request-id")
    assert set(json.loads(found.body)) == {"error"}
    assert requests_ended(scraped(gateway.url)) - before == Counter([("_OTHER", "unmatched", str(status))])


@pytest.mark.parametrize(
    "fields", ["", "Host: a\r\nHost: b\r\n", "Host: a/b\r\n", f"Host: a\r\nContent-Length: {3:020d}\r\n"]
)
@pytest.mark.parametrize("target", ["/api/chat", "/api/v1/inference/chat"])
def test_what_can_be_read_in_two_ways_is_400(gateway: Process, target: str, fields: str) -> None:
    """A head that has a method and a path keeps the route's pattern and dialect."""
    data = f"POST {target} HTTP/1.1\r\n{fields}\r\n".encode()
    bad = Bad(data, 400, "malformed_request", target, "POST", "malformed HTTP request")
    before = requests_ended(scraped(gateway.url))
    check(bad, asked(gateway.url, data))
    assert requests_ended(scraped(gateway.url)) - before == Counter([("POST", target, "400")])


# The log.


def test_the_log_tells_the_statuses(gateway: Process) -> None:
    """A line each, with the answer's own status and id, and the model asked for; no query, nothing else of a body."""
    body = b'{"model": "absent", "messages": [{"role": "user", "content": "hidden"}]}'
    found = asked(gateway.url, request("POST", "/api/chat?secret=1", body))
    (line,) = [line for line in gateway.text().splitlines() if found.header("x-request-id") in line]
    assert " POST /api/chat 404 " in line
    assert "model=absent:latest" in line
    assert "secret" not in line
    assert "hidden" not in gateway.text()
