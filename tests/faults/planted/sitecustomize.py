"""Plants defects in the server that starts in this process: each the kind of mistake that somebody could make there.

Python imports this module by itself where its folder is on the path. Every defect stands in place of a function of the
server's, and does what that did while it is not in force. `PLANTED_BUGS` names the file that names the one in force, so
that one server can have all of them, one after the other.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import attrs
from twisted.application.service import IService

from ollamamax import tap

_LEAK_SECONDS = 0.1
_LATE_SECONDS = 30.0


def plant(control: Path) -> None:
    """Plants all of them; what the tests of truth look for comes last.

    Args:
        control: the file that names the one in force.
    """

    def replace(owner: Any, name: str, bug: str, defect: Callable[..., Any]) -> None:
        right = getattr(owner, name)

        def chosen(*arguments: Any, **named: Any) -> Any:
            if control.read_text() == bug:
                return defect(right, *arguments, **named)
            return right(*arguments, **named)

        setattr(owner, name, chosen)

    from ollamamax.fleet.dispatch import Lease
    from ollamamax.metrics.http import HttpMetrics
    from ollamamax.metrics.inference import InferenceMetrics
    from ollamamax.relay import crossing
    from ollamamax.relay.completions_verdict import CompletionsVerdict
    from ollamamax.relay.exchange import Exchange
    from ollamamax.relay.reply import Reply
    from ollamamax.relay.verdict import NativeVerdict
    from ollamamax.store.ledger import Ledger
    from ollamamax.web.accounts import Account

    replace(Lease, "release", "leaks-a-lease", _leaks_a_lease)
    replace(HttpMetrics, "observe", "counts-twice", _counts_twice)
    replace(Ledger, "finished", "loses-a-row", _loses_a_row)
    replace(Ledger, "finished", "writes-two-rows", _writes_two_rows)
    replace(Reply, "break_off", "ends-well", _ends_well)
    replace(Reply, "break_off", "leaves-a-failure", _leaves_a_failure)
    replace(crossing, "ending", "swallows-the-frame", _swallows_the_frame)
    replace(crossing, "ending", "says-done", _says_done)
    replace(crossing.Crossing, "pauseProducing", "holds-everything", lambda _right, _crossing: None)
    replace(crossing.Crossing, "_drop_node", "keeps-the-node", lambda _right, _crossing: None)
    replace(crossing.Crossing, "response_started", "follows-redirects", _follows_redirects)
    replace(Exchange, "broke", "tries-again", _tries_again)
    replace(Account, "end", "counts-tokens-of-each-attempt", _counts_tokens_of_each_attempt)
    replace(Account, "end", "takes-unknown-for-zero", _takes_unknown_for_zero)
    replace(Account, "end", "takes-the-load-for-the-prompt", _takes_the_load_for_the_prompt)
    replace(Account, "begin", "names-the-first-node", _names_the_first_node)
    replace(crossing.Crossing, "_make_report", "stamps-the-head", _stamps_the_head)
    replace(crossing, "ending", "length-is-success", _length_is_success)
    replace(crossing.Crossing, "_make_report", "leaving-is-success", _leaving_is_success)
    replace(NativeVerdict, "finish", "errors-are-lines", _errors_are_lines)
    replace(CompletionsVerdict, "verdict", "needs-no-end", _needs_no_end)
    replace(Ledger, "finished", "misses-timeouts", _misses_timeouts)
    replace(InferenceMetrics, "_count_tokens", "counts-tokens-twice", _counts_twice)
    replace(InferenceMetrics, "ended", "misses-an-outcome", _misses_an_outcome)
    replace(InferenceMetrics, "ended", "times-what-failed", _times_what_failed)

    from ollamamax.store import instance_statements, ledger_statements
    from ollamamax.store.destinations import DatabaseRows
    from ollamamax.store.spool_files import SpoolFiles

    replace(DatabaseRows, "write", "acknowledges-too-early", _acknowledges_too_early)
    replace(ledger_statements, "_upsert_final", "replays-with-do-nothing", _does_nothing_on_conflict)
    replace(instance_statements, "_remove_gone", "interrupts-nobody", _interrupts_nobody)
    replace(SpoolFiles, "inherit", "inherits-nothing", lambda _right, _files: None)


def _leaks_a_lease(right: Any, lease: Any) -> None:
    """The node has one more user for as long as this is in force."""
    from twisted.internet import reactor

    reactor.callLater(_LEAK_SECONDS, lease.release)


def _counts_twice(right: Any, *observed: Any) -> None:
    right(*observed)
    right(*observed)


def _loses_a_row(right: Any, ledger: Any, row: Any) -> None:
    if row.outcome == "success":
        right(ledger, row)


def _writes_two_rows(right: Any, ledger: Any, row: Any) -> None:
    right(ledger, row)
    right(ledger, attrs.evolve(row, id=str(uuid4())))


def _ends_well(_right: Any, reply: Any) -> Any:
    from twisted.internet.defer import succeed

    reply.end()
    return succeed(None)


def _leaves_a_failure(right: Any, reply: Any) -> Any:
    from twisted.internet.defer import fail

    fail(RuntimeError("nobody hears of this"))
    return right(reply)


def _swallows_the_frame(right: Any, *arguments: Any, **named: Any) -> Any:
    return attrs.evolve(right(*arguments, **named), frame=None)


def _says_done(right: Any, *arguments: Any, **named: Any) -> Any:
    end = right(*arguments, **named)
    return attrs.evolve(end, frame=(end.frame or b"") + b'{"done":true}\n')


def _follows_redirects(right: Any, crossing: Any, head: Any) -> None:
    from twisted.internet import reactor
    from twisted.internet.endpoints import HostnameEndpoint
    from twisted.internet.protocol import Factory, Protocol

    location = head.first(b"location")
    if 300 <= head.status < 400 and location is not None:
        parts = urlsplit(location.decode())
        HostnameEndpoint(reactor, parts.hostname, parts.port).connect(Factory.forProtocol(Protocol))
    right(crossing, head)


def _tries_again(right: Any, exchange: Any, reason: Any, *, unanswered: bool) -> None:
    if getattr(exchange, "tried_again", False):
        right(exchange, reason, unanswered=unanswered)
    else:
        exchange.tried_again = True
        exchange._connect()


def _counts_tokens_of_each_attempt(right: Any, account: Any, report: Any) -> None:
    usage, attempts = report.usage, account.row.attempts
    told = {name: getattr(usage, name) for name in ("input_tokens", "output_tokens")}
    counted = {name: None if tokens is None else tokens * attempts for name, tokens in told.items()}
    right(account, attrs.evolve(report, usage=attrs.evolve(usage, **counted)))


def _takes_unknown_for_zero(right: Any, account: Any, report: Any) -> None:
    usage = report.usage
    known = {name: getattr(usage, name) or 0 for name in ("input_tokens", "output_tokens")}
    right(account, attrs.evolve(report, usage=attrs.evolve(usage, **known)))


def _takes_the_load_for_the_prompt(right: Any, account: Any, report: Any) -> None:
    usage = attrs.evolve(report.usage, prompt_seconds=report.usage.load_seconds)
    right(account, attrs.evolve(report, usage=usage))


def _names_the_first_node(right: Any, account: Any, node: str, **more: Any) -> None:
    first = account.row.node
    right(account, node, **more)
    account.note(node=first or node)


def _stamps_the_head(right: Any, crossing: Any, *arguments: Any, **named: Any) -> Any:
    report = right(crossing, *arguments, **named)
    return attrs.evolve(report, first_token_at=report.head_at if crossing._carriage.streaming else None)


def _length_is_success(right: Any, *arguments: Any, **named: Any) -> Any:
    end = right(*arguments, **named)
    return attrs.evolve(end, outcome="success") if end.outcome == "length" else end


def _leaving_is_success(right: Any, *arguments: Any, **named: Any) -> Any:
    report = right(*arguments, **named)
    return attrs.evolve(report, outcome="success") if report.outcome == "client_disconnected" else report


def _errors_are_lines(right: Any, *arguments: Any) -> Any:
    verdict = right(*arguments)
    return attrs.evolve(verdict, outcome="success", done=True, error=False) if verdict.error else verdict


def _needs_no_end(right: Any, judge: Any) -> Any:
    verdict = right(judge)
    return verdict if verdict.error or verdict.done else attrs.evolve(verdict, outcome="success", done=True)


def _misses_timeouts(right: Any, ledger: Any, row: Any) -> None:
    if row.outcome != "timeout":
        right(ledger, row)


def _misses_an_outcome(right: Any, metrics: Any, request: Any, course: Any) -> None:
    if request.outcome != "stream_error":
        right(metrics, request, course)


def _times_what_failed(right: Any, metrics: Any, request: Any, course: Any) -> None:
    right(metrics, request, course)
    if request.outcome == "incomplete" and request.first_token_seconds is not None:
        value, asked = request.first_token_seconds, (request.id, request.finished_at)
        metrics._first_token.observe(metrics.labels.label(request.model), value=value, asked=asked)


def _acknowledges_too_early(right: Any, destination: Any, rows: Any) -> Any:
    from twisted.internet import reactor
    from twisted.internet.defer import succeed

    reactor.callLater(_LATE_SECONDS, right, destination, list(rows))
    return succeed(0)


def _does_nothing_on_conflict(_right: Any, dialect: str) -> Any:
    from ollamamax.store.ledger_statements import _insert_started

    return _insert_started(dialect)


def _interrupts_nobody(_right: Any, _transaction: Any, _instance: Any, now: float, _silent_before: float) -> Any:
    from ollamamax.store.instance_statements import Beat

    return Beat(at=now)


_make_service = tap.makeService


def _plant_and_make(options: tap.Options) -> IService:
    plant(Path(os.environ["PLANTED_BUGS"]))
    return _make_service(options)


# Only then may the server's modules be imported: some of them install a reactor, and the command line chooses it first.
tap.makeService = _plant_and_make  # type: ignore[assignment]
