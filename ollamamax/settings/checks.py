"""What a value in the settings has to look like: listening addresses, nodes, networks, origins, databases, sizes.

Pure, one function per form. Each takes the value as a user wrote it and raises `Refused` with words that follow it:
`"tcp:x" is not …`. Names of settings and where they came from are none of this module's business.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import unquote, urlsplit

import attrs

from ollamamax.address import InvalidAddress, NodeAddress

LISTEN_FORM = "tcp:PORT:interface=ADDRESS"

_ENDPOINT_PIECE = re.compile(r"(?:\\.|[^\\:=])*", re.DOTALL)
# The positional and the further keyword arguments of each kind, as Twisted's endpoint parsers take them.
_KINDS = {
    "tcp": (("port", "interface", "backlog"), frozenset[str]()),
    "tcp6": (("port", "backlog", "interface"), frozenset[str]()),
    "ssl": (
        ("port", "privateKey", "certKey", "sslmethod", "interface", "backlog"),
        frozenset({"extraCertChain", "dhParameters"}),
    ),
    "unix": (("address", "mode", "backlog", "lockfile"), frozenset[str]()),
}
_NUMBERS = {
    "backlog": re.compile(r"[0-9]{1,9}\Z"),
    "mode": re.compile(r"[0-7]{1,4}\Z"),
    "lockfile": re.compile(r"[01]\Z"),
}
_MAX_PORT = 65535
_NODE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?\Z")
_ORIGIN = re.compile(r"https?://([A-Za-z0-9.*_-]+|\[[0-9A-Fa-f:.]+\])(:([0-9]{1,5}|\*))?\Z", re.IGNORECASE)
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\Z")
_UNITS = {
    "": 1,
    "b": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", start=1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", start=1)},
}
POSTGRESQL_SCHEMES = frozenset({"postgresql", "postgres", "postgresql+psycopg"})
_POSTGRESQL_FORM = "postgresql://USER@HOST/DATABASE"
# Each rather too much than a part of it: to the last @, past an & that no NAME= follows, and what stands where a
# database's port would be and is none.
_PASSWORD = re.compile(r"(://[^/:@]*):.*@", re.DOTALL)
_PARAMETER = re.compile(r"((?:^|[?&\s])([^?&=\s]+)\s*=\s*)(.*?)(?=[&\s][^?&=\s]+\s*=|\Z)", re.DOTALL)
_NO_PORT = re.compile(r"(postgres[a-z+]*://[^/:@?\[]*):(?!\*\*\*@|[0-9]*(?:[/?,]|\Z)).*", re.DOTALL | re.IGNORECASE)


class Refused(ValueError):
    """A value that cannot be used; the text goes on after the value itself: `is not …; expected …`."""


@attrs.frozen
class Listening:
    """Where a listening description leads.

    Attributes:
        kind: `tcp`, `tcp6`, `ssl` or `unix`.
        interface: the address that is bound; empty for all of them, and for a UNIX socket.
    """

    kind: str
    interface: str

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can connect: 127.0.0.0/8, ::1, `localhost`, a UNIX socket."""
        if self.kind == "unix" or self.interface.casefold() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.interface).is_loopback
        except ValueError:
            return False


def listening(description: str) -> Listening:
    """Reads a Twisted endpoint description, as far as it decides who can connect.

    Args:
        description: as `twisted.internet.endpoints.serverFromString` takes it, with a backslash before a colon that
            belongs to a value.

    Raises:
        Refused: it is none of the kinds known here, or has no port, or an argument that the kind does not know.
    """
    kind, arguments = _endpoint_arguments(description)
    if kind == "unix":
        if not arguments.get("address"):
            raise Refused("names no socket; expected unix:PATH")
        return Listening(kind, "")
    port = arguments.get("port", "")
    if not (port.isascii() and port.isdecimal() and int(port) <= _MAX_PORT):
        raise Refused(f"has no port from 0 to {_MAX_PORT}; expected {kind}:PORT:interface=ADDRESS")
    interface = arguments.get("interface", "")
    if interface and not _HOST.match(interface) and not _is_ip(interface):
        raise Refused(rf"has no usable interface; expected {LISTEN_FORM}, an IPv6 address written as in \:\:1")
    return Listening(kind, interface)


