"""Where `twistd` and `twist` are told to write their log, so that it goes there in the form that the settings want.

`twistd` asks its application for an observer and makes none of its own then; `twist` asks its options for a maker of
observers. Neither lets a plugin choose the form and keep the place, so the place is found here, by the same options
and rules: standard output in the foreground, else a file that rotates, at SIGUSR1 too.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, MutableMapping
from typing import IO, TYPE_CHECKING, cast

from twisted.logger import ILogObserver
from twisted.python.logfile import LogFile

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorFromThreads

ObserverFactory = Callable[[IO[str]], ILogObserver]

_TWIST_FACTORY = "fileLogObserverFactory"
_DEFAULT_FILE = "twistd.log"


def observer_at(
    options: MutableMapping[str, object], factory: ObserverFactory, reactor: IReactorFromThreads
) -> ILogObserver | None:
    """The observer that `twistd` is to use; None where it, or `twist`, makes one by itself.

    Args:
        options: those of `twistd` or `twist` itself; the latter's are given the factory.
        factory: makes an observer that writes to a file.
        reactor: where a file is rotated.
    """
    if _TWIST_FACTORY in options:
        options[_TWIST_FACTORY] = factory
        return None
    name, foreground = str(options.get("logfile") or ""), bool(options.get("nodaemon", True))
    if options.get("logger") or options.get("syslog") or (name == "-" and not foreground):
        # An observer of the user's, the system's log, or what twistd refuses.
        return None
    if name == "-" or (foreground and not name):
        return factory(sys.stdout)
    file = LogFile.fromFullPath(name or _DEFAULT_FILE)
    if not signal.getsignal(signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(file.rotate))
    return factory(cast("IO[str]", file))
