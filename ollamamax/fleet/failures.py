"""What speaks against a node, and against a model on it: the failures in a row that a breaker reads.

Pure. Three things can be at fault. The *node*: it took no connection, broke off, sent what is no HTTP, failed a probe.
The *model* on it: Ollama answered 500, ended a stream without its terminal, or answered nothing at all in time; that
may as well be the request's own doing (a client's `{"num_ctx": "many"}` is answered 500), so the number of clients who
met it is kept beside it. And neither: a request that was refused, a node that is busy, a client that left at whatever
moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

import attrs

from ollamamax.errors import (
    GatewayError,
    NodeClosedEarly,
    NodeConnectFailed,
    NodeProtocolError,
    NodeTimedOut,
    NodeTruncated,
)

NodeFault = Literal["connect_failed", "connect_timeout", "closed_early", "protocol_error", "truncated", "probe_failed"]
ModelFault = Literal["error_status", "stream_error", "no_terminal", "first_byte_timeout"]
Fault = NodeFault | ModelFault
Finding = Fault | Literal["success"]

NODE_FAULTS: frozenset[str] = frozenset(get_args(NodeFault))
_ERRORS: Mapping[type[GatewayError], Fault] = {
    NodeConnectFailed: "connect_failed",
    NodeClosedEarly: "closed_early",
    NodeProtocolError: "protocol_error",
    NodeTruncated: "truncated",
}
_PHASES: Mapping[str, Fault] = {"connect": "connect_timeout", "first_byte": "first_byte_timeout"}
_DISPROVED_BY_A_PROBE = frozenset({"connect_failed", "connect_timeout", "probe_failed"})

MAX_MODELS = 256
"""Models of one node of which failures are kept; what clients ask of a cloud model's name has no other bound."""

MAX_CLIENTS = 16
"""Clients that are told apart for one model; there may be more than so many."""

_MAX_NAME_CHARACTERS = 1024  # as of a name that a node may list


def of_error(error: GatewayError) -> Fault | None:
    """What an attempt that ended with an error counts as; None for nothing.

    Args:
        error: how it ended, nothing of an answer having reached the client.
    """
    if isinstance(error, NodeTimedOut):
        return _PHASES.get(error.phase)
    if isinstance(error, NodeTruncated) and error.framed:
        return "no_terminal"
    return _ERRORS.get(type(error))


def of_answer(outcome: str, error_code: str | None, *, broke: bool) -> Finding | None:
    """What an attempt counts as that reached its client, or lost it; None for nothing.

    Args:
        outcome: the relay's verdict.
        error_code: what went wrong, as the relay names it.
        broke: whether the connection ended the answer. Where an engine dies, Ollama itself ends the stream well.
    """
    if outcome in ("success", "length"):
        return "success"
    if outcome == "stream_error":
        return "stream_error"
    if outcome == "incomplete":
        return "truncated" if broke else "no_terminal"
    if outcome == "node_error" and error_code is not None:
        if error_code.startswith("node_status_5"):
            return "error_status"
        if error_code == NodeProtocolError.code:
            return "protocol_error"
    return None


@attrs.frozen
class Failure:
    """One failure.

    Attributes:
        kind: what it was.
        at: when, in Unix seconds.
    """

    kind: Fault
    at: float


@attrs.define
class Streak:
    """Failures without a success between them.

    Attributes:
        count: how many.
        last: the last one; None for none.
        clients: whose requests they were, `MAX_CLIENTS` of them at most.
    """

    count: int = 0
    last: Failure | None = None
    clients: set[str] = attrs.field(factory=set, repr=False)

    def add(self, failure: Failure, client: str | None = None) -> None:
        """One more."""
        self.count += 1
        self.last = failure
        if client is not None and len(self.clients) < MAX_CLIENTS:
            self.clients.add(client)


class Failures:
    """What speaks against one node since it last succeeded.

    Attributes:
        doubtful: whether the node has failed after its last probe or request that went well.
    """

    def __init__(self) -> None:
        self.doubtful = False
        self._reaching = Streak()  # what a probe that goes well disproves
        self._answering = Streak()  # what only a request that goes well does
        self._models: dict[str, Streak] = {}

    @property
    def consecutive(self) -> int:
        """Failures of the node in a row."""
        return self._reaching.count + self._answering.count

    @property
    def last(self) -> Failure | None:
        """The last of them; None where there is none."""
        found = [streak.last for streak in (self._reaching, self._answering) if streak.last is not None]
        return max(found, key=lambda failure: failure.at, default=None)

    @property
    def models(self) -> Mapping[str, Streak]:
        """The models that failed on it, by normalised name, the one that failed last at the end; a live view."""
        return MappingProxyType(self._models)

    def attempted(self, finding: Finding | None, *, model: str, client: str | None, at: float) -> None:
        """An attempt has ended.

        Args:
            finding: what it counts as, by `of_error` or `of_answer`.
            model: the normalised name.
            client: who asked; None where that is not known.
            at: Unix seconds.
        """
        if finding is None:
            return
        if finding == "success":
            self.doubtful = False
            self._reaching, self._answering = Streak(), Streak()
            self._models.pop(model, None)
        elif finding in NODE_FAULTS:
            self._node_failed(Failure(finding, at))
        else:
            self._model_failed(model, client, Failure(finding, at))

    def probed(self, at: float, *, well: bool) -> None:
        """A probe has ended.

        One that goes well shows that the node can be reached and speaks HTTP, not that it can generate: what failed
        while it answered stays until a request succeeds.
        """
        if well:
            self.doubtful = False
            self._reaching = Streak()
        else:
            self._node_failed(Failure("probe_failed", at))

    def _node_failed(self, failure: Failure) -> None:
        self.doubtful = True
        streak = self._reaching if failure.kind in _DISPROVED_BY_A_PROBE else self._answering
        streak.add(failure)

    def _model_failed(self, model: str, client: str | None, failure: Failure) -> None:
        if len(model) > _MAX_NAME_CHARACTERS:
            return
        streak = self._models.pop(model, None) or Streak()
        while len(self._models) >= MAX_MODELS:
            del self._models[next(iter(self._models))]
        self._models[model] = streak
        streak.add(failure, client)
