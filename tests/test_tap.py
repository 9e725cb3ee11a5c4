"""The plugin's options, and what is refused before a server is made."""

from __future__ import annotations

import pytest
from twisted.application.service import IServiceMaker
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import getPlugins
from twisted.python.usage import Options as UsageOptions

from ollamamax import __version__
from ollamamax.tap import Options, keep_time, makeService


def test_options_are_given_by_the_settings_names() -> None:
    """What was not given is None; nodes are repeated."""
    options = Options()
    options.parseOptions(["--node", "a=http://a:1", "--listen", "tcp:0", "--node=b=http://b:2", "--simulate", "auto"])
    assert options.given() == {
        "config": None,
        "listen": "tcp:0",
        "nodes": ["a=http://a:1", "b=http://b:2"],
        "database": None,
        "simulate": "auto",
    }
    assert Options().given()["nodes"] == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--lisen", "x"], "ollamamax: option --lisen not recognized"),
        (["--listen"], "ollamamax: option --listen requires argument"),
        (["start"], 'ollamamax: unexpected argument "start"; --help lists the options'),
    ],
)
def test_a_wrong_command_line_ends_with_one_line(arguments: list[str], line: str) -> None:
    """No usage, no traceback: a text in SystemExit is printed on standard error, with status 1."""
    with pytest.raises(SystemExit) as caught:
        Options().parseOptions(arguments)
    assert caught.value.code == line


def test_the_version_is_the_programs_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Not Twisted's."""
    with pytest.raises(SystemExit) as caught:
        Options().parseOptions(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"OllamaMax {__version__}\n"


def test_the_help_names_every_option() -> None:
    """Each with its default."""
    text = str(Options())
    for option in ("--config=", "--listen=", "--node=", "--database=", "--simulate="):
        assert option in text
    assert text.count("[default:") == 5


def test_the_pid_file_is_twistds() -> None:
    """Known from the options above; `twist` has none."""
    options = Options()
    assert options.pid_file() == ""
    options.parent = UsageOptions()
    assert options.pid_file() == ""
    options.parent["pidfile"] = "/run/x.pid"
    assert options.pid_file() == "/run/x.pid"


def test_a_daemon_is_what_twistd_makes_one() -> None:
    """`twistd` without `-n`; never `twist`."""
    options = Options()
    assert not options.daemonizes()
    options.parent = UsageOptions()
    assert not options.daemonizes()
    options.parent["nodaemon"] = 0
    assert options.daemonizes()
    options.parent["nodaemon"] = 1
    assert not options.daemonizes()


def test_the_plugin_offers_this_module() -> None:
    """As `twistd` finds it."""
    makers = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "ollamamax"]
    assert [maker.options for maker in makers] == [Options]
    assert makers[0].makeService is makeService


def test_wrong_settings_end_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything of the server is imported or the reactor touched."""
    monkeypatch.delenv("OLLAMAMAX_LISTEN", raising=False)
    options = Options()
    options.parseOptions(["--listen", "tcp:x"])
    with pytest.raises(SystemExit) as caught:
        makeService(options)
    expected = (
        'ollamamax: listen (from --listen): "tcp:x" has no port from 0 to 65535; expected tcp:PORT:interface=ADDRESS'
    )
    assert caught.value.code == expected


def test_timers_run_on_the_monotonic_clock() -> None:
    """A step of the wall clock moves no timer."""
    reactor = MemoryReactorClock()
    keep_time(reactor)  # type: ignore[arg-type]
    before = reactor.seconds()
    assert 0 < before <= reactor.seconds() < before + 5
