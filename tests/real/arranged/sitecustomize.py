"""Arranges, in the server that starts in this process, what no test can arrange from outside.

A name of the domain `rebinding.test` has a link-local address, as a resolver that somebody has taken over would say.
While there is a file `FAILING_COLLECTOR`, one of the collectors of metrics has a defect.

Python imports this module by itself where its folder is on the path.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

REBINDING = ".rebinding.test"
_LINK_LOCAL = "169.254.1.1"

_resolve = socket.getaddrinfo


def _resolved(host: Any, *arguments: Any, **named: Any) -> Any:
    is_ours = isinstance(host, str | bytes) and os.fsdecode(host).endswith(REBINDING)
    return _resolve(_LINK_LOCAL if is_ours else host, *arguments, **named)


def _arrange(failing: Path) -> None:
    from ollamamax.metrics import sources

    build = sources.build

    def broken(version: str) -> Any:
        if failing.exists():
            raise RuntimeError("a defect, on purpose")
        return build(version)

    sources.build = broken


socket.getaddrinfo = _resolved
_arrange(Path(os.environ["FAILING_COLLECTOR"]))
