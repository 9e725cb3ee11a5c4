"""Clients that ask without a pause while their gateway is killed and started again, and what the ledger owes them.

What is owed, after each kill:

- a request whose client had the whole answer a second before (a group of rows takes 50 ms to the disk, if all is
  well) has its row, final, with the tokens that the client was told;
- a row that could be read in the database before the kill is still there, and unchanged if it was final;
- no request has two rows, and there is no row of a request that nobody made.
"""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import attrs
from real.callers import call, wait_for
from real.processes import Process

GROUP_SECONDS = 1.0
ANSWERS = 5
LONGEST_TOKENS = 40
_OUTCOMES = {None, "success", "interrupted"}

Rows = Mapping[str, Mapping[str, Any]]
"""The ledger's rows by their ids."""


@attrs.define
class Asked:
    """A request that was made.

    Attributes:
        whole_at: when its client had the whole answer; None where it never had, or not long enough before a kill.
        tokens: what the answer says of them.
    """

    whole_at: float | None = None
    tokens: int | None = None


class Clients:
    """Threads that ask a gateway, whichever stands there, until they are told to stop.

    Args:
        count: how many.
        tokens: the most that an answer has.

    Attributes:
        asked: every request, by the id that its client gave it.
    """

    def __init__(self, count: int, tokens: int = LONGEST_TOKENS) -> None:
        self.asked: dict[str, Asked] = {}
        self._tokens = tokens
        self._url = ""
        self._may_go = threading.Event()
        self._is_over = False
        self._chance = random.Random(count)
        self._threads = [threading.Thread(target=self._go, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    @property
    def whole(self) -> int:
        """How many answers were whole, long enough before a kill."""
        return sum(one.whole_at is not None for one in dict(self.asked).values())

    def turn_to(self, gateway: Process) -> None:
        """From now on they ask this one."""
        self._url = gateway.url
        self._may_go.set()

    def pause(self) -> None:
        """What they ask for goes on; they ask for nothing more."""
        self._may_go.clear()

    def stop(self) -> None:
        """Waits for the last answers."""
        self._is_over = True
        self._may_go.set()
        for thread in self._threads:
            thread.join(60)

    def _go(self) -> None:
        while self._may_go.wait() and not self._is_over:
            # Nothing else can be known of a connection that a killed server had.
            with suppress(OSError, HTTPException):
                self._ask(self._url)

    def _ask(self, url: str) -> None:
        name = uuid4().hex
        self.asked[name] = asked = Asked()
        body = {"model": "tiny", "prompt": f"LIMIT {self._chance.randint(1, self._tokens)}"}
        connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
        try:
            connection.request("POST", "/api/generate", json.dumps(body), {"X-Request-Id": name})
            answer = connection.getresponse()
            last = json.loads(answer.read().splitlines()[-1])
            if answer.status == 200 and last.get("done"):
                asked.whole_at, asked.tokens = time.monotonic(), last["eval_count"]
        except (ValueError, IndexError):
            return  # broken off within a line, or before one
        finally:
            connection.close()


def owed(rows: Rows, asked: Mapping[str, Asked], seen: Rows | None = None) -> list[str]:
    """What the ledger does not hold that it should; in words.

    Args:
        rows: what it holds.
        asked: what was asked of it.
        seen: the rows that were read earlier.
    """
    by_client = {row["client_request_id"]: row for row in rows.values()}
    wrong = []
    for name, one in asked.items():
        if one.whole_at is None:
            continue
        row = by_client.get(name)
        if row is None:
            wrong.append(f"{name} was answered, and has no row")
        elif (row["outcome"], row["output_tokens"]) != ("success", one.tokens):
            wrong.append(f"{name} was answered, and its row says {row['outcome']}, {row['output_tokens']} tokens")
    for identifier, row in (seen or {}).items():
        now = rows.get(identifier)
        if now is None:
            wrong.append(f"{identifier} was there before, and is gone")
        elif row["finished_at"] is not None and row["outcome"] != "interrupted" and now != row:
            wrong.append(f"{identifier} was final before, and has changed")
    return wrong


def unfounded(rows: Rows, asked: Container[str]) -> list[str]:
    """What the ledger holds that it should not; in words."""
    counted = Counter(row["client_request_id"] for row in rows.values())
    outcomes = Counter(row["outcome"] for row in rows.values())
    wrong = [f"{name} has {count} rows" for name, count in counted.items() if count > 1]
    wrong += [f"{name} was never asked" for name in counted if name not in asked]
    return wrong + [f"{outcomes[outcome]} rows say {outcome}" for outcome in outcomes if outcome not in _OUTCOMES]


def unfinished(rows: Rows) -> list[str]:
    """The ids of the rows without an end."""
    return [identifier for identifier, row in rows.items() if row["finished_at"] is None]


class Killing:
    """A gateway's lives.

    Args:
        start: starts it, until it is ready.
        read: reads its ledger, as another program.
        clients: who ask it.
        neighbours: who ask another gateway with the same ledger.

    Attributes:
        killed: the ids of the processes that were killed.
    """

    def __init__(
        self,
        start: Callable[[], Process],
        read: Callable[[], Rows],
        clients: Clients,
        neighbours: Clients | None = None,
    ) -> None:
        self._start = start
        self._read = read
        self._clients = clients
        self._neighbours = neighbours
        self._gateway = start()
        self._pause = threading.Event()
        self.killed: list[int] = []

    def kill(
        self,
        seconds: float,
        *,
        owes: bool = True,
        is_alone: bool = True,
        away: Callable[[], object] | None = None,
        back: Callable[[], object] | None = None,
    ) -> Rows:
        """One life: clients ask, the gateway is killed, and another one comes.

        Args:
            seconds: after how long.
            owes: not before there are rows that it will have owed.
            is_alone: whether the next one knows at once that it is dead, so that what was open has its end by then.
            away: takes the database away in the middle of it.
            back: gives it back before the next start.

        Returns:
            The rows once the next one has read back all that was left.

        Raises:
            AssertionError: the ledger owes something; the text has all of it.
        """
        self._clients.turn_to(self._gateway)
        self._pause.wait(seconds / 2)
        if away is not None:
            seen = self._read()
            away()
        if owes:
            whole = self._clients.whole
            wait_for(lambda: self._clients.whole > whole + ANSWERS)
            self._pause.wait(GROUP_SECONDS)
        self._pause.wait(seconds / 2)
        if away is None:
            seen = self._read()
        self._clients.pause()
        killed_at = time.monotonic()
        self._gateway.signal(signal.SIGKILL)
        self._gateway.wait()
        self.killed.append(self._gateway.pid)
        if back is not None:
            back()
        self._gateway = self._start()
        wait_for(lambda: self._figures()["pending"] == 0)
        rows = self._read()
        asked = dict(self._clients.asked)
        for one in asked.values():
            if one.whole_at is not None and one.whole_at > killed_at - GROUP_SECONDS:
                one.whole_at = None
        wrong = owed(rows, asked, seen) + self._unfounded(rows)
        if is_alone:
            wrong += [f"{identifier} has no end" for identifier in unfinished(rows)]
        assert not wrong, "\n".join([f"after kill {len(self.killed)}, {seconds:.2f} s after the start:", *wrong])
        return rows

    def end(self) -> Rows:
        """The last life ends well; then every answer of it has its row."""
        self._clients.turn_to(self._gateway)
        self._clients.stop()
        assert self._gateway.stop() == 0
        rows = self._read()
        wrong = owed(rows, self._clients.asked) + self._unfounded(rows)
        assert not wrong, "\n".join(["after the last life, which ended well:", *wrong])
        return rows

    def _figures(self) -> dict[str, int]:
        found: dict[str, int] = call(self._gateway.url, "GET", "/api/v1/system/stats").json()["ledger"]
        return found

    def _unfounded(self, rows: Rows) -> list[str]:
        return unfounded(rows, {*self._clients.asked, *(self._neighbours.asked if self._neighbours else ())})
