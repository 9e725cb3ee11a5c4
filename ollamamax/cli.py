"""The `ollamamax` command: what is done beside the server, which `twistd ollamamax` starts.

Whatever a command needs is imported when it runs, so that `--help` and the other commands need not wait for it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from ollamamax import __version__
from ollamamax.reports.commands import requests, usage
from ollamamax.reports.options import DEFAULT_URL, http_url, key_headers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ollamamax.store.upgrade import Administration


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="OllamaMax %(version)s")
def main() -> None:
    """One measured HTTP endpoint in front of every Ollama that you run.

    The server itself is started with `twistd -n ollamamax`; `twistd ollamamax --help` lists its options.
    """


@main.command()
@click.argument("url", envvar="OLLAMAMAX_URL", default=DEFAULT_URL, callback=http_url)
def verify(url: str) -> None:
    """Check that the server running at URL keeps its promises about metrics.

    Prints a line per check, `PASS` or `FAIL` with what was expected and seen, and the sum. URL is $OLLAMAMAX_URL or
    http://localhost:8080 where it is left out; a key is taken from $OLLAMAMAX_API_KEY. The checks make some 300
    requests, none of which reaches a node; others may use the server meanwhile.

    Exit status: 0 when every check passed, 1 when one failed or there is no such server, 2 for a wrong command line.
    """
    from twisted.internet.task import react

    from ollamamax.verify.walk import verify as verify_server

    react(verify_server, (url, key_headers(), click.echo))


main.add_command(usage)
main.add_command(requests)


@main.command("check-config")
@click.option("--config", metavar="FILE", help="The settings file; by default the one that the server would read.")
def check_config(config: str | None) -> None:
    """Print the settings in force, and where each comes from.

    Reads what the server would: the OLLAMAMAX_* variables, the settings file, the defaults. Passwords are shown as
    `***`.

    Exit status: 0 when the server could start with them; 1 when not, with the one line that says why.
    """
    from ollamamax.settings import SettingsError, load

    try:
        loaded = load({"config": config}, os.environ)
    except SettingsError as error:
        raise _failed(error) from None
    rows = cast("Sequence[Mapping[str, object]]", loaded.public()["settings"])
    for row in rows:
        click.echo(f"{row['name']} = {json.dumps(row['value'], ensure_ascii=False)}  # {row['source']}")


@main.group()
def database() -> None:
    """Look at the server's database, and bring it to the schema that this version needs.

    The database is the one of the settings: --database, else $OLLAMAMAX_DATABASE, else the settings file's, else the
    SQLite file in the state directory.
    """


_CONFIG = click.option("--config", metavar="FILE", help="The settings file; by default the one of the server.")
_DATABASE = click.option("--database", metavar="URL", help="The database's URL; by default the settings'.")


@database.command()
@_CONFIG
@_DATABASE
def upgrade(config: str | None, database: str | None) -> None:
    """Bring the database to the schema that this version needs.

    An empty database gets all of it, and a SQLite file that is not there is made. A database that has it already is
    left alone, so it does no harm to run this again, or twice at once. A SQLite file must not be in use by a server,
    which upgrades it by itself at its start; PostgreSQL may be.

    Exit status: 0 when the database has the present schema, 1 when not, with the one line that says why.
    """
    from ollamamax.store.failures import StoreError
    from ollamamax.store.upgrade import HEAD_REVISION

    try:
        administration = _administration(config, database)
        click.echo(f"store: {administration.name}")
        before = administration.upgrade()
    except StoreError as error:
        raise _failed(error) from None
    done = "nothing to do" if before == HEAD_REVISION else f"upgraded from {before or 'an empty database'}"
    click.echo(f"schema: {HEAD_REVISION}, {done}")


@database.command()
@_CONFIG
@_DATABASE
def status(config: str | None, database: str | None) -> None:
    """Print which database the server uses, and whether its schema is the one that this version needs.

    Nothing is changed; it may be asked while servers run.

    Exit status: 0 when it is; 1 when it is older, newer, absent or cannot be reached.
    """
    from ollamamax.store.failures import StoreError
    from ollamamax.store.upgrade import HEAD_REVISION

    try:
        administration = _administration(config, database)
        click.echo(f"store: {administration.name}")
        click.echo(f"needed: {HEAD_REVISION}")
        revision = administration.revision()
    except StoreError as error:
        raise _failed(error) from None
    click.echo(f"schema: {revision or 'none'}")
    if revision != HEAD_REVISION:
        click.echo("run `ollamamax database upgrade`")
        raise SystemExit(1)


def _administration(config: str | None, database: str | None) -> Administration:
    from ollamamax.settings import SettingsError, load
    from ollamamax.store.upgrade import Administration

    try:
        settings = load({"config": config, "database": database}, os.environ).settings
    except SettingsError as error:
        raise _failed(error) from None
    return Administration(settings.database, Path(settings.state_directory))


def _failed(error: Exception) -> SystemExit:
    click.echo(f"ollamamax: {error}", err=True)
    return SystemExit(1)
