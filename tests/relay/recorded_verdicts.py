"""What a person reads in every inference that was recorded, written down by hand: the table of the verdict's tests.

Where a stream has no usage the client had not asked for it; where it has one, it is the last that is told: what
`message_start` says of the input is an estimate, and the zeros beside each text of a completion keep a place.
"""

from __future__ import annotations

import attrs

from ollamamax.relay.answers import Answer
from ollamamax.relay.usage import NO_USAGE, Usage

CHAT, GENERATE, EMBED, EMBEDDINGS = Answer.CHAT, Answer.GENERATE, Answer.EMBED, Answer.EMBEDDINGS
V1_CHAT, COMPLETIONS, V1_EMBEDDINGS = Answer.CHAT_COMPLETIONS, Answer.COMPLETIONS, Answer.V1_EMBEDDINGS
RESPONSES, MESSAGES = Answer.RESPONSES, Answer.MESSAGES

PATHS: dict[str, Answer] = {
    "/api/chat": CHAT,
    "/api/generate": GENERATE,
    "/api/embed": EMBED,
    "/api/embeddings": EMBEDDINGS,
    "/v1/chat/completions": V1_CHAT,
    "/v1/completions": COMPLETIONS,
    "/v1/embeddings": V1_EMBEDDINGS,
    "/v1/responses": RESPONSES,
    "/v1/messages": MESSAGES,
    "/v1/audio/transcriptions": Answer.TRANSCRIPTIONS,
}
"""The routes of inference."""


@attrs.frozen
class Told:
    """What one recorded answer says.

    Attributes:
        outcome: how it ended.
        streaming: whether its request asked for a stream.
        tokens: input, output and cached ones that it tells.
        first: the number of the line or event, from 0, that has the first content; None for no first token.
        phases: total, load, prompt and output in nanoseconds, where it tells any.
        loaded: whether it says that a model was only loaded or unloaded.
    """

    outcome: str
    streaming: bool = False
    tokens: tuple[int | None, int | None, int | None] = (None, None, None)
    first: int | None = None
    phases: tuple[int | None, int | None, int | None, int | None] = (None, None, None, None)
    loaded: bool = False

    @property
    def usage(self) -> Usage:
        """Tokens and phases as the verdict reports them."""
        total, load, prompt, output = (None if phase is None else phase / 1e9 for phase in self.phases)
        return Usage(*self.tokens, total, load, prompt, output)


def _refused(streaming: bool = False) -> Told:
    return Told("client_error", streaming)


LOADED = Told("success", True, loaded=True)
CUT = Told("stream_error", True, first=0)
"""Six tokens, then a line with an error."""

