"""The reader, the comparison and the runner of the documentation's console blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from console_blocks import Block, BlockError, Command, Session, differences, masked, matches, parse

PAGE = """# Title
```{toctree}
page
```
```console
$ echo one
one
$ cat <<END
> two
> three
> END
two
three
```

<!-- not run: it needs a network -->

```console
$ git clone somewhere
```

```text
$ echo not a console
```

1. In a list:

   ```console
   $ echo four
   four
   ```
"""


def test_blocks_are_read_with_their_commands_and_lines() -> None:
    """Commands, their continuations and what is shown after them are read, in lists too; other blocks are not."""
    assert parse(PAGE) == [
        Block(
            5,
            (
                Command(6, "echo one", ("one",)),
                Command(8, "cat <<END\ntwo\nthree\nEND", ("two", "three")),
            ),
        ),
        Block(18, (Command(19, "git clone somewhere", ()),), "it needs a network"),
        Block(28, (Command(29, "echo four", ("four",)),)),
    ]


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```console\nno prompt\n```\n", "line 2: a console block begins with a command"),
        ("```console\n$ echo\n", "line 1: the block does not end"),
        ("<!-- not run: why -->\ntext\n", "line 2: `not run` stands before no block"),
        ("<!-- not run: why -->\n```text\n```\n", "line 2: `not run` stands before a block that is no console"),
        ("<!-- not run: why -->\n", "the page ends with a `not run`"),
    ],
)
def test_a_block_that_cannot_be_read_is_refused(page: str, message: str) -> None:
    """What would silently not be run is an error that names its line."""
    with pytest.raises(BlockError, match=message):
        parse(page)


@pytest.mark.parametrize(
    ("shown", "actual", "same"),
    [
        ("", "", True),
        ("a", "a", True),
        ("a", "b", False),
        ("a", "a\nb", False),
        ("a\nb", "a", False),
        ("a\n", "a", True),
        ("...", "", True),
        ("...", "a\nb", True),
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("a\n...\nd", "a\nd", True),
        ("a\n...\nd", "a\nb\nc", False),
        ("...\nb\n...", "a\nb\nc", True),
        ("...\nx\n...", "a\nb\nc", False),
        ("...\nb\nc", "b\na\nb\nc", True),
        ("x\n...", "a\nb", False),
        ("a ... c", "a b c", True),
        ("a ... c", "a b d", False),
        ('{"a":1,...}', '{"a":1,"b":2}', True),
        ("a.c", "abc", False),
    ],
)
def test_what_is_shown_is_compared_line_by_line(shown: str, actual: str, same: bool) -> None:
    """Lines are compared exactly, but for `...`, which stands for lines or for text within one."""
    assert matches(shown.splitlines(), actual.splitlines()) is same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('"timestamp":"2026-11-23T05:41:18.74452785Z"', '"timestamp":"2025-10-27T10:30:00Z"'),
        ("Date: Mon, 23 Nov 2026 05:43:24 GMT", "Date: Tue, 01 Sep 2026 00:00:00 GMT"),
        ("X-Request-Id: 5f0c1f9e-8a36-4f0a-9a41-0d3c6b1c2a11", "X-Request-Id: 00000000-0000-4000-8000-000000000000"),
        ("sha256:" + "0" * 64, "sha256:" + "ab" * 32),
        ('{"total_duration":41375510,"eval_count":6}', '{"total_duration": 5,"eval_count":6}'),
        ('"wait_duration_seconds":0.0', '"wait_duration_seconds":1.5e-05'),
        ("ready after 12.3 ms", "ready after 4 ms"),
        ("ollamamax, version 0.1.0", "ollamamax, version 0.12.0"),
        ("Ollama 0.33.0-rc2", "Ollama 0.33.1"),
        ("http://127.0.0.1:40123/api", "http://127.0.0.1:5/api"),
    ],
)
def test_what_differs_from_run_to_run_is_masked(one: str, other: str) -> None:
    """Moments, identifiers, digests, durations, versions and chosen ports do not count."""
    assert masked(one) == masked(other) != one


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('"eval_count":6', '"eval_count":7'),
        ("http://127.0.0.1:8080", "http://127.0.0.1:11434"),
        ("HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found"),
        ('http_requests_total{status="200"} 3', 'http_requests_total{status="200"} 4'),
        ("listening on 127.0.0.1", "listening on 127.0.0.2"),
        ("scrape_interval: 15s # 1", "scrape_interval: 15s # 2"),
    ],
)
def test_what_does_not_differ_is_not_masked(one: str, other: str) -> None:
    """Counts, statuses, addresses and the two known ports do count."""
    assert masked(one) != masked(other)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A shell in a folder of its own, for which `localhost:8080` is another port."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with Session(tmp_path, environ, {"localhost:8080": "localhost:45678"}) as session:
        yield session


def run_page(text: str, session: Session) -> list[str]:
    """What a block of the given lines gets for complaints."""
    return differences(parse(f"```console\n{text}\n```\n"), session)


@pytest.mark.parametrize(
    "text",
    [
        "$ echo one; echo two >&2\none\ntwo",
        "$ printf 'no newline'\nno newline",
        "$ printf 'a\\n\\nb\\n'\na\n\nb",
        "$ true",
        "$ x=5\n$ echo $x\n5",
        "$ echo hello > file\n$ cat file\nhello",
        "$ false\n$ echo $?\n1",
        "$ echo http://localhost:8080/\nhttp://localhost:8080/",
        "$ cat <<END\n> a\n> END\na",
        "$ cat",
        "$ sleep 60 &\n$ echo on\non",
    ],
)
def test_a_page_that_is_true_has_no_complaints(text: str, session: Session) -> None:
    """Commands share one shell; output of both kinds is compared; nothing waits for input; statuses may be shown."""
    assert run_page(text, session) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("$ echo one\ntwo", "line 2: $ echo one\nshown:\n  | two\nprinted (status 0):\n  | one"),
        ("$ false", "line 2: $ false\nended with status 1"),
        ("$ echo one\none\n$ ls absent-file 2>/dev/null", "line 4: $ ls absent-file 2>/dev/null\nended with status 2"),
    ],
)
def test_a_page_that_is_not_true_is_told(text: str, complaint: str, session: Session) -> None:
    """Another output and a failure that the page does not show are told with line, command and both outputs."""
    assert run_page(text, session) == [complaint]


def test_a_command_is_given_the_real_address(session: Session, tmp_path: Path) -> None:
    """The page's address is the real server's for the command, and the page's again in the output."""
    assert run_page("$ echo localhost:8080 > file\n$ wc -c < file\n16", session) == []
    assert (tmp_path / "file").read_text() == "localhost:45678\n"


def test_a_block_that_is_not_run_is_left_out(session: Session) -> None:
    """A marked block runs nothing."""
    assert differences(parse("<!-- not run: why -->\n```console\n$ false\n```\n"), session) == []


def test_a_command_that_hangs_is_ended(session: Session) -> None:
    """A command that takes too long is an error with what it had printed."""
    with pytest.raises(TimeoutError, match="printed: begun"):
        session.run("echo begun; sleep 60", timeout_seconds=0.5)


def test_a_shell_that_ended_is_told(session: Session) -> None:
    """A command that ends the shell is an error, not an endless wait."""
    with pytest.raises(ChildProcessError, match="the shell ended"):
        session.run("exit 3")
