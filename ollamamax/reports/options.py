"""The options of commands that ask a running server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import click

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_URL = "http://localhost:8080"

Values = tuple[str, ...]
"""What an option has that may be given more than once."""

_Command = TypeVar("_Command", bound="Callable[..., None]")


def http_url(_: click.Context, __: click.Parameter, value: str) -> str:
    """The URL of a server, for click to check."""
    try:
        parts = urlsplit(value)
        server = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = server and not parts.query and not parts.fragment
    except ValueError:
        usable = False
    if not usable:
        raise click.BadParameter(f'"{value}" is not the URL of a server; expected one like {DEFAULT_URL}')
    return value


def key_headers() -> dict[str, str]:
    """What is sent with every request where the user has a key."""
    key = os.environ.get("OLLAMAMAX_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


url_option = click.option(
    "--url", envvar="OLLAMAMAX_URL", default=DEFAULT_URL, callback=http_url, help="Where the server is."
)


def times(default: str | None) -> Callable[[_Command], _Command]:
    """The options for a time; what the server takes where they are left out is said to the user."""
    begin = f"The beginning, by default {default}." if default else "The beginning."

    def with_options(command: _Command) -> _Command:
        command = click.option("--until", metavar="TIME", help="The end, by default now.")(command)
        return click.option("--since", metavar="TIME", help=begin)(command)

    return with_options


def filters(*names: str) -> Callable[[_Command], _Command]:
    """An option for each filter, each of which may be given again."""

    def with_options(command: _Command) -> _Command:
        for name in reversed(names):
            metavar = name.rpartition("-")[2].upper()
            words = f"Only with this {name.replace('-', ' ')}."
            command = click.option(f"--{name}", metavar=metavar, multiple=True, help=words)(command)
        return command

    return with_options