TABLE: dict[tuple[str, str], Told] = {
    # /api/generate
    ("0.24", "generate-stream"): Told("length", True, (18, 6, None), 0, (393319136, 307509807, 1990706, 81526521)),
    ("0.24", "generate-whole"): Told("length", False, (18, 6, None), None, (22684314, 2216131, 1187858, 17874759)),
    ("0.24", "generate-raw-stop"): Told("length", False, (15, 6, None), None, (11146745, 1432006, 3047835, 5737077)),
    ("0.24", "generate-load"): LOADED,
    ("0.24", "generate-keep-alive-forever"): LOADED,
    ("0.24", "generate-unload"): LOADED,
    ("0.24", "generate-absent-model"): _refused(True),
    ("0.33", "generate-stream"): Told("success", True, (4, 6, None), 0, (555774979, 515195311, 5431343, 31062403)),
    ("0.33", "generate-whole"): Told("success", False, (4, 6, None), None, (41375510, 1501399, 6756070, 30743965)),
    ("0.33", "generate-raw-stop"): Told("success", False, (3, 3, None), None, (25737377, 2095300, 5517702, 15860823)),
    ("0.33", "generate-load"): LOADED,
    ("0.33", "generate-keep-alive-forever"): LOADED,
    ("0.33", "generate-unload"): LOADED,
    ("0.33", "generate-absent-model"): _refused(True),
    ("0.33", "generate-cut-mid-stream"): CUT,
    # /api/chat
    ("0.24", "chat-stream"): Told("length", True, (18, 6, None), 0, (24909232, 4959788, 11244494, 7305615)),
    ("0.24", "chat-whole"): Told("length", False, (18, 6, None), None, (31165526, 2923511, 1685508, 24646962)),
    ("0.24", "chat-load"): LOADED,
    ("0.24", "chat-upper-case-name"): Told(
        "length", False, (18, 6, None), None, (35116807, 3119251, 6755710, 23668790)
    ),
    ("0.24", "chat-duplicate-model-key"): Told(
        "length", False, (14, 2, None), None, (5831909, 2040590, 1576140, 1299249)
    ),
    ("0.24", "chat-logprobs"): Told("length", False, (18, 6, None), None, (20512550, 1824138, 11236273, 5495835)),
    ("0.24", "chat-format-json"): Told("success", False, (18, 3, None), None, (27708504, 1366478, 420775, 23017799)),
    ("0.24", "chat-tools-unsupported"): _refused(),
    ("0.24", "chat-think-unsupported"): _refused(),
    ("0.24", "chat-images-unsupported"): Told(
        "length", False, (13, 48, None), None, (298665361, 2707985, 1519817, 288334141)
    ),
    ("0.24", "chat-absent-model"): _refused(True),
    ("0.24", "chat-no-model"): _refused(True),
    ("0.24", "chat-broken-json"): _refused(True),
    ("0.24", "chat-no-body"): _refused(True),
    ("0.24", "chat-wrong-type"): _refused(True),
    ("0.24", "chat-bad-option"): Told("node_error"),
    ("0.24", "chat-bad-keep-alive"): _refused(),
    ("0.33", "chat-stream"): Told("success", True, (4, 6, None), 0, (41880079, 1691121, 5503050, 30431475)),
    ("0.33", "chat-whole"): Told("success", False, (4, 6, None), None, (41422039, 1835275, 5624777, 30355271)),
    ("0.33", "chat-load"): LOADED,
    ("0.33", "chat-upper-case-name"): Told(
        "success", False, (4, 6, None), None, (42888256, 3555399, 5996673, 30915439)
    ),
    ("0.33", "chat-duplicate-model-key"): Told(
        "success", False, (4, 2, None), None, (24518092, 2401646, 6995026, 12441692)
    ),
    ("0.33", "chat-logprobs"): Told("success", False, (4, 6, None), None, (47055122, 3822646, 5467977, 31922465)),
    ("0.33", "chat-format-json"): Told("success", False, (4, 6, None), None, (41929422, 2258903, 5908791, 31045512)),
    ("0.33", "chat-tools-unsupported"): _refused(),
    ("0.33", "chat-think-unsupported"): _refused(),
    ("0.33", "chat-images-unsupported"): Told(
        "success", False, (4, 24, None), None, (131523421, 1412337, 5326117, 120436155)
    ),
    ("0.33", "chat-absent-model"): _refused(True),
    ("0.33", "chat-no-model"): _refused(True),
    ("0.33", "chat-broken-json"): _refused(True),
    ("0.33", "chat-no-body"): _refused(True),
    ("0.33", "chat-wrong-type"): _refused(True),
    ("0.33", "chat-bad-option"): Told("node_error"),
    ("0.33", "chat-bad-keep-alive"): _refused(),
    ("0.33", "chat-cloud-model-disabled"): _refused(True),
    # Thinking is content.
    ("0.33", "chat-think-stream"): Told("success", True, (4, 11, None), 0, (833032259, 766078924, 5681425, 55949047)),
    # So is the call of a tool, which comes whole.
    ("0.33", "chat-tools-stream"): Told("success", True, (4, 4, None), 0, (33467078, 1711821, 5570489, 20538084)),
    ("0.33", "chat-engine-500"): Told("node_error", True),
    ("0.33", "chat-cut-mid-stream"): CUT,
    ("0.33", "chat-cut-whole"): Told("node_error"),
    ("0.33", "chat-engine-dies-mid-stream"): CUT,
    # /api/embed and /api/embeddings: no output, and of the latter no usage at all.
    ("0.24", "embed-one"): Told("success", False, (13, None, None), None, (6265542, 3121729, None, None)),
    ("0.24", "embed-many"): Told("success", False, (8, None, None), None, (4007285, 1356504, None, None)),
    ("0.24", "embed-empty"): Told("success"),
    ("0.24", "embeddings"): Told("success"),
    ("0.33", "embed-one"): Told("success", False, (3, None, None), None, (5449942, 1964227, None, None)),
    ("0.33", "embed-many"): Told("success", False, (5, None, None), None, (5528168, 1861484, None, None)),
    ("0.33", "embed-empty"): Told("success"),
    ("0.33", "embeddings"): Told("success"),
    # /v1/chat/completions
    ("0.24", "v1-chat-whole"): Told("length", False, (18, 6, None)),
    ("0.24", "v1-chat-stream"): Told("length", True, first=0),
    ("0.24", "v1-chat-stream-usage"): Told("length", True, (18, 6, None), 0),
    ("0.24", "v1-chat-absent"): _refused(),
    ("0.24", "v1-chat-no-messages"): _refused(),
    ("0.24", "v1-chat-broken-json"): _refused(),
    ("0.33", "v1-chat-whole"): Told("success", False, (4, 6, None)),
    ("0.33", "v1-chat-stream"): Told("success", True, first=0),
    ("0.33", "v1-chat-stream-usage"): Told("success", True, (4, 6, None), 0),
    ("0.33", "v1-chat-absent"): _refused(),
    ("0.33", "v1-chat-no-messages"): _refused(),
    ("0.33", "v1-chat-broken-json"): _refused(),
    ("0.33", "v1-chat-think-stream"): Told("success", True, first=0),
    ("0.33", "v1-chat-tools-stream"): Told("success", True, first=0),
    ("0.33", "v1-chat-engine-500"): Told("node_error", True),
    # An event without text, then the end of the framing without `[DONE]`.
    ("0.33", "v1-chat-cut-mid-stream"): Told("incomplete", True, first=0),
    ("0.33", "v1-chat-engine-dies-mid-stream"): Told("incomplete", True, first=0),
    # /v1/completions
    ("0.24", "v1-completions-whole"): Told("length", False, (18, 6, None)),
    ("0.24", "v1-completions-stream-usage"): Told("length", True, (18, 6, None), 0),
    ("0.33", "v1-completions-whole"): Told("success", False, (4, 6, None)),
    ("0.33", "v1-completions-stream-usage"): Told("success", True, (4, 6, None), 0),
    # /v1/embeddings
    ("0.24", "v1-embeddings"): Told("success", False, (10, None, None)),
    ("0.24", "v1-embeddings-base64"): Told("success", False, (7, None, None)),
    ("0.33", "v1-embeddings"): Told("success", False, (4, None, None)),
    ("0.33", "v1-embeddings-base64"): Told("success", False, (2, None, None)),
    # /v1/responses: `completed` also where the tokens were used up; created, in progress, item, part, then text.
    ("0.24", "v1-responses-whole"): Told("success", False, (18, 6, 0)),
    ("0.24", "v1-responses-stream"): Told("success", True, (18, 6, 0), 4),
    ("0.24", "v1-responses-absent"): _refused(),
    ("0.33", "v1-responses-whole"): Told("success", False, (4, 6, 0)),
    ("0.33", "v1-responses-stream"): Told("success", True, (4, 6, 0), 4),
    ("0.33", "v1-responses-absent"): _refused(),
    ("0.33", "v1-responses-cut-mid-stream"): Told("incomplete", True, first=4),
    # /v1/messages: the start of the message and of a block, then text or thinking; a tool's block is content.
    ("0.24", "v1-messages-whole"): Told("length", False, (18, 6, None)),
    ("0.24", "v1-messages-stream"): Told("length", True, (18, 6, None), 2),
    ("0.24", "v1-messages-absent"): _refused(),
    ("0.24", "v1-messages-no-max-tokens"): _refused(),
    ("0.33", "v1-messages-whole"): Told("success", False, (4, 6, None)),
    ("0.33", "v1-messages-stream"): Told("success", True, (4, 6, None), 2),
    ("0.33", "v1-messages-absent"): _refused(),
    ("0.33", "v1-messages-no-max-tokens"): _refused(),
    ("0.33", "v1-messages-think-stream"): Told("success", True, (4, 11, None), 2),
    ("0.33", "v1-messages-tools-stream"): Told("success", True, (4, 4, None), 1),
    ("0.33", "v1-messages-engine-500"): Told("node_error", True),
    ("0.33", "v1-messages-cut-mid-stream"): Told("incomplete", True, first=2),
}

READ = [key for key, told in TABLE.items() if told.outcome not in ("client_error", "node_error")]
"""Those that have something to be read."""
STREAMS = [key for key in READ if TABLE[key].streaming and TABLE[key].first is not None]
"""Those that are streams."""
MEASURED = [key for key in READ if TABLE[key].usage != NO_USAGE]
"""Those that report tokens."""
