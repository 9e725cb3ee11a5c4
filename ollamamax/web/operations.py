"""What can be inferred: the routes that cost a node's time, and how their requests and answers are made."""

from __future__ import annotations

import attrs

from ollamamax.relay.answers import Answer


@attrs.frozen
class Operation:
    """An inference route.

    Attributes:
        name: what the ledger and the metrics call it: `chat`, `generate`, `embed`, `transcribe`.
        target: the route's path on a node.
        answer: what its answers are made of.
        streams: whether it answers with a stream where the body does not say; None for one that never does.
        content: the member without which the request only loads the model (or, with `keep_alive: 0`, unloads it); None
            where nothing is loaded like that.
    """

    name: str
    target: bytes
    answer: Answer
    streams: bool | None = None
    content: str | None = None


CHAT = Operation("chat", b"/api/chat", Answer.CHAT, streams=True, content="messages")
GENERATE = Operation("generate", b"/api/generate", Answer.GENERATE, streams=True, content="prompt")
EMBED = Operation("embed", b"/api/embed", Answer.EMBED)
EMBEDDINGS = Operation("embed", b"/api/embeddings", Answer.EMBEDDINGS)
