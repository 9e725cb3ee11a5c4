"""The settings in force that say where: listening, nodes, database and state."""

from __future__ import annotations

import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from real.callers import Caller, call, wait_for
from real.observed_settings import observes
from real.processes import Process, Processes

LOOPBACK = "--listen=tcp:0:interface=127.0.0.1"
ABSENT = {"model": "absent", "messages": [{"role": "user", "content": "x"}]}


class Servers(NamedTuple):
    """Servers, each with places of its own.

    Attributes:
        default: with those that nobody has set, but for a free port.
        moved: on another address of loopback, with nodes and state elsewhere.
        named: with a database elsewhere.
        filed: on all addresses, with a database elsewhere that a file names.
    """

    default: Process
    moved: Process
    named: Process
    filed: Process


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what is elsewhere."""
    return tmp_path_factory.mktemp("places")


@pytest.fixture(scope="module")
def servers(shared_processes: Processes, places: Path) -> Servers:
    """The servers, ready."""
    (moved := places / "moved.toml").write_text("database_pool_size = 7\n")
    (secret := places / "secret").write_text(f"sqlite:///{places}/filed.db\n")
    (filed := places / "filed.toml").write_text(f'listen = "tcp:0"\nauth = "off"\ndatabase_file = "{secret}"\n')
    variables = {"OLLAMAMAX_LISTEN": "tcp:0:interface=127.0.0.2", "OLLAMAMAX_STATE_DIRECTORY": str(places / "state")}
    nodes = ("--node=desk=http://127.0.0.1:9", "--node=rack=http://localhost:9/")
    start = shared_processes.bare_gateway
    started = Servers(
        start(LOOPBACK),
        start(*nodes, "--simulate=2", f"--config={moved}", environ=variables),
        start(LOOPBACK, f"--database=sqlite:///{places}/named.db", environ={"OLLAMAMAX_SIMULATE": "auto"}),
        start(f"--config={filed}"),
    )
    for server in started:
        server.wait_ready()
    return started


def nodes(server: Process) -> list[Any]:
    """The nodes of a server."""
    listed: list[Any] = call(server.url, "GET", "/api/v1/nodes").json()["nodes"]
    return listed


def default_file(server: Process) -> Path:
    """Where a server that was told nothing keeps its database: its environment names the folder for state."""
    return server.directory / "state" / "ollamamax" / "ollamamax.db"


def keeps_its_accounts_in(server: Process, file: Path) -> bool:
    """Whether the account of a request gets into this file."""
    id_ = call(server.url, "POST", "/api/chat", ABSENT).headers["x-request-id"]
    wait_for(lambda: call(server.url, "GET", f"/api/v1/inference/requests/{id_}").status == 200)
    if not file.exists():
        return False
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        found = database.execute("select id from requests where id = ?", [id_]).fetchall()
    return found == [(id_,)]


@observes("listen")
def test_a_server_listens_where_it_is_told_to(servers: Servers, processes: Processes, tmp_path: Path) -> None:
    """By default on port 8080 of 127.0.0.1 (or it says that this is taken); where told to, elsewhere, as it says."""
    bare, local = processes.bare_gateway(), processes.bare_gateway(f"--listen=unix:{tmp_path}/socket")
    wait_for(lambda: "listening on" in bare.text() or not bare.is_running())
    bare.begin_stop()
    taken = 'ollamamax: listen: "tcp:8080:interface=127.0.0.1" cannot be used: Address already in use'
    assert "listening on http://127.0.0.1:8080" in bare.text() or taken in bare.text()
    local.wait_listening()
    assert local.url == f"unix:{tmp_path}/socket"
    assert servers.moved.url.startswith("http://127.0.0.2:")
    for server in (local, servers.moved):
        assert call(server.url, "GET", "/health").status == 200


@observes("auth")
def test_beyond_loopback_nobody_is_let_in_unless_everybody_is(servers: Servers, processes: Processes) -> None:
    """By default such an address is refused in one line; with `off` the server can be reached on every address."""
    refused = processes.bare_gateway("--listen=tcp:0")
    assert refused.wait() == 1
    assert refused.text().startswith('ollamamax: listen (from --listen): "tcp:0" can be reached from other machines')
    assert refused.text().count("\n") == 1
    port = servers.filed.url.rpartition(":")[2]
    assert call(f"http://127.0.0.3:{port}", "GET", "/health").status == 200
    with pytest.raises(ConnectionRefusedError), Caller(f"http://127.0.0.3:{servers.default.url.rpartition(':')[2]}"):
        pass


@observes("nodes")
def test_nodes_are_those_that_are_named(servers: Servers) -> None:
    """By default Ollama's own address; else all that are named, in their order."""
    assert [(node["id"], node["url"]) for node in nodes(servers.default)] == [("ollama", "http://127.0.0.1:11434")]
    named = [(node["id"], node["url"]) for node in nodes(servers.moved) if not node["simulated"]]
    assert named == [("desk", "http://127.0.0.1:9"), ("rack", "http://localhost:9")]


@observes("simulate")
def test_as_many_nodes_are_simulated_as_wanted(servers: Servers) -> None:
    """None by default; two where asked for, and their answers say so; with `auto` one, where there is no Ollama."""
    none, two, one = ([node["id"] for node in nodes(server) if node["simulated"]] for server in servers[:3])
    with socket.socket() as ollama:
        ollama_is_there = ollama.connect_ex(("127.0.0.1", 11434)) == 0
    assert (none, two, one) == ([], ["simulated-1", "simulated-2"], [] if ollama_is_there else ["simulated"])
    assert call(servers.moved.url, "POST", "/api/show", {"model": "tiny"}).headers["x-ollamamax-simulated"] == "1"


@observes("state_directory")
def test_state_is_kept_where_wanted(servers: Servers, places: Path) -> None:
    """By default where the environment says; else in the folder that is named."""
    assert keeps_its_accounts_in(servers.default, default_file(servers.default))
    assert keeps_its_accounts_in(servers.moved, places / "state" / "ollamamax.db")
    assert not default_file(servers.moved).exists()


@observes("database")
def test_the_database_is_the_one_that_is_named(servers: Servers, places: Path) -> None:
    """By default a file in the folder for state; else the one that is named."""
    assert keeps_its_accounts_in(servers.default, default_file(servers.default))
    assert keeps_its_accounts_in(servers.named, places / "named.db")
    assert not default_file(servers.named).exists()


@observes("database_file")
def test_the_database_may_be_named_in_a_file(servers: Servers, places: Path) -> None:
    """By default no file is asked; else the database is the one whose URL stands in it."""
    assert keeps_its_accounts_in(servers.default, default_file(servers.default))
    assert keeps_its_accounts_in(servers.filed, places / "filed.db")
    assert not default_file(servers.filed).exists()


@observes("database_pool_size")
def test_the_database_has_as_many_connections_as_wanted(servers: Servers) -> None:
    """At most four by default; seven where seven are allowed."""
    most = [call(server.url, "GET", "/metrics.json").json()["database"]["max_open"] for server in servers[:2]]
    assert most == [4, 7]
