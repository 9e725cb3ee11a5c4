"""Arranges, in the server that starts in this process, what no test can arrange from outside.

A name of the domain `rebinding.test` has a link-local address, as a resolver that somebody has taken over would say.
While there is a file `DEFECT`, one of the collectors of metrics has a defect, and each scrape leaves an object behind
that Python cannot collect.

Python imports this module by itself where its folder is on the path.
"""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path
from typing import Any

REBINDING = ".rebinding.test"
_LINK_LOCAL = "169.254.1.1"
_WORDS_BEFORE_TP_DEL = 47  # of `PyTypeObject` (CPython's Include/cpython/object.h), with its head

_resolve = socket.getaddrinfo


class Old:
    """An object that refers to itself; its class has a finalizer of the kind that extensions had before PEP 442.

    Python's collector leaves such objects alone, and counts them.
    """

    def __init__(self) -> None:
        self.me = self


def _resolved(host: Any, *arguments: Any, **named: Any) -> Any:
    is_ours = isinstance(host, str | bytes) and os.fsdecode(host).endswith(REBINDING)
    return _resolve(_LINK_LOCAL if is_ours else host, *arguments, **named)


def _arrange(defect: Path) -> None:
    from ollamamax.metrics import sources

    build = sources.build

    def broken(version: str) -> Any:
        if defect.exists():
            Old()
            raise RuntimeError("a defect, on purpose")
        return build(version)

    sources.build = broken


def _finalize_as_of_old(kind: type) -> None:
    # What is called does nothing that matters here; it is there.
    finalizer = ctypes.cast(ctypes.pythonapi.PyErr_Clear, ctypes.c_void_p)
    place = id(kind) + _WORDS_BEFORE_TP_DEL * ctypes.sizeof(ctypes.c_void_p)
    ctypes.c_void_p.from_address(place).value = finalizer.value


socket.getaddrinfo = _resolved
_finalize_as_of_old(Old)
_arrange(Path(os.environ["DEFECT"]))
