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
        usage_on_request: whether its streams tell their usage only to those who ask for it.
        takes_zstd: whether its bodies may be compressed with zstd.
        end_user: the members, one within the other, in which a client may name the user for whom it asks; empty where
            the API has none.
        is_form: whether its body is a form, with the model in a field of it.
    """

    name: str
    target: bytes
    answer: Answer
    streams: bool | None = None
    content: str | None = None
    usage_on_request: bool = False
    takes_zstd: bool = False
    end_user: tuple[str, ...] = ()
    is_form: bool = False

    @property
    def tells_phases(self) -> bool:
        """Whether its answers tell how long the node took for what: Ollama's own API does, no route of `/v1`."""
        return self.target.startswith(b"/api/")


CHAT = Operation("chat", b"/api/chat", Answer.CHAT, streams=True, content="messages")
GENERATE = Operation("generate", b"/api/generate", Answer.GENERATE, streams=True, content="prompt")
EMBED = Operation("embed", b"/api/embed", Answer.EMBED)
EMBEDDINGS = Operation("embed", b"/api/embeddings", Answer.EMBEDDINGS)

# Those compatible with OpenAI's and Anthropic's. Ollama decodes zstd on all of them but for transcriptions
# (`cloudPassthroughMiddleware` in its server/cloud_proxy.go).
_USER = ("user",)
CHAT_COMPLETIONS = Operation(
    "chat",
    b"/v1/chat/completions",
    Answer.CHAT_COMPLETIONS,
    streams=False,
    usage_on_request=True,
    takes_zstd=True,
    end_user=_USER,
)
COMPLETIONS = Operation(
    "generate",
    b"/v1/completions",
    Answer.COMPLETIONS,
    streams=False,
    usage_on_request=True,
    takes_zstd=True,
    end_user=_USER,
)
V1_EMBEDDINGS = Operation("embed", b"/v1/embeddings", Answer.V1_EMBEDDINGS, takes_zstd=True, end_user=_USER)
RESPONSES = Operation("chat", b"/v1/responses", Answer.RESPONSES, streams=False, takes_zstd=True, end_user=_USER)
MESSAGES = Operation(
    "chat", b"/v1/messages", Answer.MESSAGES, streams=False, takes_zstd=True, end_user=("metadata", "user_id")
)
# Its answer comes whole, whatever a field `stream` says (`TranscriptionWriter` in Ollama's middleware/openai.go).
TRANSCRIPTIONS = Operation("transcribe", b"/v1/audio/transcriptions", Answer.TRANSCRIPTIONS, is_form=True)
