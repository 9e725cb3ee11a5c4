"""Which Host and which Origin may call."""

from __future__ import annotations

import pytest

from ollamamax.web.origins import OriginPolicy


@pytest.fixture
def policy() -> OriginPolicy:
    """That of a machine called DeskBox with a name and two origins of its own; nothing in it is spelt in lower case."""
    return OriginPolicy.of(["Gateway.Example.org."], ["https://*.Example.org", "http://Intranet:*"], "DeskBox")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8080", "localhost", "LOCALHOST:8080", "[::1]:8080", "192.168.1.4:8080", "deskbox:8080", "DeskBox",
        "gpu.local", "gpu.internal:80", "x.localhost", "gateway.example.org", "gateway.example.org.:8080",
        " localhost ", "8.8.8.8", "[2001:db8::1]", "[::1]",
    ],
)  # fmt: skip
def test_local_names_and_literals_are_allowed(policy: OriginPolicy, host: str) -> None:
    """Whoever types the server's own name or address gets through."""
    assert policy.allows_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "local",
        "127.0.0.1.evil.example",
        "notdeskbox",
        "deskbox.evil.example",
        "gateway.example.org.evil.example",
        "[",
        "[evil.example]:80",
        "",
    ],
)
def test_rebound_names_are_refused(policy: OriginPolicy, host: str) -> None:
    """A page that rebinds its name to this machine still sends that name."""
    assert not policy.allows_host(host)


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:3000", "http://localhost", "https://127.0.0.1:8443", "http://0.0.0.0:1", "http://[::1]:3000",
        "app://obsidian.md", "file://x", "tauri://localhost", "vscode-webview://1", "https://chat.example.org", "HTTP://Intranet:81",
        "http://server:8080",
    ],
)  # fmt: skip
def test_allowed_origins(policy: OriginPolicy, origin: str) -> None:
    """Loopback pages, applications, the configured patterns and the server's own pages may call."""
    assert policy.allows_origin(origin, "server:8080")


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://example.org.evil",
        "http://intranet",
        "null",
        "ftp://localhost",
        "http://server:8081",
    ],
)
def test_foreign_origins(policy: OriginPolicy, origin: str) -> None:
    """Everything else is a page of another site."""
    assert not policy.allows_origin(origin, "server:8080")
