"""`twistd -n ollamamax-simulator`: the options, and the service that they make."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.application.service import MultiService
from twisted.python import usage

from .faults import Share, checked_shares, parsed_share
from .settings import PROFILES, ModelSpec, SimulatorSettings, parsed_model

if TYPE_CHECKING:
    from .account_file import AccountFile

NAME = "ollamamax-simulator"
DEFAULT_LISTEN = "tcp:11434:interface=127.0.0.1"
_DEFAULTS = SimulatorSettings()


_WHOLE = {"token-bytes": 0, "parallel": 1, "max-queue": 0, "max-loaded-models": 1, "seed": 0}
"""Options that are whole numbers, and the least that each may be."""
_NUMBERS = {
    "load-seconds": 0.0,
    "prompt-seconds": 0.0,
    "prompt-tokens-per-second": 0.0,
    "tokens-per-second": 0.0,
    "overhead-seconds": 0.0,
    "keep-alive": -math.inf,
    "pull-bytes-per-second": 1.0,
}
"""Likewise those that may have decimals."""


class Options(usage.Options):
    """What the command line takes."""

    synopsis = "[options]"
    longdesc = (
        "A simulated Ollama: the same API, framing, errors and scheduling, with texts that are made up. For "
        "development, tests and benchmarks; it needs no GPU and no model. Words in a prompt steer it: LIMIT n, "
        "SIZE n (bytes per token), THINK, TOOL; and make something go wrong: HTTP500, BUSY, HANG, CUT, DIE, and, after "
        "n tokens, INBAND n (an error in the stream), STALL n, RESET n, TRUNCATE n, NOEND n, GARBAGE n; SLOW n (ms per "
        "token)."
    )
    optParameters = [  # noqa: RUF012 - as Twisted reads it
        ["listen", "l", DEFAULT_LISTEN, "Where to listen, as a Twisted server endpoint."],
        ["ollama-version", None, _DEFAULTS.version, "Whose behaviour to show: 0.33.0 or 0.24.0."],
        ["load-seconds", None, _DEFAULTS.load_seconds, "How long a model takes to load, in seconds."],
        ["prompt-seconds", None, _DEFAULTS.prompt_seconds, "How long a prompt takes, in seconds."],
        [
            "prompt-tokens-per-second",
            None,
            _DEFAULTS.prompt_tokens_per_second,
            "How fast prompts are evaluated besides; 0: in no time.",
        ],
        [
            "tokens-per-second",
            None,
            _DEFAULTS.tokens_per_second,
            "How fast each slot generates; 0: as fast as the client reads.",
        ],
        ["token-bytes", None, _DEFAULTS.token_bytes, "Least size of a token's text, in bytes; 0: a word."],
        [
            "overhead-seconds",
            None,
            _DEFAULTS.overhead_seconds,
            "From a request to a loaded model, in seconds.",
        ],
        ["parallel", None, _DEFAULTS.parallel, "Slots of each model (OLLAMA_NUM_PARALLEL)."],
        ["max-queue", None, _DEFAULTS.max_queue, "Requests that may wait for a load (OLLAMA_MAX_QUEUE)."],
        [
            "max-loaded-models",
            None,
            _DEFAULTS.max_loaded_models,
            "Models in memory at a time (OLLAMA_MAX_LOADED_MODELS).",
        ],
        [
            "keep-alive",
            None,
            _DEFAULTS.keep_alive_seconds,
            "How long an idle model stays, in seconds; negative: for ever (OLLAMA_KEEP_ALIVE).",
        ],
        [
            "pull-bytes-per-second",
            None,
            _DEFAULTS.pull_bytes_per_second,
            "How fast a pull is, in bytes per second.",
        ],
        ["seed", None, _DEFAULTS.seed, "The same seed gives the same texts and embeddings."],
        ["accounts", None, None, "A file to which each request's account is added as a line of JSON once it is over."],
    ]
    optFlags = [  # noqa: RUF012 - as Twisted reads it
        ["mark", None, "Begin each text with [simulated] and send X-OllamaMax-Simulated: 1."]
    ]

    def __init__(self) -> None:
        super().__init__()
        self._models: list[ModelSpec] = []
        self._faults: list[Share] = []

    def opt_model(self, text: str) -> None:
        """A model that is there; may be repeated. [default: tiny and thinker]

        NAME[:TAG][,capabilities=A+B][,size=BYTES][,context=TOKENS][,load=SECONDS]
        """
        try:
            self._models.append(parsed_model(text))
        except ValueError as error:
            raise usage.UsageError(f"--model: {error}") from None

    def opt_fail(self, text: str) -> None:
        """Make a share of the requests for inference go wrong; may be repeated. The seed draws which.

        KIND[=N]:SHARE, for example reset=3:0.1; the kinds are the words of prompts in small letters.
        """
        try:
            share = parsed_share(text)
            checked_shares([*self._faults, share])
        except ValueError as error:
            raise usage.UsageError(f"--fail: {error}") from None
        self._faults.append(share)

    def parseArgs(self, *arguments: str) -> None:
        """Refuses what is no option: there are no positional arguments."""
        if arguments:
            raise usage.UsageError(f'unexpected argument "{arguments[0]}"; --help lists the options')

    def postOptions(self) -> None:
        """Checks the values."""
        for name, least in (*_WHOLE.items(), *_NUMBERS.items()):
            self[name] = _checked(name, self[name], least, whole=name in _WHOLE)
        if self["keep-alive"] < 0:
            self["keep-alive"] = math.inf
        if self["ollama-version"] not in PROFILES:
            raise usage.UsageError(f"--ollama-version: must be {' or '.join(PROFILES)}")

    def parseOptions(self, options: Sequence[str] | None = None) -> None:  # noqa: N802 - Twisted's name
        """Parses the command line; what is wrong with it ends the process with one line, not with the whole usage."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            raise SystemExit(f"{NAME}: {error}") from None

    def settings(self) -> SimulatorSettings:
        """What was asked for."""
        models = {"models": tuple(self._models)} if self._models else {}
        return SimulatorSettings(
            version=self["ollama-version"],
            load_seconds=self["load-seconds"],
            prompt_seconds=self["prompt-seconds"],
            prompt_tokens_per_second=self["prompt-tokens-per-second"],
            tokens_per_second=self["tokens-per-second"],
            token_bytes=self["token-bytes"],
            overhead_seconds=self["overhead-seconds"],
            parallel=self["parallel"],
            max_queue=self["max-queue"],
            max_loaded_models=self["max-loaded-models"],
            keep_alive_seconds=self["keep-alive"],
            pull_bytes_per_second=self["pull-bytes-per-second"],
            seed=self["seed"],
            marked=bool(self["mark"]),
            faults=tuple(self._faults),
            **models,
        )


