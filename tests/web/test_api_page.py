"""docs/api.md says what the code answers: every route, every error with its status and whether to retry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ollamamax.errors import GatewayError
from ollamamax.web.dialects import RETRY_AFTER_SECONDS, Dialect, encode

PAGE = (Path(__file__).parent.parent.parent / "docs" / "api.md").read_text("utf-8")
RETRY = {
    None: "no",
    True: f"`X-Should-Retry: true`, `Retry-After: {RETRY_AFTER_SECONDS}`",
    False: "`X-Should-Retry: false`",
}


def errors(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    """An error and all that are kinds of it, wherever they are declared."""
    yield kind
    for below in kind.__subclasses__():
        yield from errors(below)


def rows() -> Iterator[tuple[int, str, str]]:
    """The table of errors, a row per code: status, code and the words about a retry."""
    for status, codes, retry in re.findall(r"^\| (\d{3}) \| (.*?) \| .* \| (.*?) \|$", PAGE, re.MULTILINE):
        for code in re.findall(r"`([a-z_]+)`", codes):
            yield int(status), code, retry


def test_every_error_is_in_the_table() -> None:
    """The table has each error of the tree with its status and what a client is told about a retry, and no other."""
    import ollamamax.assembly  # noqa: F401 - imports every room, and so what they declare of their own

    tree = {(error.status, error.code, RETRY[error.retriable]) for error in errors(GatewayError)}
    assert sorted(rows()) == sorted(tree)


@pytest.mark.parametrize("app", ["native", "compatible", "control"])
def test_every_route_is_told(app: str) -> None:
    """Each route is on the page under its pattern; those of accounts and experiments are summed up."""
    # Not above: klein installs a reactor when it is imported.
    from ollamamax.web.compatible import CompatibleRoutes
    from ollamamax.web.control import ControlRoutes
    from ollamamax.web.native import NativeRoutes

    apps = {"native": NativeRoutes.app, "compatible": CompatibleRoutes.app, "control": ControlRoutes.app}
    patterns = {re.sub("<(?:path:)?([^<>]+)>", r":\1", rule.rule) for rule in apps[app].url_map.iter_rules()}
    summed_up = {name for name in patterns if name.startswith(("/api/experimental/", "/api/user/keys/"))}
    told = set(re.findall(r"(?<=[` ])(/[a-z0-9/:]*)(?=`)", PAGE))
    assert patterns - summed_up - told == set()
    assert not summed_up or all(f"{name}…`" in PAGE for name in ("/api/experimental/", "/api/user/keys/"))


def test_the_types_of_errors_are_told() -> None:
    """OpenAI's and Anthropic's types stand beside every status that an inference request can end with."""
    # Not above: it declares the errors that the table is held against.
    import ollamamax.assembly  # noqa: F401

    told = {
        int(status): (openai, anthropic)
        for statuses, openai, anthropic in re.findall(r"^\| ([\d, ]+) \| `(\w+)` \| `(\w+)` \|$", PAGE, re.MULTILINE)
        for status in statuses.split(", ")
    }
    tree = {}
    for error in errors(GatewayError):
        if error.status not in (403, 499):  # no route under /v1 is forbidden as such; a 499 reaches nobody
            found = error.__new__(error)
            openai = msgspec.json.decode(encode(found, Dialect.OPENAI, ""))["error"]["type"]
            tree[error.status] = (openai, msgspec.json.decode(encode(found, Dialect.ANTHROPIC, ""))["error"]["type"])
    assert told == tree
