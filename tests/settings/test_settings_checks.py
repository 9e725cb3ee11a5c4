"""The forms of values: listening addresses, sizes, origins, databases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.endpoints import serverFromString
from twisted.internet.testing import MemoryReactor

from ollamamax.settings import checks
from ollamamax.settings.checks import Refused


@pytest.mark.parametrize(
    ("description", "kind", "interface", "loopback"),
    [
        ("tcp:8080:interface=127.0.0.1", "tcp", "127.0.0.1", True),
        ("tcp:0:interface=127.8.8.8:backlog=9", "tcp", "127.8.8.8", True),
        ("tcp:8080:localhost", "tcp", "localhost", True),
        ("tcp:8080:interface=LocalHost", "tcp", "LocalHost", True),
        (r"tcp:8080:interface=\:\:1", "tcp", "::1", True),
        (r"tcp6:65535:interface=\:\:1", "tcp6", "::1", True),
        ("tcp6:8080", "tcp6", "", False),
        ("tcp6:port=8080", "tcp6", "", False),
        ("tcp:8080", "tcp", "", False),
        ("tcp:8080:interface=", "tcp", "", False),
        ("tcp:8080:interface=0.0.0.0", "tcp", "0.0.0.0", False),
        ("tcp:8080:interface=10.0.0.1", "tcp", "10.0.0.1", False),
        ("tcp:8080:interface=localhost.example.org", "tcp", "localhost.example.org", False),
        ("ssl:443:privateKey=a.pem:certKey=b.pem:interface=127.0.0.1", "ssl", "127.0.0.1", True),
        ("ssl:443:privateKey=C\\:\\\\a.pem:extraCertChain=c:dhParameters=d", "ssl", "", False),
        ("unix:/run/x.sock", "unix", "", True),
        ("unix:address=/run/x\\=y:mode=660:lockfile=0", "unix", "", True),
    ],
)
def test_a_listening_address_is_read(description: str, kind: str, interface: str, loopback: bool) -> None:
    """Kind and interface, and whether only this machine can connect."""
    found = checks.listening(description)
    assert (found.kind, found.interface, found.is_loopback) == (kind, interface, loopback)


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ("", "is not a listening address (tcp, tcp6, ssl or unix); expected tcp:PORT:interface=ADDRESS"),
        ("8080", "is not a listening address (tcp, tcp6, ssl or unix)"),
        ("http://127.0.0.1:8080", "is not a listening address (tcp, tcp6, ssl or unix)"),
        ("tcp=8080", "is not a listening address (tcp, tcp6, ssl or unix)"),
        ("a=tcp:8080", "is not a listening address (tcp, tcp6, ssl or unix)"),
        ("tcp:8080:interface=a=b", "is not a listening address; expected tcp:PORT"),
        ("tcp:8080\\", "is not a listening address; expected tcp:PORT"),
        ("tcp", "has no port from 0 to 65535; expected tcp:PORT:interface=ADDRESS"),
        ("tcp6:65536", "has no port from 0 to 65535; expected tcp6:PORT:interface=ADDRESS"),
        ("tcp:-1", "has no port"),
        ("tcp:٣", "has no port"),
        ("tcp:8080:interface=a b", "has no usable interface"),
        ("tcp:8080:interfaec=127.0.0.1", 'has "interfaec", which tcp does not know; expected tcp:PORT'),
        (
            "tcp6:8080:interface=::1",
            r"has interface twice; expected tcp:PORT:interface=ADDRESS, a colon in a value written \:",
        ),
        ("tcp:1:2:3:4", 'has "4", which tcp does not know'),
        ("tcp:1:port=2", "has port twice"),
        ("tcp:1:backlog=many", 'has "many" for backlog, which is no such number'),
        ("unix:/x:mode=888", 'has "888" for mode, which is no such number'),
        ("unix:/x:lockfile=yes", 'has "yes" for lockfile, which is no such number'),
        ("unix:", "names no socket; expected unix:PATH"),
        ("unix", "names no socket; expected unix:PATH"),
    ],
)
def test_what_is_no_listening_address_is_refused(description: str, words: str) -> None:
    """With words that say what it should be."""
    with pytest.raises(Refused) as caught:
        checks.listening(description)
    assert str(caught.value).startswith(words)


@given(
    st.sampled_from(["tcp", "unix"]),
    st.lists(
        st.tuples(
            st.sampled_from(["", "port=", "interface=", "backlog=", "address=", "mode=", "lockfile=", "nonsense="]),
            st.sampled_from(["8080", "0", "/run/x", "127.0.0.1", r"\:\:1", "a=b", "", "10"]),
        ),
        max_size=4,
    ),
)
def test_whatever_is_accepted_twisted_can_read(kind: str, arguments: list[tuple[str, str]]) -> None:
    """No address passes here that would raise where the endpoint is made."""
    description = ":".join([kind, *(name + value for name, value in arguments)])
    try:
        checks.listening(description)
    except Refused:
        return
    assert serverFromString(MemoryReactor(), description) is not None


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("1000", 1000),
        (" 64 MiB ", 64 * 1024**2),
        ("64mib", 64 * 1024**2),
        ("1KiB", 1024),
        ("2 GiB", 2 * 1024**3),
        ("1 TiB", 1024**4),
        ("1 kB", 1000),
        ("3 MB", 3_000_000),
        ("1.5 GB", 1_500_000_000),
        ("1 TB", 10**12),
        ("7 B", 7),
    ],
)
def test_a_size_is_read(text: str, count: int) -> None:
    """Bytes, thousands and powers of 1024, whatever the case."""
    assert checks.size_in_bytes(text) == count


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1 M", "1,5 MB", "1e3", "1 MiB x", "٣"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(Refused, match='is no size; expected bytes, or a size like "64 MiB"'):
        checks.size_in_bytes(text)


@given(st.integers(min_value=0, max_value=2**60))
def test_a_whole_size_is_exact(count: int) -> None:
    """No rounding on the way."""
    assert checks.size_in_bytes(str(count)) == count


@pytest.mark.parametrize(
    "origin",
    [
        "http://a",
        "https://a.example.org",
        "https://*.example.org:8443",
        "http://intranet:*",
        "HTTP://[::1]:80",
        "http://a*",
    ],
)
def test_an_origin_is_accepted(origin: str) -> None:
    """Scheme, host, perhaps a port, with stars."""
    checks.check_origin(origin)


@pytest.mark.parametrize(
    "origin", ["*", "a", "ftp://a", "http://a/", "http://a b", "http://a:b", "http://a:123456", ""]
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    """An origin has no path, and a pattern for everything is not offered."""
    with pytest.raises(Refused, match="is no origin"):
        checks.check_origin(origin)


@pytest.mark.parametrize("host", ["a", "gateway.example.org", "gateway.example.org.", "_x.y", "a-b"])
def test_a_host_is_accepted(host: str) -> None:
    """Names, without a port."""
    checks.check_host(host)


@pytest.mark.parametrize("host", ["", "a:80", "http://a", "a b", "-a", "a-", "*.a"])
def test_what_is_no_host_is_refused(host: str) -> None:
    """Neither URLs nor ports nor patterns."""
    with pytest.raises(Refused, match="is no host name"):
        checks.check_host(host)


@pytest.mark.parametrize("network", ["10.0.0.0/8", "fd00::/8", "10.0.0.1"])
def test_a_network_is_accepted(network: str) -> None:
    """CIDR, or one address."""
    checks.check_network(network)


@pytest.mark.parametrize("network", ["10.0.0.1/8", "a", "", "10.0.0.0/33"])
def test_what_is_no_network_is_refused(network: str) -> None:
    """Host bits are mostly a mistake."""
    with pytest.raises(Refused, match="is no network"):
        checks.check_network(network)


@pytest.mark.parametrize("url", ["sqlite:///x.db", "sqlite:////var/lib/x.db", "sqlite:///x.db?timeout=5"])
def test_a_database_file_is_accepted(url: str) -> None:
    """Relative and absolute paths."""
    checks.check_database(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "is not the URL of a database; expected sqlite:///PATH or postgresql://USER@HOST/DATABASE"),
        ("sqlite:///", "is not the URL of a database; expected sqlite:///PATH or postgresql://USER@HOST/DATABASE"),
        ("sqlite:///:memory:", "is not the URL of a database; expected sqlite:///PATH or postgresql://USER@HOST/DAT"),
        ("sqlite://host/x", "is not the URL of a database; expected sqlite:///PATH or postgresql://USER@HOST/DATABASE"),
        ("x.db", "is not the URL of a database; expected sqlite:///PATH or postgresql://USER@HOST/DATABASE"),
        ("mysql://a/b", "is not the URL of a database; expected sqlite:///PATH or postgresql://USER@HOST/DATABASE"),
        ("postgresql+asyncpg://h/x", 'names the driver "asyncpg", which is not used here; expected postgresql://USER'),
        ("postgres+psycopg://h/x", 'names the driver "psycopg", which is not used here; expected postgresql://USER'),
        ("postgresql:h/x", "is not the URL of a database; expected sqlite:///PATH or postgresql://USER@HOST/DATABASE"),
        ("postgresql", "is not the URL of a PostgreSQL database; expected postgresql://USER@HOST/DATABASE"),
        ("postgresql://", "is not the URL of a PostgreSQL database; expected postgresql://USER@HOST/DATABASE"),
        ("postgresql:///", "is not the URL of a PostgreSQL database; expected postgresql://USER@HOST/DATABASE"),
        ("postgresql://h/a b", "is not the URL of a PostgreSQL database; expected postgresql://USER@HOST/DATABASE"),
    ],
)
def test_another_database_is_refused(url: str, words: str) -> None:
    """What would keep nothing, what is no URL, and drivers of others."""
    with pytest.raises(Refused) as caught:
        checks.check_database(url)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada@h/x",
        "POSTGRES://h/x",
        "postgresql+psycopg://h/x?sslmode=verify-full",
        "postgresql://h1:5432,h2:5433/x?target_session_attrs=read-write",
        "postgresql:///x?host=/run/postgresql",
        "postgresql://?service=gateway",
    ],
)
def test_a_postgresql_database_is_accepted(url: str) -> None:
    """Whatever libpq may make something of."""
    checks.check_database(url)


@pytest.mark.parametrize("name", ["a", "desk-1", "A.b_C", "x" * 64])
def test_a_nodes_name_is_accepted(name: str) -> None:
    """Short and plain."""
    checks.check_node_name(name)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ä", "a/b", "a\n"])
def test_what_is_no_nodes_name_is_refused(name: str) -> None:
    """It becomes a label and a part of paths."""
    with pytest.raises(Refused, match="is no name for a node"):
        checks.check_node_name(name)


@pytest.mark.parametrize("url", ["", "desk", "http://u:p@h", "http://169.254.169.254", "http://h:0", "http://h?x=1"])
def test_a_nodes_url_follows_the_rules_of_addresses(url: str) -> None:
    """The words of `address`, with what is expected said once."""
    with pytest.raises(Refused) as caught:
        checks.check_node_url(url)
    assert str(caught.value).startswith("is not a node's URL: ")
    assert str(caught.value).count("expected") == 1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:geheim@h/x", "postgresql://ada:***@h/x"),
        ("postgresql://ada:ge/he@im@h/x", "postgresql://ada:***@h/x"),
        ("postgresql://ada@h:5/x", "postgresql://ada@h:5/x"),
        ("postgresql://ada@h:5,i:6/x?sslmode=require", "postgresql://ada@h:5,i:6/x?sslmode=require"),
        ("postgresql://ada@[::1]:5/x", "postgresql://ada@[::1]:5/x"),
        ("postgresql://h:5/x?password=ge@heim", "postgresql://h:5/x?password=***"),
        ("postgresql:///x?user=ada&PASSWORD=ge&heim&host=/run", "postgresql:///x?user=ada&PASSWORD=***&host=/run"),
        ("postgresql:///x?pass%77ord=geheim", "postgresql:///x?pass%77ord=***"),
        ("postgresql:///x?sslpassword=ge=heim&passfile=/a", "postgresql:///x?sslpassword=***&passfile=/a"),
        ("postgresql://ada:geheim?password=ge@h/x", "postgresql://ada:***"),
        ("postgresql://ada:geheim", "postgresql://ada:***"),
        ("host=h password = geheim user=ada", "host=h password = *** user=ada"),
        ("http://h:*", "http://h:*"),
        ("sqlite:////x:y", "sqlite:////x:y"),
        ("http://h:1/x", "http://h:1/x"),
    ],
)
def test_a_password_is_masked(url: str, shown: str) -> None:
    """All of it, whatever it contains; nothing else."""
    assert checks.masked(url) == shown
