"""Single requests to a simulated server in memory, and what refusals say."""

from __future__ import annotations

from typing import Any

from fidelity import Exchange, request_bytes
from simulator.world import World

from ollamamax.simulator.settings import THINKER, TINY


def world(**settings: object) -> World:
    """A server with the models that were recorded."""
    return World(models=(TINY, THINKER), load_seconds=0.0, tokens_per_second=0.0, **settings)


def asked(path: str, document: object = None, method: str = "POST", target: World | None = None) -> Exchange:
    """What a request gets."""
    target = target or world()
    connection = target.ask(path, document, method)
    target.pass_until(target.clock.seconds() + 10.0)
    return connection.exchange()


def sent(path: str, body: bytes, *headers: tuple[str, str]) -> Exchange:
    """What a body gets that is no JSON, or not to look at."""
    target = world()
    request = request_bytes("POST", path, body, headers=headers)
    if any(name == "Content-Type" for name, _ in headers):
        request = request.replace(b"Content-Type: application/json\r\n", b"", 1)
    connection = target.send(request)
    target.pass_until(10.0)
    return connection.exchange()


def told(exchange: Exchange) -> str:
    """What an error of either dialect says."""
    document: Any = exchange.documents[0]
    assert isinstance(document, dict)
    if document.get("type") == "error":
        assert list(document) == ["type", "error", "request_id"]
        assert document["request_id"].startswith("req_")
    else:
        assert list(document) == ["error"]
        assert list(document["error"]) == ["message", "type", "param", "code"]
    return str(document["error"]["message"])
