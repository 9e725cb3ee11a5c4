"""What the official clients of OpenAI and Anthropic make of failures: exceptions of their own, whenever it fails.

They try again where that makes sense, and only there.

The node is a simulator; with `OLLAMAMAX_TEST_NODES=URL,…` the same calls go to real nodes with the model `tiny`, whose
engine is steered by the same words of a prompt.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, NamedTuple

import anthropic
import httpx
import openai
import pytest
from real.callers import wait_for
from real.official import FLAVOURS, SOUND, Ask, Compared, Flavour, anthropic_client, openai_client
from real.processes import Process, Processes
from real.samples import requests_ended, scraped
from real.stalling_node import stalling_node

Made = Callable[[str], Ask]
"""Makes what is asked of a prompt."""

MAX_BODY_BYTES = 100_000


def said(prompt: str) -> list[Any]:
    """A conversation of one message."""
    return [{"role": "user", "content": prompt}]


class Clients(NamedTuple):
    """Both clients in one flavour, before the gateway and before the first node."""

    openai: Compared
    anthropic: Compared


@pytest.fixture(scope="module")
def narrow_gateway(shared_processes: Processes, nodes: list[str]) -> Process:
    """A gateway that takes small bodies only."""
    arguments = [f"--node=node{number}={url}" for number, url in enumerate(nodes)]
    return shared_processes.gateway(*arguments, environ={"OLLAMAMAX_LIMITS_MAX_BODY_BYTES": str(MAX_BODY_BYTES)})


@pytest.fixture(scope="module", params=FLAVOURS)
def clients(request: pytest.FixtureRequest, narrow_gateway: Process, nodes: list[str]) -> Iterator[Clients]:
    """All clients of one flavour."""
    with ExitStack() as stack:
        urls = (narrow_gateway.url, nodes[0])
        made = (
            Compared(*(stack.enter_context(make(request.param, url)) for url in urls))
            for make in (openai_client, anthropic_client)
        )
        yield Clients(*made)


# In the middle of a stream.

OPENAI_STREAMS: Mapping[str, Made] = {
    "chat": lambda prompt: (
        lambda client: client.chat.completions.create(model="tiny", messages=said(prompt), stream=True)
    ),
    "chat helper": lambda prompt: lambda client: client.chat.completions.stream(model="tiny", messages=said(prompt)),
    "completions": lambda prompt: lambda client: client.completions.create(model="tiny", prompt=prompt, stream=True),
    "responses": lambda prompt: lambda client: client.responses.create(model="tiny", input=prompt, stream=True),
    "responses helper": lambda prompt: lambda client: client.responses.stream(model="tiny", input=prompt),
}
ANTHROPIC_STREAMS: Mapping[str, Made] = {
    "messages": lambda prompt: (
        lambda client: client.messages.create(model="tiny", messages=said(prompt), max_tokens=50, stream=True)
    ),
    "messages helper": lambda prompt: (
        lambda client: client.messages.stream(model="tiny", messages=said(prompt), max_tokens=50)
    ),
}


@pytest.mark.parametrize("name", OPENAI_STREAMS)
def test_a_stream_of_openai_that_breaks_off_raises(clients: Clients, name: str) -> None:
    """Whether the engine's answer was cut or the engine has died: what came is given, then the client raises its error.

    It is the gateway's, not one of a connection, which would say nothing; the next stream is whole.
    """
    made = OPENAI_STREAMS[name]
    for word in ("CUT", "DIE"):
        events: list[Any] = []
        with pytest.raises(openai.APIError, match=r"node|model") as raised:
            clients.openai.gateway.events(made(f"{word} LIMIT 12"), into=events)
        assert not isinstance(raised.value, openai.APIConnectionError)
        assert raised.value.code
        assert events
    assert clients.openai.gateway.events(made("LIMIT 2"))


@pytest.mark.parametrize("name", ANTHROPIC_STREAMS)
def test_a_stream_of_anthropic_that_breaks_off_raises(clients: Clients, name: str) -> None:
    """As above: the error has the API's type, and the id of the request."""
    made = ANTHROPIC_STREAMS[name]
    for word in ("CUT", "DIE"):
        events: list[Any] = []
        with pytest.raises(anthropic.APIStatusError, match=r"node|model") as raised:
            clients.anthropic.gateway.events(made(f"{word} LIMIT 12"), into=events)
        assert raised.value.type == "api_error"
        assert raised.value.request_id
        assert events
    assert clients.anthropic.gateway.events(made("LIMIT 2"))


# Before the first byte.

OPENAI_ROUTES: Mapping[str, Callable[..., Ask]] = {
    "chat": lambda model, prompt, **options: (
        lambda client: client.chat.completions.create(model=model, messages=said(prompt), **options)
    ),
    "completions": lambda model, prompt, **options: (
        lambda client: client.completions.create(model=model, prompt=prompt, **options)
    ),
    "responses": lambda model, prompt, **options: (
        lambda client: client.responses.create(model=model, input=prompt, **options)
    ),
    "embeddings": lambda model, prompt, **options: (
        lambda client: client.embeddings.create(model=model, input=prompt, **options)
    ),
    "transcriptions": lambda model, prompt, **options: (
        lambda client: client.audio.transcriptions.create(model=model, file=SOUND, prompt=prompt, **options)
    ),
}


