"""What is asked in a run: requests in every API, streamed and whole, good ones and such as end in each other way."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs

Leaving = Literal["", "before", "within"]

OUTCOMES = (
    "success",
    "length",
    "client_error",
    "client_disconnected",
    "unavailable",
    "timeout",
    "node_error",
    "stream_error",
    "incomplete",
)
SHARES: Mapping[str, float] = {
    "length": 0.07,
    "client_error": 0.06,
    "client_disconnected": 0.06,
    "unavailable": 0.05,
    "timeout": 0.05,
    "node_error": 0.07,
    "stream_error": 0.06,
    "incomplete": 0.08,
}
"""Of all requests; the rest is meant to succeed."""

PLAIN, THINKER, HASTY, MORTAL = "plain", "thinker", "hasty", "mortal"
"""Models: one that cannot think, one that can, one whose requests have little time, one whose engine is killed."""
MODELS = (PLAIN, THINKER, HASTY, MORTAL)
CAPABILITIES = {THINKER: "completion+tools+thinking"}

_LONG_TOKENS = 400
_TOOL = {"name": "get_weather", "description": "weather", "parameters": {"type": "object", "properties": {}}}


@attrs.frozen
class Way:
    """A route of inference.

    Attributes:
        path: on the server.
        operation: what the ledger calls it.
        body: makes a request's body of a prompt, of the most tokens (None: no bound) and of whether to stream.
        generates: whether it makes text.
        tells_reason: whether an answer says that its tokens were used up.
    """

    path: str
    operation: str
    body: Callable[[str, int | None, bool], dict[str, Any]]
    generates: bool = True
    tells_reason: bool = True


def _native(**content: Any) -> Callable[[int | None, bool], dict[str, Any]]:
    def body(most: int | None, stream: bool) -> dict[str, Any]:
        return {**content, "stream": stream, **({} if most is None else {"options": {"num_predict": most}})}

    return body


def _compatible(member: str, **content: Any) -> Callable[[int | None, bool], dict[str, Any]]:
    def body(most: int | None, stream: bool) -> dict[str, Any]:
        return {**content, **({"stream": True} if stream else {}), **({} if most is None else {member: most})}

    return body


def _said(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


WAYS: Mapping[str, Way] = {
    "chat": Way("/api/chat", "chat", lambda p, n, s: _native(messages=_said(p))(n, s)),
    "generate": Way("/api/generate", "generate", lambda p, n, s: _native(prompt=p)(n, s)),
    "embed": Way("/api/embed", "embed", lambda p, n, s: {"input": [p, "a"]}, False),
    "embeddings": Way("/api/embeddings", "embed", lambda p, n, s: {"prompt": p}, False),
    "v1_chat": Way("/v1/chat/completions", "chat", lambda p, n, s: _compatible("max_tokens", messages=_said(p))(n, s)),
    "v1_completions": Way("/v1/completions", "generate", lambda p, n, s: _compatible("max_tokens", prompt=p)(n, s)),
    "v1_embeddings": Way("/v1/embeddings", "embed", lambda p, n, s: {"input": p}, False),
    "responses": Way(
        "/v1/responses",
        "chat",
        lambda p, n, s: _compatible("max_output_tokens", input=p)(n, s),
        tells_reason=False,
    ),
    "messages": Way("/v1/messages", "chat", lambda p, n, s: _compatible("max_tokens", messages=_said(p))(n or 1000, s)),
    "transcriptions": Way("/v1/audio/transcriptions", "transcribe", lambda p, n, s: {"prompt": p}, True, False),
}
TEXT = ("chat", "generate", "v1_chat", "v1_completions", "responses", "messages")
EMBEDS = ("embed", "embeddings", "v1_embeddings")
NATIVE_TEXT = ("chat", "generate")
V1_TEXT = ("v1_chat", "v1_completions", "responses", "messages")


@attrs.frozen
class Ask:
    """One request.

    Attributes:
        id: its `X-Request-Id`, by which every account of it is found.
        dialect: a key of `WAYS`.
        stream: whether the answer is a stream.
        model: as it is asked for.
        planned: the outcome that it is meant to have.
        prompt: with the words that steer it.
        most_tokens: None for no bound.
        extra: more members of the body.
        leaves: whether its client leaves, and when.
        body: in place of the JSON or the form that would be made.
    """

    id: str
    dialect: str
    stream: bool
    model: str
    planned: str
    prompt: str = "LIMIT 5"
    most_tokens: int | None = None
    extra: Mapping[str, Any] = attrs.field(factory=dict)
    leaves: Leaving = ""
    body: bytes | None = None

    @property
    def way(self) -> Way:
        """Its route."""
        return WAYS[self.dialect]

    @property
    def silent_tokens(self) -> int | None:
        """Tokens of a text that nobody sees: the marks around thoughts; None where that is not known."""
        return None if "TOOL" in self.prompt else 2 if "THINK" in self.prompt else 0

    def request(self) -> bytes:
        """Its bytes."""
        content_type, body = "application/json", self.body
        if body is None and self.dialect == "transcriptions":
            content_type, body = _form(self.model, self.prompt)
        elif body is None:
            document = {"model": self.model, **self.way.body(self.prompt, self.most_tokens, self.stream), **self.extra}
            body = json.dumps(document).encode()
        head = (
            f"POST {self.way.path} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {self.id}\r\nConnection: close\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def _form(model: str, prompt: str) -> tuple[str, bytes]:
    fields = (("model", "", model), ("prompt", "", prompt), ("file", '; filename="a.wav"', "RIFF"))
    parts = [
        f'--truth\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{text}\r\n'
        for name, more, text in fields
    ]
    return "multipart/form-data; boundary=truth", "".join([*parts, "--truth--\r\n"]).encode()


Plot = tuple[str, bool, dict[str, Any]]
"""A dialect, whether to stream, and what else an `Ask` is made of."""


def each(dialects: Sequence[str], *streams: bool, **fields: Any) -> Iterator[Plot]:
    for dialect, stream in itertools.product(dialects, streams):
        yield dialect, stream, fields


def successes() -> Iterator[Plot]:
    for tokens in (1, 4, 9):
        yield from each(TEXT, True, False, prompt=f"LIMIT {tokens}")
    yield from each((*EMBEDS, "transcriptions"), False)
    yield from each(("v1_chat", "v1_completions"), True, extra={"stream_options": {"include_usage": True}})
    yield from each(("chat", "generate"), True, False, model=THINKER, prompt="THINK LIMIT 4", extra={"think": True})
    yield from each(("v1_chat", "messages", "responses"), True, False, model=THINKER, prompt="THINK LIMIT 4")
    tools = [{"type": "function", "function": _TOOL}]
    yield from each(("chat", "v1_chat"), True, False, model=THINKER, prompt="TOOL LIMIT 4", extra={"tools": tools})
    yield from each(TEXT, True, prompt="GARBAGE 2 LIMIT 5")
    yield from each(TEXT, True, False, prompt="SLOW 7 LIMIT 5")
    # What its API does not tell apart from the end of the text.
    yield from each(("responses",), True, False, prompt="LIMIT 9", most_tokens=3)
    yield from each(("generate",), True, prompt="")
    yield from each(("chat",), True, extra={"messages": []})
    # A thought's mark has a line of its own, so that the head comes before the first token.
    yield from each(("generate",), True, model=THINKER, prompt="THINK SLOW 40 LIMIT 3", extra={"think": True})


def lengths() -> Iterator[Plot]:
    dialects = [each for each in TEXT if WAYS[each].tells_reason]
    yield from each(dialects, True, False, prompt="LIMIT 9", most_tokens=3)


def client_errors() -> Iterator[Plot]:
    yield from each((*TEXT, *EMBEDS), False, model="absent")
    yield from each(TEXT, True, model="absent")
    yield from each(("transcriptions",), False, model="absent")
    yield from each((*TEXT, *EMBEDS), False, body=b"{}")
    yield from each((*TEXT, *EMBEDS), False, body=b'{"model":')
    # These come from a node.
    yield from each(NATIVE_TEXT, True, False, extra={"think": True})
    yield from each(("chat",), True, False, extra={"tools": [{"type": "function", "function": _TOOL}]})
    yield from each(("embed",), False, extra={"input": 7})


def _departures() -> Iterator[Plot]:
    yield from each(TEXT, True, False, prompt="HANG", leaves="before")
    yield from each(("embed", "transcriptions"), False, prompt="HANG", leaves="before")
    long = {"prompt": f"SLOW 20 LIMIT {_LONG_TOKENS}", "most_tokens": _LONG_TOKENS, "leaves": "within"}
    yield from each(TEXT, True, **long)
    yield from each(TEXT, True, **long)


def _unavailable() -> Iterator[Plot]:
    yield from each(TEXT, True, False, prompt="BUSY")
    yield from each((*EMBEDS, "transcriptions"), False, prompt="BUSY")


def _timeouts() -> Iterator[Plot]:
    yield from each(TEXT, True, False, model=HASTY, prompt="HANG")
    yield from each(TEXT, True, False, model=HASTY, prompt="STALL 2 LIMIT 9")
    yield from each((*EMBEDS, "transcriptions"), False, model=HASTY, prompt="HANG")


def _node_errors() -> Iterator[Plot]:
    yield from each(TEXT, True, False, prompt="HTTP500")
    yield from each((*EMBEDS, "transcriptions"), False, prompt="HTTP500")
    yield from each((*TEXT, "embed"), False, prompt="CUT LIMIT 9")
    yield from each((*TEXT, "embed"), False, prompt="INBAND 2 LIMIT 9")
    yield from each(TEXT, True, False, prompt="RESET 0")
    yield from each((*TEXT, "embed"), False, prompt="TRUNCATE 0")


def _stream_errors() -> Iterator[Plot]:
    yield from each(TEXT, True, prompt="INBAND 3 LIMIT 9")
    yield from each(TEXT, True, prompt="INBAND 0 LIMIT 9")
    yield from each(NATIVE_TEXT, True, prompt="CUT LIMIT 9")
    yield from each(NATIVE_TEXT, True, model=MORTAL, prompt="DIE LIMIT 9")


def _incomplete() -> Iterator[Plot]:
    for word in ("RESET 2", "TRUNCATE 3", "NOEND 4"):
        yield from each(TEXT, True, False, prompt=f"{word} LIMIT 9")
    yield from each(TEXT, True, False, prompt="NOEND 0")
    yield from each(V1_TEXT, True, prompt="CUT LIMIT 9")
    yield from each(V1_TEXT, True, model=MORTAL, prompt="DIE LIMIT 9")
    yield from each((*TEXT, *EMBEDS), False, prompt="GARBAGE 2 LIMIT 9")
    yield from each(EMBEDS, False, prompt="TRUNCATE 1")
    yield from each(("transcriptions",), False, prompt="CUT LIMIT 9")


Plots = Mapping[str, Callable[[], Iterator[Plot]]]
"""What can be asked, by the outcome that it is meant to have."""

SIMULATED: Plots = {
    "success": successes,
    "length": lengths,
    "client_error": client_errors,
    "client_disconnected": _departures,
    "unavailable": _unavailable,
    "timeout": _timeouts,
    "node_error": _node_errors,
    "stream_error": _stream_errors,
    "incomplete": _incomplete,
}


def counts(total: int, plots: Plots = SIMULATED) -> dict[str, int]:
    """How many requests of a run are meant to have which outcome."""
    wanted = {outcome: round(total * share) for outcome, share in SHARES.items() if outcome in plots}
    return {"success": total - sum(wanted.values()), **wanted}


def mixed(wanted: Mapping[str, int], name: str, *, plots: Plots = SIMULATED, seed: int = 0) -> list[Ask]:
    """The requests of a run, in the order in which they are sent.

    Args:
        wanted: how many are meant to have which outcome.
        name: of the run, for the ids.
        plots: what can be asked.
        seed: draws which come when.
    """
    chosen = random.Random(seed)
    asks: list[Ask] = []
    for outcome, count in wanted.items():
        possible = list(plots[outcome]())
        chosen.shuffle(possible)
        for dialect, stream, fields in itertools.islice(itertools.cycle(possible), count):
            given = {"model": PLAIN, **fields}
            asks.append(Ask(f"{name}-{len(asks)}", dialect, stream, planned=outcome, **given))
    chosen.shuffle(asks)
    return asks
