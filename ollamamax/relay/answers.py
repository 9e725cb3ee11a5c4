"""What an answer is made of, by the route that it was asked of.

The bytes of an answer mean something else on each API: where its events begin and end, which one is the last, where it
tells its usage. All of that follows from this one value and from whether the client asked for a stream.
"""

from __future__ import annotations

from enum import Enum


class Answer(Enum):
    """The answers that nodes give.

    Attributes:
        CHAT: `/api/chat`: NDJSON or one object.
        GENERATE: `/api/generate`, likewise.
        EMBED: `/api/embed`: one object.
        EMBEDDINGS: `/api/embeddings`: one object without usage.
        CHAT_COMPLETIONS: `/v1/chat/completions`: events of `data:` that end in `[DONE]`, or one object.
        COMPLETIONS: `/v1/completions`, likewise.
        V1_EMBEDDINGS: `/v1/embeddings`: one object.
        RESPONSES: `/v1/responses`: named events that end in `response.completed`, or one object.
        MESSAGES: `/v1/messages`: named events that end in `message_stop`, or one object.
        TRANSCRIPTIONS: `/v1/audio/transcriptions`: whatever format was asked for.
        PROGRESS: the NDJSON of pull, push and create, which ends in `status: success` or in an error line.
        OPAQUE: anything else; it ends where its framing does.
    """

    CHAT = "chat"
    GENERATE = "generate"
    EMBED = "embed"
    EMBEDDINGS = "embeddings"
    CHAT_COMPLETIONS = "chat_completions"
    COMPLETIONS = "completions"
    V1_EMBEDDINGS = "v1_embeddings"
    RESPONSES = "responses"
    MESSAGES = "messages"
    TRANSCRIPTIONS = "transcriptions"
    PROGRESS = "progress"
    OPAQUE = "opaque"