def message(model: str, prompt: str, **options: Any) -> Ask:
    """A call of Anthropic's API."""
    return lambda client: client.messages.create(model=model, messages=said(prompt), max_tokens=50, **options)


def failure(flavour: Flavour, ask: Ask) -> Any:
    """The error that a call raises: one of a status, of the client's own."""
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as raised:
        flavour.answer(ask)
    return raised.value


def fails_alike(compared: Compared, ask: Ask) -> Any:
    """The error that a call raises before the gateway, whose class is that of the node's."""
    through, direct = failure(compared.gateway, ask), failure(compared.node, ask)
    assert (type(through), through.status_code) == (type(direct), direct.status_code)
    assert through.request_id
    return through


@pytest.mark.parametrize("route", OPENAI_ROUTES)
def test_an_absent_model_is_not_found(clients: Clients, route: str) -> None:
    """404 in the words of OpenAI's API, on each of its routes."""
    error = fails_alike(clients.openai, OPENAI_ROUTES[route]("absent", "x"))
    assert isinstance(error, openai.NotFoundError)
    assert error.type == "not_found_error"
    assert "absent" in error.message


def test_an_absent_model_is_not_found_by_its_name(clients: Clients) -> None:
    """`models.retrieve` of a model that is nowhere is 404."""
    error = fails_alike(clients.openai, lambda client: client.models.retrieve("absent"))
    assert isinstance(error, openai.NotFoundError)


def test_an_absent_model_is_not_found_for_a_message(clients: Clients) -> None:
    """404 in the words of Anthropic's API."""
    error = fails_alike(clients.anthropic, message("absent", "x"))
    assert isinstance(error, anthropic.NotFoundError)
    assert error.type == "not_found_error"


OPENAI_MISTAKES: Mapping[str, Ask] = {
    "no messages": lambda client: client.chat.completions.create(model="tiny", messages=[]),
    "messages of a wrong type": lambda client: client.chat.completions.create(model="tiny", messages=7),
    "a model that cannot think": lambda client: client.chat.completions.create(
        model="tiny", messages=said("x"), reasoning_effort="high"
    ),
    "no input": lambda client: client.embeddings.create(model="tiny", input=[]),
    "an unknown encoding": lambda client: client.embeddings.create(model="tiny", input="x", encoding_format="int8"),
    "an empty recording": lambda client: client.audio.transcriptions.create(model="tiny", file=("a.wav", b"")),
}
ANTHROPIC_MISTAKES: Mapping[str, Ask] = {
    "no messages": lambda client: client.messages.create(model="tiny", messages=[], max_tokens=9),
    "no tokens": lambda client: client.messages.create(model="tiny", messages=said("x"), max_tokens=0),
}


@pytest.mark.parametrize("mistake", OPENAI_MISTAKES)
def test_a_mistake_of_openai_is_a_bad_request(clients: Clients, mistake: str) -> None:
    """What the node refuses is a BadRequestError, with the API's type."""
    error = fails_alike(clients.openai, OPENAI_MISTAKES[mistake])
    assert isinstance(error, openai.BadRequestError)
    assert error.type == "invalid_request_error"


@pytest.mark.parametrize("mistake", ANTHROPIC_MISTAKES)
def test_a_mistake_of_anthropic_is_a_bad_request(clients: Clients, mistake: str) -> None:
    """What the node refuses is a BadRequestError, with the API's type."""
    error = fails_alike(clients.anthropic, ANTHROPIC_MISTAKES[mistake])
    assert isinstance(error, anthropic.BadRequestError)
    assert error.type == "invalid_request_error"


@pytest.mark.parametrize("prompt", ["HTTP500", "CUT LIMIT 12"])
def test_an_engine_that_fails_is_an_internal_server_error(clients: Clients, prompt: str) -> None:
    """A whole answer that does not come to be is 500, on each route that makes text."""
    for route in ("chat", "completions", "responses"):
        error = fails_alike(clients.openai, OPENAI_ROUTES[route]("tiny", prompt))
        assert isinstance(error, openai.InternalServerError)
        assert error.type == "api_error"
    error = fails_alike(clients.anthropic, message("tiny", prompt))
    assert isinstance(error, anthropic.InternalServerError)
    assert error.type == "api_error"


def test_a_transcription_that_breaks_off_raises(clients: Clients) -> None:
    """Nothing of it comes before its end, and Ollama ends it empty where its engine fails: 502, while there is time."""
    for word in ("CUT", "DIE"):
        error = failure(clients.openai.gateway, OPENAI_ROUTES["transcriptions"]("tiny", f"{word} LIMIT 12"))
        assert (error.status_code, error.type) == (502, "api_error")