def _endpoint_arguments(description: str) -> tuple[str, dict[str, str]]:
    pieces = _split_endpoint(description)
    kind = pieces[0][1]
    if pieces[0][0] is not None or kind not in _KINDS:
        raise Refused(f"is not a listening address (tcp, tcp6, ssl or unix); expected {LISTEN_FORM}")
    positional, keywords = _KINDS[kind]
    arguments: dict[str, str] = {}
    for index, (keyword, value) in enumerate(pieces[1:]):
        name = positional[index] if keyword is None and index < len(positional) else keyword
        if name is None or name not in {*positional, *keywords}:
            raise Refused(
                rf'has "{keyword if keyword is not None else value}", which {kind} does not know; expected '
                rf"{LISTEN_FORM}, a colon in a value written \:"
            )
        if name in arguments:
            raise Refused(rf"has {name} twice; expected {LISTEN_FORM}, a colon in a value written \:")
        if name in _NUMBERS and not _NUMBERS[name].match(value):
            raise Refused(f'has "{value}" for {name}, which is no such number; expected {LISTEN_FORM}')
        arguments[name] = value
    return kind, arguments


def _split_endpoint(description: str) -> list[tuple[str | None, str]]:
    """The pieces between unescaped colons, each with the name before its unescaped `=`, if any."""
    pieces: list[tuple[str | None, str]] = []
    position, name = 0, None
    while True:
        match = _ENDPOINT_PIECE.match(description, position)
        end = match.end() if match else position
        text = re.sub(r"\\(.)", r"\1", description[position:end], flags=re.DOTALL)
        separator = description[end : end + 1]
        if separator == "=" and name is None:
            name = text
        elif separator in ("", ":"):
            pieces.append((name, text))
            name = None
            if not separator:
                return pieces
        else:
            raise Refused(f"is not a listening address; expected {LISTEN_FORM}")
        position = end + 1


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def check_node_name(name: str) -> None:
    """A node's name becomes a label and a part of paths, so it is short and plain."""
    if not _NODE_NAME.match(name):
        raise Refused("is no name for a node; expected 1 to 64 of A-Z a-z 0-9 . _ -")


def check_node_url(url: str) -> None:
    """A node's URL, by the rules of `address`."""
    try:
        NodeAddress.from_url(url)
    except InvalidAddress as error:
        why = str(error)
        expected = "" if "expected" in why else "; expected a URL like http://127.0.0.1:11434"
        raise Refused(f"is not a node's URL: {why}{expected}") from None


def check_host(host: str) -> None:
    """A name that a Host header may hold; its port does not matter and is not written."""
    if not _HOST.match(host):
        raise Refused("is no host name; expected a name without a port, like gateway.example.org")


def check_origin(origin: str) -> None:
    """A pattern of origins whose pages may call."""
    if not _ORIGIN.match(origin):
        raise Refused("is no origin; expected http(s)://HOST[:PORT], with * where anything may stand")


def check_network(network: str) -> None:
    """A network in CIDR form, without host bits."""
    try:
        ipaddress.ip_network(network)
    except ValueError:
        raise Refused("is no network; expected one like 10.0.0.0/8, without host bits") from None


def check_database(url: str) -> None:
    """A database's URL, of a kind that is supported and with a place that lasts.

    What a PostgreSQL URL says of hosts, ports and options is read by libpq alone, when the database is opened.
    """
    scheme, _, rest = url.partition("://")
    kind, _, driver = scheme.casefold().partition("+")
    if kind in ("postgresql", "postgres"):
        if scheme.casefold() not in POSTGRESQL_SCHEMES:
            raise Refused(f'names the driver "{driver}", which is not used here; expected {_POSTGRESQL_FORM}')
        if not rest.strip("/") or any(character.isspace() for character in url):
            raise Refused(f"is not the URL of a PostgreSQL database; expected {_POSTGRESQL_FORM}")
        return
    parts = urlsplit(url)
    path = parts.path[1:]
    if scheme.casefold() != "sqlite" or not url.startswith("sqlite:///") or not path or path == ":memory:":
        raise Refused(f"is not the URL of a database; expected sqlite:///PATH or {_POSTGRESQL_FORM}")


def masked(url: str) -> str:
    """A URL that may be shown: each password in it, before the host or as a parameter, is replaced by `***`."""
    return _NO_PORT.sub(r"\1:***", _PASSWORD.sub(r"\1:***@", _PARAMETER.sub(_masked_parameter, url)))


def _masked_parameter(found: re.Match[str]) -> str:
    is_secret = unquote(found[2]).casefold().endswith("password")
    return f"{found[1]}***" if is_secret else found[0]


def size_in_bytes(text: str) -> int:
    """A size such as `64 MiB`, `1.5 GB` or `1000`.

    Raises:
        Refused: it is no size.
    """
    match = _SIZE.match(text.strip())
    unit = _UNITS.get(match[2].casefold()) if match else None
    if match is None or unit is None:
        raise Refused('is no size; expected bytes, or a size like "64 MiB"')
    return int(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit
