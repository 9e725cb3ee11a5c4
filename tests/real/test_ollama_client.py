"""The official `ollama` client, unmodified, before the gateway: every call gives what it gives before the node itself.

The node is a simulator; with `OLLAMAMAX_TEST_NODES=URL,…` the same calls go to real nodes, which need the model `tiny`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ollama import AsyncClient, Client, ResponseError
from real.processes import Processes

PROMPT = "hello LIMIT 6"
MESSAGES = [{"role": "user", "content": PROMPT}]
VOLATILE = {
    "created_at",
    "eval_duration",
    "expires_at",
    "load_duration",
    "modified_at",
    "prompt_eval_duration",
    "total_duration",
}

Call = Callable[[Client], Any]


@pytest.fixture(scope="module")
def clients(shared_processes: Processes, nodes: list[str]) -> Iterator[tuple[Client, Client]]:
    """A client before the gateway and one before the first node itself."""
    gateway = shared_processes.gateway(*(f"--node=node{number}={url}" for number, url in enumerate(nodes)))
    with Client(host=gateway.url) as through, Client(host=nodes[0]) as direct:
        yield through, direct


def plain(value: Any) -> Any:
    """What an answer holds, without what differs from one time to the next.

    Lists of models go by name: Ollama's order among models of the same second changes from call to call.
    """
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    if isinstance(value, dict):
        kept = {key: plain(item) for key, item in value.items() if key not in VOLATILE}
        if "models" in kept:
            kept["models"].sort(key=lambda model: model["model"])
        return kept
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "__next__"):
        return [plain(item) for item in value]
    return value


CALLS: dict[str, Call] = {
    "list": lambda client: client.list(),
    "show": lambda client: client.show("tiny"),
    "chat": lambda client: client.chat("tiny", MESSAGES),
    "chat stream": lambda client: client.chat("tiny", MESSAGES, stream=True),
    "chat with options": lambda client: client.chat("tiny", MESSAGES, options={"num_predict": 3}),
    "generate": lambda client: client.generate("tiny", PROMPT),
    "generate stream": lambda client: client.generate("tiny", PROMPT, stream=True),
    "embed": lambda client: client.embed("tiny", ["one text", "another"]),
    "embeddings": lambda client: client.embeddings("tiny", "one text"),
    "load": lambda client: client.generate("tiny"),
    "ps": lambda client: client.ps(),
    "copy": lambda client: (client.copy("tiny", "tiny-copy"), client.list()),
    "create": lambda client: (
        *client.create("tiny-small", from_="tiny", system="Be brief.", stream=True),
        client.list(),
    ),
    "delete": lambda client: (client.delete("tiny-copy"), client.delete("tiny-small"), client.list()),
    "unload": lambda client: (client.generate("tiny", keep_alive=0), client.ps()),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_gives_what_the_node_gives(name: str, clients: tuple[Client, Client]) -> None:
    """The gateway changes nothing of what the client sees, and each call finds what the one before has left."""
    gateway, node = clients
    through = plain(CALLS[name](gateway))
    if name in ("copy", "create", "delete"):
        # The node has changed already: only the state that is left can be compared.
        assert through[-1] == plain(node.list())
    else:
        assert through == plain(CALLS[name](node))


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.chat("absent", MESSAGES),
        lambda client: list(client.generate("absent", PROMPT, stream=True)),
        lambda client: client.show("absent"),
        lambda client: client.copy("absent", "other"),
        lambda client: client.delete("absent"),
        lambda client: client.embed("absent", "x"),
        lambda client: client.chat("tiny", MESSAGES, think=True),
        lambda client: client.chat("tiny", MESSAGES, options={"num_ctx": "many"}),
    ],
)
def test_a_failing_call_fails_alike(call: Call, clients: tuple[Client, Client]) -> None:
    """An error has the status that the node would answer with, and a text."""
    errors = []
    for client in clients:
        with pytest.raises(ResponseError) as raised:
            call(client)
        errors.append(raised.value)
    through, direct = errors
    assert through.error
    if direct.error != through.error:
        assert {direct.status_code, through.status_code} <= {400, 404}
    else:
        assert direct.status_code == through.status_code


def test_pull_shows_its_progress(clients: tuple[Client, Client]) -> None:
    """A pull's lines arrive with their totals, its last one is `success`, and the model is listed at once."""
    if os.environ.get("OLLAMAMAX_TEST_NODES"):
        name = os.environ.get("OLLAMAMAX_TEST_PULL", "127.0.0.1:5055/x/tiny")
    else:
        name = "minilm"
    gateway, _ = clients
    lines = list(gateway.pull(name, insecure=True, stream=True))
    assert lines[0].status == "pulling manifest"
    assert any(line.total and line.completed for line in lines)
    assert lines[-1].status == "success"
    assert any((model.model or "").startswith(name) for model in gateway.list().models)
    gateway.delete(name)


def test_a_pull_that_fails_raises(clients: tuple[Client, Client]) -> None:
    """The error line within a pull's stream reaches the client."""
    with pytest.raises(ResponseError, match="pull model manifest"):
        list(clients[0].pull("127.0.0.1:9/x/absent", insecure=True, stream=True))


def test_the_asynchronous_client(clients: tuple[Client, Client]) -> None:
    """The asynchronous client streams, and many of its requests run at once."""
    url = str(clients[0]._client.base_url)

    async def run() -> list[str]:
        async with AsyncClient(host=url) as client:

            async def text() -> str:
                parts = await client.chat("tiny", MESSAGES, stream=True)
                return "".join([part.message.content or "" async for part in parts])

            return await asyncio.gather(*(text() for _ in range(8)))

    # On a thread of its own: under the asyncio reactor this one has a running loop already.
    with ThreadPoolExecutor(1) as thread:
        texts = thread.submit(asyncio.run, run()).result()
    assert len(set(texts)) == 1
    assert texts[0]
