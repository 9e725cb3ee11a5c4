"""The commands `usage` and `requests`: what is asked, and how the process ends."""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import TYPE_CHECKING, Any, Literal

import click

from ollamamax.reports.options import Values, filters, key_headers, times, url_option

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from twisted.internet.base import ReactorBase
    from twisted.internet.defer import Deferred

    from ollamamax.caller import Caller

_ANSWER_SECONDS = 60.0


@click.command()
@url_option
@times("30d")
@click.option(
    "--by",
    metavar="NAMES",
    help="What to tell it by, separated by commas: day, model, node, owner, end_user, operation; by default day,model.",
)
@filters("model", "node", "owner", "end-user", "operation", "outcome")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with a line that names the columns.")
def usage(
    *, url: str, since: str | None, until: str | None, by: str | None, as_json: bool, as_csv: bool, **filtered: Values
) -> None:
    """Print what was used: requests, tokens, and for how long nodes had them.

    Only requests that are over count. Days are those of UTC; TIME is as 2025-10-27T10:30:00Z or 2025-10-27, or a time
    ago as 24h or 30d. A filter that is given more than once takes any of its values. The server is $OLLAMAMAX_URL, a
    key is taken from $OLLAMAMAX_API_KEY.

    \b
    ollamamax usage
    ollamamax usage --since 7d --by model,node
    ollamamax usage --since 2025-10-01 --until 2025-11-01 --by owner,end_user --csv > october.csv

    Exit status: 0; 1 when the server does not answer; 2 for a wrong command line.
    """  # noqa: D301 - click wants the character itself
    if as_json and as_csv:
        raise click.UsageError("--json and --csv: expected one of them")
    from ollamamax.reports.usage import print_usage

    question = _question(since=since, until=until, by=by, **filtered)
    form: Literal["table", "json", "csv"] = "json" if as_json else "csv" if as_csv else "table"
    _report(url, lambda caller: print_usage(caller, question, form, _say))


@click.command()
@url_option
@times(None)
@filters("model", "node", "outcome", "operation", "owner", "key-id", "end-user", "client-request-id", "status")
@click.option("-n", "--limit", type=click.IntRange(0), default=20, show_default=True, help="How many there are to be.")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with those that end from now on, until Ctrl-C.")
@click.option("--running", is_flag=True, help="Only those that are not over yet.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, times in UTC.")
def requests(
    *,
    url: str,
    since: str | None,
    until: str | None,
    limit: int,
    following: bool,
    running: bool,
    as_json: bool,
    **filtered: Values,
) -> None:
    """Print the last requests, the newest last.

    TIME is as 2025-10-27T10:30:00Z or 2025-10-27, or a time ago as 15m or 24h, and is compared with the moment at
    which a request started. STATUS may be a class as 5xx. A filter that is given more than once takes any of its
    values. The server is $OLLAMAMAX_URL, a key is taken from $OLLAMAMAX_API_KEY.

    \b
    ollamamax requests
    ollamamax requests --follow --model llama3.2 --json
    ollamamax requests --since 24h --status 5xx --outcome timeout --limit 100

    Exit status: 0; 1 when the server does not answer; 2 for a wrong command line; 130 after Ctrl-C.
    """  # noqa: D301 - as above
    if following and (running or until):
        raise click.UsageError("--follow: expected without --running and --until")
    from ollamamax.reports import requests as reports

    printer = reports.Printer(_say, as_json=as_json)
    if following:
        question = _question(since=since, **filtered)
        _report(
            url, lambda caller: reports.follow(caller, question, limit, printer, complain=_complain, is_over=_is_closed)
        )
    else:
        finished = "false" if running else None
        question = _question(since=since, until=until, finished=finished, **filtered)
        _report(url, lambda caller: reports.print_requests(caller, question, limit, printer))


def _question(**parameters: str | Values | None) -> list[tuple[str, str]]:
    """A query's parameters, without what is not given."""
    return [
        (name, value)
        for name, values in parameters.items()
        for value in ((values,) if isinstance(values, str) else values or ())
    ]


def _report(url: str, report: Callable[[Caller], Coroutine[Deferred[Any], Any, None]]) -> None:
    """Asks the server at a URL, on a reactor of its own, and ends the process."""
    from twisted.internet.task import react

    from ollamamax.caller import Caller, client_of
    from ollamamax.reports.asking import NoAnswer

    async def run(reactor: ReactorBase) -> None:
        try:
            await report(Caller(client_of(reactor), reactor, url, key_headers(), _ANSWER_SECONDS))
        except NoAnswer as failure:
            click.echo(f"ollamamax: {failure}", err=True)
            raise SystemExit(2 if failure.is_wrong else 1) from None

    # As any command ends: the shell is told that it was interrupted. Twisted's own handler would end it with 0.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    react(run)


def _say(line: str) -> None:
    """Prints a line at once; where nobody reads any more, the process ends as `cat` does."""
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)


def _complain(line: str) -> None:
    click.echo(f"ollamamax: {line}", err=True)


def _is_closed() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
