"""Lists, copies, transfers, blobs, embeddings and account routes, as a client meets them."""

from __future__ import annotations

import hashlib
import json

import attrs
import pytest
from fidelity import Exchange, MemoryConnection, advance_until_finished, request_bytes
from simulator.world import World, errors

from ollamamax.simulator.models import model_of, parsed_name
from ollamamax.simulator.settings import EMBEDDER, THINKER, TINY, ModelSpec, parsed_model


def world(**settings: object) -> World:
    """A server with the recorded models and one that only embeds."""
    return World((TINY, THINKER, EMBEDDER), **settings)


def asked(target: World, path: str, document: object = None, method: str = "POST") -> Exchange:
    """A request carried to its end."""
    connection = target.ask(path, document, method)
    advance_until_finished(target.clock, [connection])
    return connection.exchange()


def listed(target: World) -> list[str]:
    """The names in `/api/tags`."""
    document = asked(target, "/api/tags", method="GET").documents[0]
    assert isinstance(document, dict)
    return [entry["name"] for entry in document["models"]]


def test_digests_are_those_that_a_real_ollama_computes() -> None:
    """The manifest, the configuration and each layer, to the byte."""
    model = model_of(TINY, 0.0)
    assert model.digest == "a376517b52f3197b9103f27e01b8796492ba31f23293258ac4f36b7fb5bcc59b"
    assert [layer.digest[7:15] for layer in model.blobs] == ["3076ad16", "78995d8b", "139999ac", "ba2fce6f"]
    assert (model.size, model.weights.parameter_size) == (645914, "158K")


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("tiny", "registry.ollama.ai/library/tiny:latest"),
        ("me/Tiny:7b", "registry.ollama.ai/me/Tiny:7b"),
        ("127.0.0.1:5055/x/tiny", "127.0.0.1:5055/x/tiny:latest"),
        ("https://host/x/y:z", "host/x/y:z"),
        ("", None),
        ("../../etc", None),
        ("a/b/c/d", None),
        ("a b", None),
    ],
)
def test_names(text: str, full: str | None) -> None:
    """Taken apart with their defaults; what is no name is none."""
    name = parsed_name(text)
    assert (name.full if name else None) == full


def test_a_model_that_stays_for_ever_leaves_in_292_years() -> None:
    """A negative keep_alive is told as Go's longest duration."""
    target = world()
    asked(target, "/api/generate", {"model": "tiny", "keep_alive": -1})
    assert str(target.ps_entries()[0]["expires_at"]).startswith("2319-")
    assert asked(target, "/api/generate", {"model": "tiny", "keep_alive": 0}).documents[0] == {
        "model": "tiny",
        "created_at": "2027-01-15T08:00:02.272Z",
        "response": "",
        "done": True,
        "done_reason": "unload",
    }
    assert target.ps() == []


def test_chat_unloads_too() -> None:
    """No messages and keep_alive 0."""
    target = world()
    asked(target, "/api/chat", {"model": "tiny", "messages": []})
    assert target.ps() == ["tiny:latest"]
    gone = asked(target, "/api/chat", {"model": "tiny", "messages": [], "keep_alive": "0s"})
    assert "unload" in str(gone.documents)
    assert target.ps() == []


def test_models_are_made_copied_and_deleted() -> None:
    """A copy and a derived model are listed first; deleting one leaves the others and their blobs."""
    target = world()
    assert asked(target, "/api/copy", {"source": "tiny", "destination": "me/copy:v1"}).status == 200
    target.pass_until(1.0)
    made = {
        "name": "derived",
        "from": "tiny",
        "template": 'say "hi"',
        "system": " be small",
        "license": ["MIT"],
        "parameters": {"stop": ["a", "b"], "temperature": 0.5, "use_mmap": True},
    }
    lines = asked(target, "/api/create", made).documents
    assert [str(line)[12:28] for line in lines[-2:]] == ["writing manifest", "success'}"]
    assert listed(target)[:2] == ["derived:latest", "me/copy:v1"]
    shown = asked(target, "/api/show", {"name": "derived"}).documents[0]
    assert isinstance(shown, dict)
    assert shown["license"] == "MIT"
    for line in ('TEMPLATE """say "hi""""', 'SYSTEM " be small"', 'PARAMETER stop "a"', "PARAMETER use_mmap true"):
        assert line in shown["modelfile"]
    assert asked(target, "/api/delete", {"model": "DERIVED"}, "DELETE").status == 200
    assert "derived:latest" not in listed(target)


