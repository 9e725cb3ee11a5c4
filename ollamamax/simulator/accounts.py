"""What the simulator really did, request by request: the truth that tests compare others' accounts with. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import attrs

MOST_ACCOUNTS = 10_000


@attrs.define(eq=False)
class Account:
    """One request as it went; times in seconds of the simulator's clock, phases in seconds.

    Attributes:
        method: of the request.
        path: of the request, without its query.
        arrived_at: when its body was complete.
        request_id: the `X-Request-Id` that it came with.
        model: the name as it was sent.
        status: of the answer, once it has begun.
        prompt_tokens: tokens of the prompt.
        tokens: tokens generated and sent.
        first_token_at: just before a stream was given the first of them that is seen; None where none was, and for
            whole answers.
        done_reason: of the final chunk.
        load_seconds: from arrival to the runner.
        slot_seconds: from the runner to a slot.
        prompt_seconds: in the prompt's evaluation.
        output_seconds: in the generation.
        cold: whether it paid for a load.
        broken: whether the answer is not what it should have been.
        injected: the kind of fault that was injected, empty if none was.
        outcome: `open`, then `finished`, `failed` (any status of 400 and more, and a broken answer) or `client_left`.
        finished_at: when the answer was complete or given up.
        client_left_at: when the client's closing was noticed, if it closed first.
    """

    method: str
    path: str
    arrived_at: float
    request_id: str = ""
    model: str = ""
    status: int | None = None
    prompt_tokens: int = 0
    tokens: int = 0
    first_token_at: float | None = None
    done_reason: str = ""
    load_seconds: float | None = None
    slot_seconds: float | None = None
    prompt_seconds: float | None = None
    output_seconds: float | None = None
    cold: bool = False
    broken: bool = False
    injected: str = ""
    outcome: str = "open"
    finished_at: float | None = None
    client_left_at: float | None = None


class Accounts:
    """The latest accounts, oldest first, and who wants to hear of each that closes."""

    def __init__(self, most: int = MOST_ACCOUNTS) -> None:
        self._all: deque[Account] = deque(maxlen=most)
        self.closed: list[Callable[[Account], None]] = []

    def __iter__(self) -> Iterator[Account]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def opened(self, account: Account) -> None:
        """A request has come."""
        self._all.append(account)

    def close(self, account: Account, now: float, *, client_left: bool) -> None:
        """A request is over."""
        account.finished_at = now
        if client_left:
            account.client_left_at = now
            account.outcome = "client_left"
        else:
            failed = account.broken or (account.status or 0) >= 400
            account.outcome = "failed" if failed else "finished"
        for listener in list(self.closed):
            listener(account)