def _checked(name: str, given: object, least: float, *, whole: bool) -> float:
    """An option's number."""
    try:
        number = int(str(given)) if whole else float(str(given))
        if not math.isfinite(number) or number < least:
            raise ValueError
    except ValueError:
        what = "a whole number" if whole else "a number"
        bound = f" of at least {least:g}" if math.isfinite(least) else ""
        raise usage.UsageError(f"--{name}: must be {what}{bound}, not {given!r}") from None
    return number


def _refusal(setting: str, reason: str) -> SystemExit:
    return SystemExit(f"{NAME}: {setting}: {reason}")


def makeService(options: Options) -> MultiService:
    """The service of one command line.

    Raises:
        SystemExit: an option is no good; one line says which and why.
    """
    from twisted.internet import reactor
    from twisted.internet.interfaces import IReactorCore, IReactorTime

    from .models import model_of
    from .service import SimulatorService

    settings = options.settings()
    for spec in settings.models:
        try:
            model_of(spec, 0.0)
        except ValueError as error:
            raise _refusal("--model", str(error)) from None
    listen = options["listen"]

    class StandaloneService(SimulatorService):
        """The only service of a process: without a port there is no point in going on."""

        def privilegedStartService(self) -> None:
            """Listen, or end the process with a line that says why not."""
            super().privilegedStartService()
            if self.failure is not None:
                raise _refusal(f"--listen {listen}", f"cannot listen: {self.failure.getErrorMessage()}")

    # By default a reactor's timers run on the wall clock, and a step back stops them all for as long.
    reactor.seconds = time.monotonic  # type: ignore[method-assign]
    time_source = IReactorTime(reactor)
    try:
        service = StandaloneService(time_source, listen, settings)
    except (ValueError, TypeError, KeyError) as error:
        raise _refusal(f"--listen {listen}", f"no server endpoint ({error}); try {DEFAULT_LISTEN}") from None
    parent = MultiService()
    service.setServiceParent(parent)
    core = IReactorCore(reactor)
    if options["accounts"]:
        file = _account_file(options["accounts"])
        service.accounts.closed.append(file.add)
        core.addSystemEventTrigger("after", "shutdown", file.close)
    core.callWhenRunning(end_with_success, core.stop)
    return parent


def _account_file(path: str) -> AccountFile:
    """Where accounts are written down.

    Raises:
        SystemExit: nothing can be written there.
    """
    from .account_file import AccountFile

    try:
        return AccountFile(Path(path))
    except OSError as error:
        raise _refusal(f"--accounts {path}", f"cannot be written: {error.strerror}") from None


def end_with_success(stop: Callable[[], object], signals: Sequence[int] = (signal.SIGTERM, signal.SIGINT)) -> None:
    """Have signals stop the reactor and nothing more, so that the process ends with status 0.

    Twisted's own handlers make `twistd` kill itself with the same signal once the reactor has stopped.
    """
    from twisted.internet import reactor
    from twisted.internet.interfaces import IReactorFromThreads

    threads = IReactorFromThreads(reactor)
    stopping: list[int] = []

    def handle(number: int, _: object) -> None:
        if stopping:
            os._exit(1)
        stopping.append(number)
        threads.callFromThread(stop)

    for each in signals:
        signal.signal(each, handle)
