"""A gateway as `twistd` starts it, its log on standard output: `gateway.py [--blind] OPTIONS`.

`--blind` takes out what observes requests and leaves what serves them: no timing, no access log, no accounts and
nothing of them in the ledger, no metrics of requests, inference or the event loop. What reads along in the relay stays,
as it decides how an answer ends, and so does what is known of nodes, by which they are chosen. The product has no such
switch; the parts are put in place of the real ones before the server is assembled.
"""

from __future__ import annotations

import sys
from types import ModuleType

from twisted.internet import reactor
from twisted.logger import globalLogBeginner
from twisted.web.resource import getChildForRequest
from twisted.web.server import Request

from ollamamax import assembly
from ollamamax.logs.observer import observer_factory
from ollamamax.metrics.inference import InferenceMetrics
from ollamamax.metrics.inference_attempts import AttemptMetrics
from ollamamax.metrics.ticks import ReactorTicks
from ollamamax.settings import Log
from ollamamax.store.ledger_row import LedgerRow
from ollamamax.tap import Options, makeService
from ollamamax.web import inference
from ollamamax.web.access import AccessLog
from ollamamax.web.timing import TimingResource

BLIND = "--blind"


def nothing(*_arguments: object, **_named: object) -> None:
    """Does it."""


class BlindAccount:
    """An account that keeps nothing."""

    client = None
    row = LedgerRow(id="", started_at=0.0, endpoint="")
    model = None
    is_closed = True
    note = asks_for = begin = failed = end = fail = give_up = nothing

    def __init__(self, *_collaborators: object) -> None:
        pass


class Untimed(TimingResource):
    """Measures nothing."""

    def render(self, request: Request) -> bytes | int:
        """Lets the inner tree answer."""
        rendered: bytes | int = getChildForRequest(self._inner, request).render(request)
        return rendered


def blind() -> None:
    """Puts the parts that see nothing in their places."""
    parts: dict[str, tuple[ModuleType, type]] = {
        "TimingResource": (assembly, Untimed),
        "Account": (inference, BlindAccount),
    }
    for name, (module, part) in parts.items():
        setattr(module, name, part)
    for observer, methods in (
        (AccessLog, ("__call__",)),
        (InferenceMetrics, ("begin", "ended")),
        (AttemptMetrics, ("begin", "answered")),
        (ReactorTicks, ("start", "stop")),
    ):
        for method in methods:
            setattr(observer, method, nothing)


def main(arguments: list[str]) -> None:
    """Serves until it is told to end."""
    if BLIND in arguments:
        arguments.remove(BLIND)
        blind()
    options = Options()
    options.parseOptions(arguments)
    service = makeService(options)
    globalLogBeginner.beginLoggingTo([observer_factory(Log())(sys.stdout)], redirectStandardIO=False)
    service.privilegedStartService()
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
