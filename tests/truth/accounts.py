"""What really happened, by the accounts that simulated nodes keep of each request, and what it should be called."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from truth.asks import Ask
from truth.clients import Seen

from ollamamax.simulator.accounts import Account

NATIVE_TEXT = ("chat", "generate")
_LOST = ("cut", "die", "")
"""The engine went away: the request's own doing, or another's."""


@attrs.frozen
class Attempt:
    """A request's time with one node.

    Attributes:
        node: the node's name.
        account: what the node did.
    """

    node: str
    account: Account


class AccountFiles:
    """The files in which nodes write down what they did.

    Args:
        files: by the nodes' names.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def attempts(self, name: str) -> dict[str, list[Attempt]]:
        """What was done for the requests of a run, by their ids, in the order in which it was begun."""
        found: dict[str, list[Attempt]] = {}
        for node, path in self._files.items():
            written, _, _ = path.read_text(encoding="utf-8").rpartition("\n")  # what follows is still being written
            for line in written.splitlines():
                account = Account(**json.loads(line))
                if account.request_id.rpartition("-")[0] == name:
                    found.setdefault(account.request_id, []).append(Attempt(node, account))
        return {name: _attempts(came) for name, came in found.items()}


def _attempts(came: list[Attempt]) -> list[Attempt]:
    """What came to nodes, as attempts.

    A connection that was kept and closes without a byte of an answer may have been closed before it was used; so the
    request goes to the same node once more, on a fresh one, and both are one attempt.
    """
    came.sort(key=lambda each: each.account.arrived_at)
    return [
        each
        for each, following in zip(came, [*came[1:], None], strict=True)
        if following is None or each.node != following.node or each.account.status is not None
    ]


@attrs.frozen
class Truth:
    """What has to stand in the ledger of a request.

    Attributes:
        outcome: how it ended.
        operation: what was done.
        node: who did it last.
        attempts: how many nodes were asked.
        tokens: input, output and cached.
        phases: load, wait for a slot, prompt and output in seconds; None where the answer does not tell.
        first: whether there was a first token.
    """

    outcome: str
    operation: str
    node: str | None
    attempts: int
    tokens: tuple[int | None, int | None, int | None] = (None, None, None)
    phases: tuple[float | None, float | None, float | None, float | None] = (None, None, None, None)
    first: bool = False


def truth_of(ask: Ask, seen: Seen, attempts: Sequence[Attempt]) -> Truth:
    """What should be told of a request.

    Args:
        ask: what was asked.
        seen: of which only whether the client left is taken.
        attempts: what nodes did for it.
    """
    way = ask.way
    if not attempts:
        outcome = "client_disconnected" if seen.end == "left" else ask.planned
        return Truth(outcome, way.operation, None, 0)
    last = attempts[-1]
    account = last.account
    outcome = "client_disconnected" if seen.end == "left" else outcome_of(ask, account)
    told = Truth(
        outcome, way.operation, last.node, len(attempts), first=ask.stream and account.first_token_at is not None
    )
    if outcome not in ("success", "length"):
        return attrs.evolve(told, operation=_operation(ask))
    if account.done_reason in ("load", "unload"):
        return attrs.evolve(told, operation="load")
    return attrs.evolve(told, tokens=_tokens(ask, account), phases=_phases(ask, account))


def _operation(ask: Ask) -> str:
    return "load" if ask.dialect in NATIVE_TEXT and ask.body is None and not ask.prompt else ask.way.operation


def outcome_of(ask: Ask, account: Account) -> str:
    """What an answer should be called that its client read to the end."""
    injected, status = account.injected, account.status
    if injected in ("hang", "stall"):
        return "timeout"
    if status is None or status >= 400:
        return _refusal(status)
    if injected in ("reset", "truncate", "noend") or (injected == "garbage" and not ask.stream):
        return "incomplete"
    if injected == "inband" or (account.broken and injected in _LOST):
        told = injected == "inband" or ask.dialect in NATIVE_TEXT
        return "stream_error" if told else "incomplete"
    return "length" if account.done_reason == "length" and ask.way.tells_reason else "success"


def _refusal(status: int | None) -> str:
    if status is not None and status < 500:
        return "client_error"
    return "unavailable" if status == 503 else "node_error"


def _tokens(ask: Ask, account: Account) -> tuple[int | None, int | None, int | None]:
    if ask.dialect in ("embeddings", "transcriptions"):
        return None, None, None
    cached = 0 if ask.dialect == "responses" else None
    return account.prompt_tokens, account.tokens if ask.way.generates else None, cached


def _phases(ask: Ask, account: Account) -> tuple[float | None, float | None, float | None, float | None]:
    if ask.dialect in NATIVE_TEXT:
        return account.load_seconds, account.slot_seconds, account.prompt_seconds, account.output_seconds
    return account.load_seconds if ask.dialect == "embed" else None, None, None, None


Row = dict[str, Any]
_PHASES = ("load_seconds", "slot_wait_seconds", "prompt_seconds", "output_seconds")
_NANOSECOND = 1e-9


def differences(ask: Ask, seen: Seen, attempts: Sequence[Attempt], row: Row) -> list[str]:
    """In what a row of the ledger differs from what happened."""
    truth = truth_of(ask, seen, attempts)
    if not attempts and truth.outcome in ("client_disconnected", "timeout"):
        # On a machine that is slow enough, nobody waits for the node to get the request.
        truth = attrs.evolve(truth, node=row["node"], attempts=row["attempts"])
    told = (row["input_tokens"], row["output_tokens"], row["cached_tokens"])
    phases = tuple(row[name] for name in _PHASES)
    first = row["first_token_seconds"] is not None
    complaints = [
        f"{what}: {found} and not {wanted}"
        for what, found, wanted in (
            ("outcome", row["outcome"], truth.outcome),
            ("operation", row["operation"], truth.operation),
            ("node", row["node"], truth.node),
            ("attempts", row["attempts"], truth.attempts),
            ("tokens", told, truth.tokens),
        )
        if found != wanted
    ]
    for name, found, wanted in zip(_PHASES, phases, truth.phases, strict=True):
        # Each of four phases and the whole were rounded to a nanosecond on their way.
        if (found is None) != (wanted is None) or abs((found or 0.0) - (wanted or 0.0)) > 5 * _NANOSECOND:
            complaints.append(f"phases: {name} {found} and not {wanted}")
    # Of a client that left, the gateway may have seen the token or not; who saw it proves that it has.
    if first != truth.first and (truth.outcome != "client_disconnected" or seen.first_at is not None):
        complaints.append(f"first token: {first} and not {truth.first}")
    return complaints + _order(seen, attempts, row)


def _order(seen: Seen, attempts: Sequence[Attempt], row: Row) -> list[str]:
    """Whether the first token came to the gateway after it left the node, and left it before it was with the client.

    The gateway measures from the end of the request's body, which it had after the client had begun to send it and
    before the first node had it. So there are two bounds, whatever the load of the machine.
    """
    told = row["first_token_seconds"]
    if told is None or not attempts:
        return []
    made = attempts[-1].account.first_token_at
    complaints = []
    if made is not None and told < made - attempts[0].account.arrived_at:
        complaints.append(f"first token: after {told} s, before it was made")
    if seen.first_at is not None and told > seen.first_at - seen.sent_at:
        complaints.append(f"first token: after {told} s, when its client had it already")
    return complaints
