"""The shell sessions in the documentation: read out of it, run, and compared with what it shows.

A block looks like this:

    ```console
    $ curl -s http://localhost:8080/health
    {"status":"ok"}
    ```

Lines after a prompt `$ ` are the command's output as shown; a command goes on over lines that begin with `> `. A shown
line of `...` stands for any number of lines, `...` within a line for any text. What differs from run to run is masked
on both sides by the table `MASKS`. All blocks of a page are one session of bash, so that a variable or a file of one
block is there in the next. A command whose exit status is not 0 fails the page, unless the next one is `echo $?`.

A block that cannot be run is preceded by `<!-- not run: the reason -->`.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

PROMPT, CONTINUATION, ANYTHING = "$ ", "> ", "..."
_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})\s*(?P<language>[^\s`]*)[^`]*$")
_NOT_RUN = re.compile(r"^\s*<!--\s*not run:\s*(?P<reason>.+?)\s*-->\s*$")

# What differs from run to run: why, how it is recognised, what stands in its place. The order matters: earlier first.
MASKS: Sequence[tuple[str, re.Pattern[str], str]] = [
    (
        "a moment, RFC 3339",
        re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?"),
        "<time>",
    ),
    (
        "a moment, as in an HTTP head",
        re.compile(r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"),
        "<time>",
    ),
    (
        "an identifier of a request",
        re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"),
        "<uuid>",
    ),
    ("a digest", re.compile(r"\b(?:sha256[:-])?[0-9a-f]{64}\b"), "<digest>"),
    (
        "a duration in JSON (Ollama's in nanoseconds, the gateway's in seconds)",
        re.compile(r'("[a-z_]*(?:duration|seconds|_ms)"): ?-?\d+(?:\.\d+)?(?:e[+-]?\d+)?'),
        r"\1:<duration>",
    ),
    ("a duration in words", re.compile(r"\b\d+(?:\.\d+)? ?(?:ns|µs|us|ms|s|seconds)\b"), "<duration>"),
    ("a version", re.compile(r"(?<![\d.])\d+\.\d+\.\d+(?:[a-z]+\d+|-[\w.]+)?(?![.\d])"), "<version>"),
    ("a port that the machine chose", re.compile(r"(127\.0\.0\.1|localhost):(?!8080\b|11434\b)\d+"), r"\1:<port>"),
]


@attrs.frozen
class Command:
    """One command of a block.

    Attributes:
        line: where it stands in its page, counted from 1.
        text: what is given to the shell.
        shown: the output that the page shows, line by line.
    """

    line: int
    text: str
    shown: tuple[str, ...]


@attrs.frozen
class Block:
    """One console block of a page.

    Attributes:
        line: where it begins in its page, counted from 1.
        commands: what it runs.
        not_run: why it is not run; None for a block that is.
    """

    line: int
    commands: tuple[Command, ...]
    not_run: str | None = None


class BlockError(ValueError):
    """A block that cannot be read; the text says where and why."""


def parse(text: str) -> list[Block]:
    """Reads the console blocks of a page.

    Args:
        text: the page, as Markdown.

    Raises:
        BlockError: for a block that does not begin with a command or does not end, and for a marker before no block.
    """
    blocks: list[Block] = []
    reason: str | None = None
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        marker = _NOT_RUN.match(line)
        fence = _FENCE.match(line)
        if marker is not None:
            reason = marker["reason"]
        elif fence is not None:
            content = list(_until(lines, fence, number))
            if fence["language"] == "console":
                blocks.append(Block(number, tuple(_commands(content)), reason))
            elif reason is not None:
                raise BlockError(f"line {number}: `not run` stands before a block that is no console")
            reason = None
        elif line.strip() and reason is not None:
            raise BlockError(f"line {number}: `not run` stands before no block")
    if reason is not None:
        raise BlockError("the page ends with a `not run`")
    return blocks


def _until(lines: Iterator[tuple[int, str]], opening: re.Match[str], start: int) -> Iterator[tuple[int, str]]:
    """The lines of a fenced block, without its indentation."""
    for number, line in lines:
        if line.strip() == opening["fence"]:
            return
        yield number, line.removeprefix(opening["indent"])
    raise BlockError(f"line {start}: the block does not end")


def _commands(content: Sequence[tuple[int, str]]) -> Iterator[Command]:
    """The commands of a block's lines, each with what is shown after it."""
    number, text = 0, ""
    shown: list[str] = []
    for line, words in content:
        if words.startswith(PROMPT):
            if text:
                yield Command(number, text, tuple(shown))
            number, text, shown = line, words.removeprefix(PROMPT), []
        elif not text:
            raise BlockError(f"line {line}: a console block begins with a command (`$ …`)")
        elif words.startswith(CONTINUATION) and not shown:
            text += "\n" + words.removeprefix(CONTINUATION)
        else:
            shown.append(words.rstrip())
    if text:
        yield Command(number, text, tuple(shown))


