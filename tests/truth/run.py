"""A run: requests sent, and every account of them compared, request by request and in sum.

There are four: what the clients' sockets brought, what the simulated nodes did, the ledger, and the metrics. Before
real nodes, who keep no account, the last line of Ollama's own API stands for theirs.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
from real.processes import Process, Processes
from real.samples import samples, scraped
from real.wire import asked, request
from truth import accounts, figures
from truth.accounts import AccountFiles, Attempt, Row
from truth.asks import CAPABILITIES, HASTY, MODELS, OUTCOMES, Ask
from truth.clients import Seen, ask_all

from ollamamax.metrics.catalogue import NODE_LAST_PROBE

HASTY_SECONDS = 1.0
AT_A_TIME = 16
_PATIENCE_SECONDS = 30.0
_POLL_SECONDS = 0.1
_PAGE = 1000
_TOLERANCE_SECONDS = 0.005

SETTINGS = f"""
trusted_networks = ["127.0.0.0/8"]
[probe]
interval_seconds = 0.5
timeout_seconds = 20
[models.{HASTY}]
first_byte_seconds = {HASTY_SECONDS}
load_seconds = {HASTY_SECONDS}
idle_seconds = {HASTY_SECONDS}
whole_response_seconds = {HASTY_SECONDS}
"""


@attrs.frozen
class Nodes:
    """Nodes in processes of their own.

    Attributes:
        options: a gateway's, to stand before them.
        files: their accounts; None for real ones.
        settings: a gateway's, too.
    """

    options: list[str]
    files: AccountFiles | None
    settings: str = SETTINGS


def start_nodes(processes: Processes, directory: Path, count: int = 3) -> Nodes:
    """Starts simulators that keep accounts, fast ones with room for everybody."""
    options: list[str] = []
    files: dict[str, Path] = {}
    for number in range(count):
        name = f"node{number}"
        files[name] = directory / f"{name}.accounts"
        node = processes.simulator(
            f"--accounts={files[name]}",
            *(f"--model={model},capabilities={CAPABILITIES.get(model, 'completion')}" for model in MODELS),
            "--load-seconds=0.05",
            "--prompt-seconds=0.025",
            "--tokens-per-second=500",
            "--parallel=32",
            "--max-loaded-models=4",
            "--keep-alive=-1",
            # Some of the requests that come to the first one go on to another.
            *(["--fail=busy:0.3"] if number == 0 else []),
        )
        options.append(f"--node={name}={node.url}")
    return Nodes(options, AccountFiles(files))


def start_gateway(
    processes: Processes, directory: Path, nodes: Nodes, environ: dict[str, str] | None = None
) -> Process:
    """Starts the server before nodes."""
    settings = directory / "truth.toml"
    settings.write_text(nodes.settings)
    return processes.gateway(f"--config={settings}", *nodes.options, environ=environ)


@attrs.define
class Report:
    """What a run has found.

    Attributes:
        name: of the run.
        seen: what the clients saw.
        rows: of the ledger, by the requests' ids.
        attempts: what the nodes did, likewise; empty before real nodes.
        complaints: what does not agree.
    """

    name: str
    seen: list[Seen]
    rows: dict[str, Row]
    attempts: dict[str, list[Attempt]]
    complaints: list[str]

    def outcomes(self) -> Counter[str]:
        """How many requests ended how, by the ledger."""
        return Counter(row["outcome"] for row in self.rows.values())

    def __str__(self) -> str:
        """What was run and what was found, for people."""
        outcomes = self.outcomes()
        by_dialect = Counter(f"{seen.ask.dialect}{' stream' * seen.ask.stream}" for seen in self.seen)
        tokens = [sum(row[name] or 0 for row in self.rows.values()) for name in ("input_tokens", "output_tokens")]
        phases = sum(row["load_seconds"] is not None for row in self.rows.values())
        retries = sum(max(0, row["attempts"] - 1) for row in self.rows.values())
        lines = [
            f"{len(self.seen)} requests, {len(self.complaints)} complaints",
            f"tokens {tokens[0]} in, {tokens[1]} out; phases of {phases} requests; {retries} tried elsewhere",
            "outcomes: " + ", ".join(f"{name} {outcomes[name]}" for name in OUTCOMES),
            f"{self._otherwise()} ended otherwise than they were meant to",
            "asked: " + ", ".join(f"{name} {count}" for name, count in sorted(by_dialect.items())),
            *self._first_tokens(),
            *self.complaints[:40],
        ]
        return "\n".join(lines)

    def _otherwise(self) -> int:
        return sum(
            self.rows[seen.ask.id]["outcome"] != seen.ask.planned for seen in self.seen if seen.ask.id in self.rows
        )

    def _first_tokens(self) -> list[str]:
        """How far the ledger's first tokens are from the nodes' own."""
        found = []
        for seen in self.seen:
            attempts = self.attempts.get(seen.ask.id, [])
            told = self.rows.get(seen.ask.id, {}).get("first_token_seconds")
            if attempts and told is not None and (made := attempts[-1].account.first_token_at) is not None:
                found.append((told, made - seen.sent_at))
        if not found:
            return []
        apart = sorted(abs(told - made) for told, made in found)
        within = sum(each <= _TOLERANCE_SECONDS for each in apart) / len(apart)
        bounds = (0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0)
        moved = sum(
            sum(told > bound for bound in bounds) != sum(made > bound for bound in bounds) for told, made in found
        )
        middle, most, last = (apart[int(len(apart) * share)] * 1000 for share in (0.5, 0.95, 0.9999))
        far = f"median {middle:.2f} ms, 95th of a hundred {most:.2f} ms, most {last:.2f} ms"
        near = f"{within:.1%} within 5 ms, {moved} in another bucket"
        return [f"first tokens: {len(found)}, from the nodes' own: {far}; {near}"]


def run(gateway: Process, asks: Sequence[Ask], *, files: AccountFiles | None, at_a_time: int = AT_A_TIME) -> Report:
    """Sends requests and compares all accounts of them.

    It begins when every node has been probed once more: what a run before it made of a node is forgotten by then, else
    the node would be asked for nothing.

    Args:
        gateway: the server; nobody else asks it for anything meanwhile.
        asks: of one name.
        files: what its nodes write down; None for real ones.
        at_a_time: how many requests are under way together.
    """
    name = asks[0].id.rpartition("-")[0]
    began = time.time()
    _happens(lambda: min(samples(scraped(gateway.url), NODE_LAST_PROBE.name).values()) > began)
    before = samples(scraped(gateway.url))
    seen = ask_all(gateway.url, asks, at_a_time=at_a_time)
    complaints: list[str] = []
    if not _happens(lambda: _is_at_rest(gateway)):
        complaints.append("at rest: it is not")
    rows = _rows(gateway, name, len(asks))
    found = Report(name, seen, {row["client_request_id"]: row for row in rows}, {}, complaints)
    complaints += [f"rows: {len(rows)} of {len(asks)} requests"] if len(rows) != len(asks) else []
    if files is not None:
        made = sum(row["attempts"] for row in rows)
        _happens(lambda: sum(map(len, files.attempts(name).values())) >= made, seconds=5.0)
        found.attempts = files.attempts(name)
    counted = figures.gained(before, samples(scraped(gateway.url)))
    for each in seen:
        row = found.rows.get(each.ask.id)
        told = ["no row"] if row is None else _compared(each, row, found.attempts, simulated=files is not None)
        complaints += [f"{one} ({_named(each.ask)})" for one in told]
    models = {dict(labels)["model"] for _, labels in counted if "model" in dict(labels)}
    complaints += figures.differences(figures.Rows(rows, models), counted)
    complaints += _of_requests(found, counted)
    return found


def _named(ask: Ask) -> str:
    """A request in a complaint."""
    return f"{ask.id}: {ask.way.path}{' stream' * ask.stream}, {ask.model}, {ask.prompt!r}, to be {ask.planned}"


def _compared(seen: Seen, row: Row, attempts: dict[str, list[Attempt]], *, simulated: bool) -> list[str]:
    """In what the accounts of one request differ."""
    ask = seen.ask
    if not simulated:
        # What a real node does is its own affair: it may end an engine that others wait for, and have answered by the
        # time its client leaves.
        if seen.end == "left" and row["outcome"] != "client_disconnected":
            return []
        return _by_the_client(seen, row, row["output_tokens"])
    made = attempts.get(ask.id, [])
    complaints = accounts.differences(ask, seen, made, row)
    return complaints + _by_the_client(seen, row, made[-1].account.tokens if made else None)


def _by_the_client(seen: Seen, row: Row, tokens: int | None) -> list[str]:
    """In what a row differs from what the client saw."""
    reading, ask = seen.reading, seen.ask
    complaints = []
    if row["outcome"] not in seen.outcomes():
        complaints.append(f"outcome: {row['outcome']}, and the client saw {sorted(seen.outcomes())}")
    if seen.end != "left" and row["status"] != seen.status:
        complaints.append(f"status: {row['status']}, and the client saw {seen.status}")
    if seen.request_id and seen.request_id != row["id"]:
        complaints.append(f"id: {row['id']}, and the client saw {seen.request_id}")
    if reading.code is not None and seen.status == 200 and reading.code != row["error_code"]:
        complaints.append(f"code: {row['error_code']}, and the client saw {reading.code}")
    if reading.usage is not None and row["operation"] != "load":
        wanted = reading.usage if row["operation"] != "embed" else (reading.usage[0], None)
        if (row["input_tokens"], row["output_tokens"]) != wanted:
            complaints.append(f"tokens: {row['input_tokens'], row['output_tokens']}, and the client saw {wanted}")
    if ask.stream and seen.end != "left" and (seen.first_at is None) != (row["first_token_seconds"] is None):
        complaints.append(f"first token: {row['first_token_seconds']}, and the client saw one at {seen.first_at}")
    return complaints + _by_the_last_line(seen, row) + _by_counting(seen, tokens)


def _by_the_last_line(seen: Seen, row: Row) -> list[str]:
    """In what the phases of a row differ from those that the client was told; Go leaves out what is zero."""
    told = seen.reading.final
    if told is None or row["operation"] == "load":
        return []
    absent = None if seen.ask.dialect == "embed" else 0
    members = {"load": "load", "prompt": "prompt_eval", "output": "eval"}
    durations = {name: told.get(f"{member}_duration", absent) for name, member in members.items()}
    wanted = {name: None if duration is None else duration / 1e9 for name, duration in durations.items()}
    found = {name: row[f"{name}_seconds"] for name in members}
    return [] if found == wanted else [f"phases: {found}, and the client saw {wanted}"]


def _by_counting(seen: Seen, tokens: int | None) -> list[str]:
    """Whether the words that a client counts in a text are the tokens that a node made."""
    silent = seen.ask.silent_tokens
    text = seen.ask.way.generates and seen.status == 200 and (seen.ask.stream or seen.reading.done)
    if not text or silent is None or tokens is None:
        return []
    words, made = seen.reading.words, max(tokens - silent, 0)
    agrees = words <= made if seen.end == "left" else words == made
    return [] if agrees else [f"words: the client has counted {words}, and a node has made {made}"]


def _of_requests(found: Report, counted: figures.Figures) -> list[str]:
    """In what the figures of requests and attempts differ from what clients saw and nodes did."""
    ended = Counter((seen.ask.way.path, _status(seen, found.rows.get(seen.ask.id))) for seen in found.seen)
    wanted: dict[str, Counter[tuple[str, ...]]] = {"http_requests_total": Counter()}
    for (path, status), count in ended.items():
        wanted["http_requests_total"][path, "POST", status] = count
    wanted["ollamamax_http_client_disconnects_total"] = Counter(
        (seen.ask.way.path, "mid_stream" if seen.status else "before_response")
        for seen in found.seen
        if _status(seen, found.rows.get(seen.ask.id)) == "499"
    )
    if found.attempts:
        made = [attempt.node for attempts in found.attempts.values() for attempt in attempts]
        # Those that were given up before their node had them.
        made += [row["node"] for name, row in found.rows.items() if row["attempts"] and name not in found.attempts]
        wanted["ollamamax_node_requests_total"] = Counter((node,) for node in made)
        wanted["ollamamax_retries_total"] = Counter({(): sum(len(each) - 1 for each in found.attempts.values())})
    complaints = []
    for name, expected in wanted.items():
        told: Counter[tuple[str, ...]] = Counter()
        for (each, pairs), number in counted.items():
            labels = dict(pairs)
            if each == name and labels.get("method", "POST") == "POST" and labels.get("reason") != "over_budget":
                key = tuple(value for label, value in pairs if label not in ("outcome", "reason"))
                told[key] += round(number)
        told = +told
        if told != +expected:
            complaints.append(f"{name}: {dict(told - expected)} too many, {dict(expected - told)} too few")
    return complaints


def _status(seen: Seen, row: Row | None) -> str:
    """Under which status a request is counted; that of a client that left is one of its own, if it left in time."""
    if seen.end != "left":
        return str(seen.status)
    return "499" if row is None or row["outcome"] == "client_disconnected" else str(row["status"])


def _is_at_rest(gateway: Process) -> bool:
    found = samples(scraped(gateway.url))
    busy = ("ollamamax_node_in_flight", "ollamamax_inference_in_flight", "ollamamax_ledger_pending")
    return not any(number for (name, _), number in found.items() if name in busy)


def _rows(gateway: Process, name: str, count: int) -> list[Row]:
    """The ledger's rows of a run; the newest are listed first."""
    rows: list[Row] = []
    for offset in range(0, count + _PAGE, _PAGE):
        answer = asked(gateway.url, request("GET", f"/api/v1/inference/requests?limit={_PAGE}&offset={offset}"))
        rows += json.loads(answer.body)["requests"]
    return [row for row in rows if (row["client_request_id"] or "").rpartition("-")[0] == name]


def _happens(condition: Callable[[], bool], seconds: float = _PATIENCE_SECONDS) -> bool:
    """Waits for what is bound to happen; whether it does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