def test_a_base_that_is_not_there_is_pulled() -> None:
    """`create` fetches it from the registry, or fails as the pull does."""
    target = World((), registry=(TINY,))
    lines = asked(target, "/api/create", {"model": "mine", "from": "tiny"}).documents
    assert lines[0] == {"status": "pulling manifest"}
    assert [line for line in lines if line == {"status": "success"}] == [lines[-1]]
    assert set(listed(target)) == {"mine:latest", "tiny:latest"}
    failed = asked(target, "/api/create", {"model": "mine", "from": "other"})
    assert errors(failed) == ["pull model manifest: file does not exist"]


def test_a_model_is_made_from_an_uploaded_file() -> None:
    """The blob becomes its weights; without the blob it is 400."""
    target = world()
    content = b"weights"
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    made = {"model": "own", "files": {"model.gguf": digest}}
    assert asked(target, "/api/create", {**made, "stream": False}).status == 400
    assert asked(target, f"/api/blobs/{digest}", content).status == 201
    assert asked(target, f"/api/blobs/{digest}", content).status == 200
    assert asked(target, "/api/create", made).documents[-1] == {"status": "success"}
    assert asked(target, f"/api/blobs/{digest}", method="HEAD").status == 200


def test_large_and_chunked_blobs_are_hashed_as_they_come() -> None:
    """A body of 20 MiB, and one of unknown length, get the digest of all of it."""
    target = world()
    content = bytes(20 * 1024 * 1024)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert asked(target, f"/api/blobs/{digest}", content).status == 201
    assert target.simulation.store.blob_size(digest) == len(content)
    small = f"sha256:{hashlib.sha256(b'hello').hexdigest()}"
    head = request_bytes("POST", f"/api/blobs/{small}", headers=[("Transfer-Encoding", "chunked")])
    connection = MemoryConnection(target.site, head + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")
    assert connection.exchange().status == 201


@pytest.mark.parametrize(
    ("path", "document", "status", "message"),
    [
        ("/api/show", {}, 400, "model is required"),
        ("/api/show", {"model": "../x"}, 400, "invalid model name"),
        ("/api/copy", {"source": "../x", "destination": "y"}, 400, 'source "../x" is invalid'),
        ("/api/copy", {"source": "tiny", "destination": ""}, 400, 'destination "" is invalid'),
        ("/api/pull", {"model": "a b"}, 400, "invalid model name"),
        ("/api/blobs/sha256:12", b"", 400, "invalid digest format"),
        (
            "/api/generate",
            {"model": "x:cloud", "prompt": "x"},
            403,
            "ollama cloud is disabled: remote model is unavailable",
        ),
        ("/api/generate", {"prompt": "x"}, 404, "model '' not found"),
        ("/api/generate", {"model": "minilm", "prompt": "x"}, 400, '"minilm" does not support generate'),
        ("/api/chat", {"model": "minilm", "messages": [{}]}, 400, '"minilm" does not support chat'),
        (
            "/api/generate",
            {"model": "tiny", "prompt": "x", "suffix": "y"},
            400,
            "registry.ollama.ai/library/tiny:latest does not support insert",
        ),
        ("/api/embed", {"model": "tiny", "input": 7}, 400, "invalid input type"),
        ("/api/embed", {"model": "absent", "input": "x"}, 404, 'model "absent" not found, try pulling it first'),
        (
            "/api/embed",
            {"model": "tiny", "input": "x " * 5000, "truncate": False},
            400,
            "the input length exceeds the context length",
        ),
        ("/api/embeddings", {"prompt": "x"}, 400, "model is required"),
        ("/api/signout", None, 503, "account unavailable"),
        ("/api/experimental/web_search", {}, 403, "ollama cloud is disabled: web search is unavailable"),
        ("/api/experimental/web_fetch", {}, 403, "ollama cloud is disabled: web fetch is unavailable"),
    ],
)
def test_refusals(path: str, document: object, status: int, message: str) -> None:
    """Each in Ollama's words."""
    exchange = asked(world(), path, document)
    assert (exchange.status, errors(exchange)) == (status, [message])


def test_the_older_version_has_a_cloud_that_nobody_is_signed_in_to() -> None:
    """401 with a place to sign in."""
    exchange = asked(world(version="0.24.0"), "/api/chat", {"model": "x:120b-cloud", "messages": []})
    assert exchange.status == 401
    assert "signin_url" in str(exchange.documents)


def test_deleting_what_has_no_name_is_refused() -> None:
    """400 for no name, 404 for an absent one."""
    target = world()
    assert asked(target, "/api/delete", {"model": "../x"}, "DELETE").status == 400
    assert asked(target, "/api/delete", {"model": "absent"}, "DELETE").status == 404


def test_a_push_to_an_unknown_host_fails_by_its_name() -> None:
    """The model is there, the registry is not."""
    target = World((ModelSpec("nowhere.example/x/tiny"),))
    exchange = asked(target, "/api/push", {"model": "nowhere.example/x/tiny", "stream": False})
    assert exchange.status == 500
    assert "lookup nowhere.example: no such host" in str(errors(exchange))


def test_embeddings_have_their_usage_and_vary() -> None:
    """One vector for each input, and the counts of `/api/embed`; the older route has the vector alone."""
    target = world()
    many = asked(target, "/api/embed", {"model": "minilm", "input": ["a", "b c"], "dimensions": 16}).documents[0]
    assert isinstance(many, dict)
    assert [len(vector) for vector in many["embeddings"]] == [16, 16]
    assert many["prompt_eval_count"] == 5
    assert many["total_duration"] > many["load_duration"] > 2e9
    older = asked(target, "/api/embeddings", {"model": "minilm", "prompt": ""}).documents
    assert older == [{"embedding": []}]
    assert asked(target, "/api/embed", {"model": "minilm", "input": "HTTP500"}).status == 500


def test_a_parameter_of_another_model_size_is_told_shortly() -> None:
    """Counts are shortened as Ollama does."""
    weights = model_of(TINY, 0.0).weights
    sizes = [
        attrs.evolve(weights, vocabulary=vocabulary).parameter_size
        for vocabulary in (10_000, 10_000_000, 1_000_000_000)
    ]
    assert sizes == ["1.4M", "1.3B", "128B"]
    assert attrs.evolve(weights, embedding_length=1, vocabulary=1, feed_forward=1, blocks=1).parameter_size == "12"


def test_a_client_that_leaves_during_a_pull_ends_it() -> None:
    """Nothing is kept, nothing goes on."""
    target = World((), registry=(parsed_model("far,size=1e9"),), pull_bytes_per_second=1e6)
    connection = target.ask("/api/pull", {"model": "far"})
    target.pass_until(1.0)
    connection.leave()
    target.pass_until(5000.0)
    assert listed(target) == []
    assert [account.outcome for account in target.accounts()] == ["client_left"]


@pytest.mark.parametrize("prompt", ["TOOL LIMIT 2", "THINK LIMIT 9"])
@pytest.mark.parametrize("stream", [True, False])
def test_tools_and_thinking_are_told_whole_and_streamed(prompt: str, stream: bool) -> None:
    """The call's arguments fit the tool's schema; thinking has a member of its own."""
    schema = {
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["C", "F"]}},
    }
    tools = [{"type": "function", "function": {"name": "weather", "parameters": schema}}]
    document = {
        "model": "thinker",
        "messages": [{"role": "user", "content": prompt}],
        "tools": tools,
        "stream": stream,
        "options": {"num_predict": -1},
    }
    exchange = asked(world(), "/api/chat", document)
    messages = [document["message"] for document in exchange.documents if isinstance(document, dict)]
    if prompt.startswith("TOOL"):
        call = next(call for message in messages for call in message.get("tool_calls", []))
        assert call["function"]["arguments"] == {"city": "Paris", "days": 1, "unit": "C"}
        assert call["id"].startswith("call_")
    else:
        assert len("".join(message.get("thinking", "") for message in messages).split()) == 5
        assert len("".join(message["content"] for message in messages).split()) == 4


def test_generate_thinks_and_tells_logprobs() -> None:
    """`/api/generate` has `thinking` beside `response`, and a line for the marks around it, which nobody sees.

    The older version tells log probabilities line by line.
    """
    exchange = asked(world(), "/api/generate", {"model": "thinker", "prompt": "THINK LIMIT 6"})
    assert ["'thinking'" in str(line) for line in exchange.documents] == [False, *[True] * 5, *[False] * 3]
    body = {"model": "tiny", "prompt": "x", "logprobs": True, "options": {"num_predict": 3}}
    lines = asked(world(version="0.24.0"), "/api/generate", body).documents
    assert ["logprobs" in json.dumps(line) for line in lines] == [True] * 3 + [False]


def test_marked_answers_say_so() -> None:
    """The text begins with it, and every answer has the header, errors too."""
    target = world(marked=True)
    exchange = asked(target, "/api/generate", {"model": "tiny", "prompt": "x LIMIT 3", "stream": False})
    assert str(exchange.documents).count("[simulated] ") == 1
    paths = [exchange, asked(target, "/api/nowhere", method="GET"), asked(target, "/api/show", {"model": "absent"})]
    assert [each.header("x-ollamamax-simulated") for each in paths] == ["1"] * 3