def test_what_the_gateway_refuses_by_itself(clients: Clients) -> None:
    """A body that is too large, an encoding that is not spoken, a path and a method that are none."""
    long, encoded = "x" * (MAX_BODY_BYTES + 1), {"Content-Encoding": "br"}
    chat = OPENAI_ROUTES["chat"]
    refused: list[tuple[Flavour, Ask, int]] = [
        (clients.openai.gateway, chat("tiny", long), 413),
        (clients.openai.gateway, chat("tiny", "x", extra_headers=encoded), 415),
        (clients.openai.gateway, lambda client: client.get("/unknown", cast_to=object), 404),
        (clients.openai.gateway, lambda client: client.post("/models", cast_to=object), 405),
        (clients.anthropic.gateway, message("tiny", long), 413),
        (clients.anthropic.gateway, message("tiny", "x", extra_headers=encoded), 415),
        (clients.anthropic.gateway, lambda client: client.get("/v1/messages", cast_to=object), 405),
    ]
    for flavour, ask, status in refused:
        error = failure(flavour, ask)
        assert error.status_code == status
        assert error.request_id


def test_the_id_of_a_request_is_seen(clients: Clients) -> None:
    """Answers have the id by which the ledger knows them, where each client looks for it, and the usage agrees."""
    answers = [
        clients.openai.gateway.answer(OPENAI_ROUTES["chat"]("tiny", "LIMIT 6")),
        clients.openai.gateway.answer(OPENAI_ROUTES["responses"]("tiny", "LIMIT 6")),
        clients.openai.gateway.answer(OPENAI_ROUTES["embeddings"]("tiny", "LIMIT 6")),
        clients.anthropic.gateway.answer(message("tiny", "LIMIT 6")),
    ]
    for answer in answers:
        url = str(clients.openai.gateway.client.base_url).removesuffix("/v1/")
        row = httpx.get(f"{url}/api/v1/inference/requests/{answer._request_id}").json()
        usage = {key: value for key, value in answer.usage.model_dump().items() if isinstance(value, int)}
        assert row["outcome"] == "success"
        assert row["input_tokens"] == usage.get("input_tokens", usage.get("prompt_tokens"))
        assert row["output_tokens"] == usage.get("output_tokens", usage.get("completion_tokens"))


# Again, or not.

ASKED: list[tuple[Any, str, Callable[[str], Ask]]] = [
    (
        openai_client,
        "/v1/chat/completions",
        lambda model: lambda client: client.chat.completions.create(model=model, messages=said("x"), stream=True),
    ),
    (
        anthropic_client,
        "/v1/messages",
        lambda model: lambda client: client.messages.create(model=model, messages=said("x"), max_tokens=9, stream=True),
    ),
]


class Troubled(NamedTuple):
    """A gateway before nodes that fail.

    Attributes:
        gateway: the server.
        models: the model whose node fails with a status, by that status.
    """

    gateway: Process
    models: Mapping[int, str]


@pytest.fixture(scope="module")
def troubled(shared_processes: Processes) -> Iterator[Troubled]:
    """A node that hangs up, one that says nothing, and one that has gone."""
    with stalling_node(["rude"]) as rude, stalling_node(["mute"], ["mute"]) as mute, stalling_node(["gone"]) as gone:
        rude.hangs_up = True
        nodes = [f"--node={name}={node.url}" for name, node in (("rude", rude), ("mute", mute), ("gone", gone))]
        gateway = shared_processes.gateway(
            *nodes,
            environ={"OLLAMAMAX_TIMEOUTS_FIRST_BYTE_SECONDS": "0.2", "OLLAMAMAX_PROBE_INTERVAL_SECONDS": "0.2"},
        )
        with mute.holding_heads(), gone.holding_probes():
            wait_for(lambda: _state(gateway, "gone") == "down")
            yield Troubled(gateway, {502: "rude", 504: "mute", 503: "gone"})


def _state(gateway: Process, name: str) -> str:
    nodes = httpx.get(f"{gateway.url}/api/v1/nodes").json()["nodes"]
    (state,) = [node["status"] for node in nodes if node["id"] == name]
    return str(state)


@pytest.mark.parametrize(("status", "times"), [(502, 1), (504, 1), (503, 2)])
def test_a_client_tries_again_when_it_makes_sense(troubled: Troubled, status: int, times: int) -> None:
    """What a node has been given is not asked for again (502, 504); what none was given is, after Retry-After (503)."""
    gateway, model = troubled.gateway, troubled.models[status]
    before = requests_ended(scraped(gateway.url))

    def asks(each: tuple[str, tuple[Any, str, Callable[[str], Ask]]]) -> float:
        flavour, (make, _, asked) = each
        started = time.monotonic()
        with make(flavour, gateway.url, retries=1) as client:
            assert failure(client, asked(model)).status_code == status
        return time.monotonic() - started

    every = [(flavour, asked) for flavour in FLAVOURS for asked in ASKED]
    with ThreadPoolExecutor(len(every)) as pool:
        seconds = list(pool.map(asks, every))
    ended = requests_ended(scraped(gateway.url)) - before
    for _, path, _ in ASKED:
        assert ended["POST", path, str(status)] == times * len(FLAVOURS)
    if status == 503:
        assert min(seconds) >= 1.0