def masked(line: str) -> str:
    """A line without what differs from run to run."""
    for _, pattern, place in MASKS:
        line = pattern.sub(place, line)
    return line.rstrip()


def matches(shown: Sequence[str], actual: Sequence[str]) -> bool:
    """Whether what a command printed is what the page shows.

    Args:
        shown: the page's lines; a line of `...` stands for any number of lines, `...` within one for any text.
        actual: the lines that were printed.
    """
    wanted = _without_blank_end(shown)
    printed = _without_blank_end(actual)
    # reach[j]: the lines shown so far match the first j printed ones.
    reach = [True] + [False] * len(printed)
    for line in wanted:
        if line.strip() == ANYTHING:
            first = reach.index(True) if True in reach else len(reach)
            reach = [j >= first for j in range(len(reach))]
        else:
            pattern = re.compile(".*".join(re.escape(part) for part in masked(line).split(ANYTHING)))
            fits = [pattern.fullmatch(masked(text)) is not None for text in printed]
            reach = [False, *(reach[j] and fits[j] for j in range(len(printed)))]
    return reach[-1]


def _without_blank_end(lines: Sequence[str]) -> list[str]:
    """Lines without the empty ones at their end."""
    kept = list(lines)
    while kept and not kept[-1].strip():
        kept.pop()
    return kept


@attrs.frozen
class Outcome:
    """What a command did: its output's lines, and its exit status."""

    lines: tuple[str, ...]
    status: int


class Session:
    """A bash that runs one command after the other and tells what each printed.

    Args:
        folder: where it starts.
        environ: its environment, whole.
        replaced: texts of the page and what stands for them in the commands (`localhost:8080` and the real port); the
            other way round in the output.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], replaced: Mapping[str, str]) -> None:
        self._replaced = dict(replaced)
        self._mark = f"--{uuid.uuid4().hex}--"
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends bash and whatever it left running."""
        with suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.communicate()

    def run(self, command: str, timeout_seconds: float = 60.0) -> Outcome:
        """Runs a command and waits for its end.

        Args:
            command: the command, as the page has it.
            timeout_seconds: how long it may take.

        Raises:
            TimeoutError: when it takes longer, with what it had printed.
            ChildProcessError: when the shell ended.
        """
        for text, real in self._replaced.items():
            command = command.replace(text, real)
        assert self._bash.stdin is not None
        # The mark comes on a line of its own, whether or not the output ended with one; `$?` survives it.
        script = f'{{ {command}\n}} </dev/null; __s=$?; printf \'\\n{self._mark}%s\\n\' "$__s"; (exit "$__s")\n'
        self._bash.stdin.write(script.encode())
        self._bash.stdin.flush()
        output, status = self._read(timeout_seconds)
        for text, real in self._replaced.items():
            output = output.replace(real, text)
        return Outcome(tuple(output.splitlines()), status)

    def _read(self, timeout_seconds: float) -> tuple[str, int]:
        """What is printed up to the mark, and the status after it."""
        assert self._bash.stdout is not None
        end = re.compile(rb"\n" + self._mark.encode() + rb"(\d+)\n")
        deadline = time.monotonic() + timeout_seconds
        printed = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._bash.stdout, selectors.EVENT_READ)
            while (found := end.search(printed)) is None:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError(
                        f"not over after {timeout_seconds:g} s; printed: {printed.decode(errors='replace')}"
                    )
                data = os.read(self._bash.stdout.fileno(), 65536)
                if not data:
                    raise ChildProcessError(f"the shell ended; printed: {printed.decode(errors='replace')}")
                printed += data
        return printed[: found.start()].decode(errors="replace"), int(found[1])


def differences(blocks: Sequence[Block], session: Session) -> list[str]:
    """Runs the blocks of a page and compares.

    Args:
        blocks: the page's; those that are marked as not run are left out.
        session: the shell that runs them, in which they are one after the other.

    Returns:
        A text per command whose output or status is another than shown; empty for a page that is true.
    """
    commands = [command for block in blocks if block.not_run is None for command in block.commands]
    found = []
    for place, command in enumerate(commands, start=1):
        after = commands[place].text if place < len(commands) else ""
        outcome = session.run(command.text)
        if not matches(command.shown, outcome.lines):
            found.append(_difference(command, outcome))
        elif outcome.status and after.strip() != "echo $?":
            found.append(f"line {command.line}: $ {command.text}\nended with status {outcome.status}")
    return found


def _difference(command: Command, outcome: Outcome) -> str:
    """A command's complaint, with both outputs."""
    shown = "\n".join(f"  | {line}" for line in command.shown)
    actual = "\n".join(f"  | {line}" for line in outcome.lines)
    head = f"line {command.line}: $ {command.text}"
    return f"{head}\nshown:\n{shown}\nprinted (status {outcome.status}):\n{actual}"
