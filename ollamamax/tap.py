"""The plugin: `twistd ollamamax` and `twist ollamamax`. The only place that touches the global reactor.

What is wrong with the command line or the settings is one line on standard error and status 1, under every reactor.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, cast

from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from ollamamax import __version__
from ollamamax.launch import PROGRAM, Launch, StandardError
from ollamamax.settings import SettingsError, load

if TYPE_CHECKING:
    from twisted.internet.base import ReactorBase


class Options(UsageOptions):
    """The command line; each option wins over the variable and the file that set the same."""

    synopsis = "[options]"
    longdesc = (
        "Serves Ollama's API, and its own under /api/v1, in front of one or many Ollama servers, with metrics for "
        "Prometheus at /metrics. Every setting is described in docs/settings.md; `ollamamax check-config` shows "
        "those in force."
    )
    optParameters = [  # noqa: RUF012 - as Twisted reads it
        ["config", "c", None, "The TOML file with the settings. [default: /etc/ollamamax/ollamamax.toml, if there]"],
        ["listen", "l", None, "Where clients connect. [default: tcp:8080:interface=127.0.0.1]"],
        ["database", None, None, "The database's URL. [default: an SQLite file in the state directory]"],
        ["simulate", None, None, "Add COUNT simulated nodes, or `auto`: one while no Ollama answers. [default: 0]"],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["nodes"] = []

    def opt_node(self, name_and_url: str) -> None:
        """An Ollama server, as NAME=URL; may be repeated. [default: ollama=http://127.0.0.1:11434]"""
        self["nodes"].append(name_and_url)

    def opt_version(self) -> None:
        """Display the version and exit."""
        print(f"OllamaMax {__version__}")  # noqa: T201 - the answer to a question on the command line
        raise SystemExit(0)

    def parseArgs(self, *arguments: str) -> None:
        """Refuses what is no option: there are no positional arguments."""
        if arguments:
            raise UsageError(f'unexpected argument "{arguments[0]}"; --help lists the options')

    def parseOptions(self, options: Sequence[str] | None = None) -> None:  # noqa: N802 - Twisted's name
        """Parses the command line; what is wrong with it ends the process with one line, not with the whole usage."""
        try:
            super().parseOptions(options)
        except UsageError as error:
            raise SystemExit(f"{PROGRAM}: {error}") from None

    def given(self) -> Mapping[str, object]:
        """What was given, by the settings' names, as `settings.load` takes it."""
        return {name: self[name] for name in ("config", "listen", "nodes", "database", "simulate")}

    def pid_file(self) -> str:
        """Where `twistd` writes the process's id; `twist` does not."""
        return str(self.above().get("pidfile") or "")

    def daemonizes(self) -> bool:
        """Whether `twistd` is going to leave the terminal; `twist` never does."""
        return not self.above().get("nodaemon", True)

    def above(self) -> MutableMapping[str, object]:
        """The options of `twistd` or `twist` itself."""
        return self.parent if self.parent is not None else {}


def makeService(options: Options) -> Launch:
    """The service that `twistd` and `twist` start.

    Raises:
        SystemExit: the settings cannot be used; one line.
    """
    try:
        loaded = load(options.given(), os.environ)
    except SettingsError as error:
        raise SystemExit(f"{PROGRAM}: {error}") from None

    # Not above: whatever imports the reactor before an option has chosen one, chooses it.
    from twisted.internet import reactor as installed

    from ollamamax.logs.observer import observer_factory
    from ollamamax.logs.places import observer_at
    from ollamamax.service import Gateway, StartError

    reactor = cast("ReactorBase", installed)
    keep_time(reactor)
    return Launch(
        Gateway(loaded, reactor),
        reactor,
        start_error=StartError,
        standard_error=StandardError(),
        daemon=options.daemonizes(),
        pid_file=options.pid_file(),
        log_observer=observer_at(options.above(), observer_factory(loaded.settings.log), reactor),
    )


def keep_time(reactor: ReactorBase) -> None:
    """Puts a reactor's timers on the monotonic clock.

    By default they run on the wall clock, and a step back by a minute stops them all for a minute.
    """
    reactor.seconds = time.monotonic
