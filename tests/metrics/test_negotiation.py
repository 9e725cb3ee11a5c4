"""What a scraper may be sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ollamamax.metrics.negotiation import Wanted, negotiate

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("text/plain", False),
        ("text/plain;version=0.0.4", False),
        (PROMETHEUS_2, True),
        (PROMETHEUS_3, True),
        ("application/openmetrics-text", True),
        ("APPLICATION/OpenMetrics-Text ; Version=1.0.0", True),
        ('application/openmetrics-text;version="1.0.0"', True),
        ("application/openmetrics-text;version=", True),
        ("application/*", True),
        ("application/openmetrics-text;q=0.4,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0.5,text/plain;q=0.4", True),
        ("text/plain,application/openmetrics-text", True),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.5,*/*", False),
        ("application/openmetrics-text,text/*;q=0.1", True),
        ("application/openmetrics-text;version=1.0.0;q=0.2,application/openmetrics-text;q=0.9,text/plain;q=0.5", False),
        ("application/openmetrics-text;version=abc", False),
        ("application/openmetrics-text;version=2.0.0", False),
        ("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.5", False),
        ("application/*,text/*", False),
        ("application/*;q=0.2,*/*;q=0.9,text/plain;q=0.5", False),
        ("application/*,*/*;q=0.5", True),
        (", ,application/openmetrics-text", True),
        ("application/openmetrics-text;q=0.1234", True),
        ("application/openmetrics-text;q=0.123456", True),
        ("application/openmetrics-text;q=0.1234567", False),
        ("application/openmetrics-text;q=0..5", False),
        ("application/openmetrics-text;q=0.5.5", False),
        ("application/openmetrics-text;version=1.0.0=x", False),
        ("application/openmetrics-text;version=0.0.1,text/plain;q=0.1", False),
        ("text/plain;version=abc", False),
        ("application/openmetrics-text;q=abc", False),
        ("application/openmetrics-text;q=1.5", False),
        ("application/openmetrics-text;q=", False),
        ("application/openmetrics-text;q=.", False),
        ("application/openmetrics-text;q=\u00b2", False),
        (",,;;q=,;=", False),
        ("application/json", False),
    ],
)
def test_format(accept: str, openmetrics: bool) -> None:
    """The format follows the qualities of RFC 9110, the text format is the default."""
    assert negotiate(accept, "", "").openmetrics is openmetrics


@pytest.mark.parametrize(
    ("accept_encoding", "compressed"),
    [
        ("", False),
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0,*", False),
        ("identity,gzip;q=0.2", False),
        ("identity;q=0.2,gzip", True),
        ("identity,gzip", True),
        ("identity;q=0.5,gzip;q=0.4", False),
        ("br", False),
    ],
)
def test_compression(accept_encoding: str, compressed: bool) -> None:
    """Compression is used where it is accepted and nothing else is preferred."""
    assert negotiate("", accept_encoding, "").compressed is compressed


def test_names() -> None:
    """Names may be given in any order and twice; other parameters mean nothing."""
    assert negotiate("", "", "name[]=b&x=y&name%5B%5D=a&name[]=b") == Wanted(names=frozenset("ab"))
    assert negotiate("", "", "x=y&name[]=") == Wanted()


def test_the_type_names_the_version() -> None:
    """As Prometheus asks for it."""
    assert Wanted().content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert Wanted(openmetrics=True).content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"


@given(some.text(), some.text(), some.text())
def test_nothing_raises(accept: str, accept_encoding: str, query: str) -> None:
    """Whatever is sent, there is an answer to it, and it is the same each time."""
    assert negotiate(accept, accept_encoding, query) == negotiate(accept, accept_encoding, query)
