"""Which Host and which Origin may call: Ollama's own defence, kept in front of it.

Pure. A web page that rebinds its name to 127.0.0.1 sends its own name as Host; a page of another site sends its Origin.
Ollama refuses both with an empty 403, and the gateway, which gives nodes their own Host and no Origin, does it in their
place. The lists are Ollama's (`envconfig.AllowedOrigins`, `server.allowedHost`), and `[::1]` besides.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from fnmatch import fnmatchcase

import attrs

_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")
_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "0.0.0.0", "[::1]")  # noqa: S104 - a name in an Origin, nothing is bound
_APPLICATION_ORIGINS = ("app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*")

PREFLIGHT_HEADERS = (
    (
        b"Access-Control-Allow-Headers",
        (
            b"Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,X-Stainless-Arch,"
            b"X-Stainless-Async,X-Stainless-Custom-Poll-Interval,X-Stainless-Helper-Method,X-Stainless-Lang,"
            b"X-Stainless-Os,X-Stainless-Package-Version,X-Stainless-Poll-Helper,X-Stainless-Retry-Count,"
            b"X-Stainless-Runtime,X-Stainless-Runtime-Version,X-Stainless-Timeout"
        ),
    ),
    (b"Access-Control-Allow-Methods", b"GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"),
    (b"Access-Control-Max-Age", b"43200"),
)
PREFLIGHT_VARY = (b"Origin", b"Access-Control-Request-Method", b"Access-Control-Request-Headers")


@attrs.frozen
class OriginPolicy:
    """Who may call from a browser.

    Attributes:
        hosts: names that a Host header may hold besides the local ones.
        origins: patterns of further origins, as in `https://*.example.org` or `http://intranet:*`.
        machine: this machine's own name.
    """

    hosts: frozenset[str]
    origins: tuple[str, ...]
    machine: str

    @classmethod
    def of(cls, hosts: Iterable[str], origins: Iterable[str], machine: str) -> OriginPolicy:
        """A policy from the settings `allowed_hosts` and `allowed_origins`."""
        local = [f"{scheme}://{host}" for host in _LOOPBACK_HOSTS for scheme in ("http", "https")]
        named = [origin.casefold() for origin in origins]
        return cls(
            frozenset(host.casefold().rstrip(".") for host in hosts),
            (*local, *(f"{origin}:*" for origin in local), *_APPLICATION_ORIGINS, *named),
            machine.casefold(),
        )

    def allows_host(self, header: str) -> bool:
        """Whether a Host header names this server as only its own users would."""
        name = _name_of(header.strip().casefold())
        if name in ("localhost", self.machine) or name in self.hosts or name.endswith(_LOCAL_SUFFIXES):
            return True
        return _is_literal(name)

    def allows_origin(self, origin: str, host: str) -> bool:
        """Whether pages of an origin may call; a server's own pages always may."""
        folded = origin.strip().casefold()
        if folded in (f"http://{host.casefold()}", f"https://{host.casefold()}"):
            return True
        return any(folded == pattern or fnmatchcase(folded, _escaped(pattern)) for pattern in self.origins)


def _name_of(authority: str) -> str:
    if authority.startswith("["):
        return authority.partition("]")[0][1:]
    return authority.partition(":")[0].rstrip(".")


def _is_literal(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _escaped(pattern: str) -> str:
    return pattern.replace("[", "[[]")
