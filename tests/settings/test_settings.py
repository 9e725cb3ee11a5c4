"""Loading: which source wins, what is refused in one line, and what may be shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from ollamamax.settings import LEAVES, LoadedSettings, NodeSettings, Settings, SettingsError, load

HOME = {"HOME": "/home/ada"}


def files(**content: str) -> Callable[[str], str]:
    """A disk that holds some files, named by their last part without its suffix."""

    def read(path: str) -> str:
        name = path.rpartition("/")[2].partition(".")[0]
        if name not in content:
            raise FileNotFoundError(2, "No such file or directory")
        return content[name]

    return read


def loaded(
    options: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None, **content: str
) -> LoadedSettings:
    """Settings from some options, some variables and some files, at home."""
    return load(options or {}, {**HOME, **(environ or {})}, files(**content))


def refusal(
    options: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None, **content: str
) -> str:
    """The one line with which settings are refused."""
    with pytest.raises(SettingsError) as caught:
        loaded(options, environ, **content)
    line = str(caught.value)
    assert "\n" not in line
    return line


def row(settings: LoadedSettings, name: str) -> Mapping[str, object]:
    """What is shown of one setting."""
    rows = settings.public()["settings"]
    assert isinstance(rows, list)
    found: Mapping[str, object] = next(one for one in rows if one["name"] == name)
    return found


# Where values come from.


def test_with_nothing_given_every_setting_is_its_default() -> None:
    """Nothing given is a usable server: loopback, Ollama's own address, everything else as declared."""
    result = loaded()
    assert result.settings.listen == "tcp:8080:interface=127.0.0.1"
    assert result.settings.nodes == (NodeSettings(name="ollama", url="http://127.0.0.1:11434"),)
    assert result.settings.limits.max_body_bytes == 67108864
    assert result.settings.limits.max_blob_bytes is None
    assert set(result.sources.values()) == {"default"}
    assert set(result.sources) == set(LEAVES)


@pytest.mark.parametrize(
    ("options", "environ", "expected", "source"),
    [
        ({"listen": "unix:/a"}, {"OLLAMAMAX_LISTEN": "unix:/b"}, "unix:/a", "--listen"),
        ({"listen": None}, {"OLLAMAMAX_LISTEN": "unix:/b"}, "unix:/b", "OLLAMAMAX_LISTEN"),
        ({}, {"OLLAMAMAX_LISTEN": ""}, "unix:/c", "/etc/ollamamax/ollamamax.toml"),
    ],
)
def test_options_win_over_variables_over_the_file(
    options: Mapping[str, object], environ: Mapping[str, str], expected: str, source: str
) -> None:
    """The order of the sources; an empty variable is none."""
    result = loaded(options, environ, ollamamax='listen = "unix:/c"')
    assert result.settings.listen == expected
    assert result.sources["listen"] == source


def test_the_file_is_the_one_named_by_option_then_variable_then_the_usual_place() -> None:
    """Which file is read."""
    disk = {"a": "drain_seconds = 1", "b": "drain_seconds = 2", "ollamamax": "drain_seconds = 3"}
    option, variable = {"config": "/x/a.toml"}, {"OLLAMAMAX_CONFIG": "/x/b.toml"}
    assert loaded(option, variable, **disk).settings.drain_seconds == 1
    assert loaded({}, variable, **disk).settings.drain_seconds == 2
    assert loaded({}, {}, **disk).settings.drain_seconds == 3
    assert loaded(option, variable, **disk).sources["drain_seconds"] == "/x/a.toml"


def test_every_section_can_be_set_from_file_and_environment() -> None:
    """Settings of a section, from a table and from variables, mixed."""
    result = loaded(
        {},
        {"OLLAMAMAX_TIMEOUTS_IDLE_SECONDS": "7.5", "OLLAMAMAX_LIMITS_MAX_BODY_BYTES": "2 KiB"},
        ollamamax='[limits]\nmax_body_bytes = 5\nmax_blob_bytes = "1 GB"\n[probe]\ninterval_seconds = 9\n',
    )
    assert result.settings.timeouts.idle_seconds == 7.5
    assert result.settings.timeouts.connect_seconds == 2.0
    assert result.settings.limits.max_body_bytes == 2048
    assert result.settings.limits.max_blob_bytes == 1000**3
    assert result.settings.probe.interval_seconds == 9.0
    assert result.sources["limits.max_body_bytes"] == "OLLAMAMAX_LIMITS_MAX_BODY_BYTES"
    assert result.sources["limits.max_blob_bytes"] == "/etc/ollamamax/ollamamax.toml"


def test_nodes_are_taken_whole_from_one_source() -> None:
    """Nodes from a table, from a variable, from options; never mixed."""
    table = '[nodes.desk]\nurl = "http://10.0.0.1:11434"\n[nodes.rack]\nurl = "http://rack:1"\n'
    variable = {"OLLAMAMAX_NODES": "b=http://b:2, c=http://c:3"}
    option = {"nodes": ["x=http://x:4/a=b"]}
    assert [(node.name, node.url) for node in loaded({}, {}, ollamamax=table).settings.nodes] == [
        ("desk", "http://10.0.0.1:11434"),
        ("rack", "http://rack:1"),
    ]
    assert [node.name for node in loaded({}, variable, ollamamax=table).settings.nodes] == ["b", "c"]
    assert loaded({}, variable).settings.nodes[1].url == "http://c:3"
    assert loaded(option, variable, ollamamax=table).settings.nodes == (NodeSettings(name="x", url="http://x:4/a=b"),)
    assert loaded(option).sources["nodes"] == "--node"
    assert loaded({"nodes": []}, variable).sources["nodes"] == "OLLAMAMAX_NODES"


def test_a_node_may_say_its_sizes() -> None:
    """In the file, as other sizes are written; a node without them has none."""
    table = '[nodes.a]\nurl = "http://a"\nmemory_bytes = "24 GiB"\ndisk_bytes = 1000\n[nodes.b]\nurl = "http://b"'
    first, second = loaded({}, {}, ollamamax=table).settings.nodes
    assert (first.memory_bytes, first.disk_bytes) == (24 * 1024**3, 1000)
    assert (second.memory_bytes, second.disk_bytes) == (None, None)


def test_a_models_own_timeouts_replace_only_what_they_name() -> None:
    """`timeouts_for` by the normalised name; every other model has the general ones."""
    table = '[timeouts]\nidle_seconds = 5\n[models."Llama3.2"]\nfirst_byte_seconds = 900\n'
    settings = loaded({}, {}, ollamamax=table).settings
    own = settings.timeouts_for("llama3.2:latest")
    assert (own.first_byte_seconds, own.idle_seconds, own.connect_seconds) == (900.0, 5.0, 2.0)
    assert settings.timeouts_for("other:latest") is settings.timeouts


def test_the_disk_is_read_where_no_reader_is_given(tmp_path: object) -> None:
    """Without a reader of its own, files come from the disk."""
    path = f"{tmp_path}/settings.toml"
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123 - a path as a user writes it
        file.write('client_address = "off"')
    assert load({"config": path}, HOME).settings.client_address == "off"


# The database.


def test_the_database_may_stand_in_a_file() -> None:
    """`database_file` is the URL's other form, and the source says which file."""
    result = loaded({}, {"OLLAMAMAX_DATABASE_FILE": "/run/secret"}, secret="sqlite:////var/x.db\n")
    assert result.settings.database == "sqlite:////var/x.db"
    assert result.settings.database_file == "/run/secret"
    assert result.sources["database"] == "/run/secret, named by OLLAMAMAX_DATABASE_FILE"


def test_a_database_wins_over_a_database_file_of_a_lower_source() -> None:
    """The order of the sources holds for the two forms together."""
    result = loaded({"database": "sqlite:////a.db"}, {"OLLAMAMAX_DATABASE_FILE": "/run/secret"})
    assert result.settings.database == "sqlite:////a.db"
    assert result.settings.database_file == ""
    assert result.sources["database_file"] == "default"
    below = loaded({}, {"OLLAMAMAX_DATABASE_FILE": "/run/secret"}, ollamamax='database = "x"', secret="sqlite:////b.db")
    assert below.settings.database == "sqlite:////b.db"


def test_both_forms_of_the_database_in_one_source_are_refused() -> None:
    """Which of the two is meant cannot be known."""
    both = {"OLLAMAMAX_DATABASE_FILE": "/run/secret", "OLLAMAMAX_DATABASE": "sqlite:////a.db"}
    expected = "database_file (from OLLAMAMAX_DATABASE_FILE): is given beside database; expected one of the two"
    assert refusal({}, both) == expected


def test_a_database_file_that_is_missing_or_wrong_is_refused() -> None:
    """The file's own defects have a line that names it."""
    variable = {"OLLAMAMAX_DATABASE_FILE": "/run/secret"}
    assert refusal({}, variable) == (
        "database_file (from OLLAMAMAX_DATABASE_FILE): /run/secret cannot be read: No such file or directory; "
        "expected a file that holds the database's URL"
    )
    line = refusal({}, variable, secret="mysql://ada:geheim@db/x")
    assert line == (
        'database (from /run/secret, named by OLLAMAMAX_DATABASE_FILE): "mysql://ada:***@db/x" is not the URL of a '
        "database; expected sqlite:///PATH or postgresql://USER@HOST/DATABASE"
    )


# Where state is kept.


@pytest.mark.parametrize(
    ("environ", "directory", "source"),
    [
        ({}, "/home/ada/.local/state/ollamamax", "default"),
        ({"XDG_STATE_HOME": "/s"}, "/s/ollamamax", "XDG_STATE_HOME"),
        ({"XDG_STATE_HOME": "relative"}, "/home/ada/.local/state/ollamamax", "default"),
        ({"XDG_STATE_HOME": "/s", "STATE_DIRECTORY": "/var/lib/a:/b"}, "/var/lib/a", "STATE_DIRECTORY"),
        (
            {"STATE_DIRECTORY": "/a", "OLLAMAMAX_STATE_DIRECTORY": "/mine"},
            "/mine",
            "OLLAMAMAX_STATE_DIRECTORY",
        ),
    ],
)
def test_state_is_kept_where_the_environment_says(environ: Mapping[str, str], directory: str, source: str) -> None:
    """The setting, else systemd's directory, else XDG's, else under the home."""
    result = loaded({}, environ)
    assert (result.settings.state_directory, result.sources["state_directory"]) == (directory, source)


def test_no_place_for_state_is_refused() -> None:
    """A service without a home has to be told where its state goes."""
    with pytest.raises(SettingsError, match="state_directory: none of STATE_DIRECTORY, XDG_STATE_HOME and HOME"):
        load({}, {}, files())
    assert load({"state_directory": "/x"}, {}, files()).settings.state_directory == "/x"
    assert refusal({"state_directory": "x/y"}).startswith('state_directory (from --state-directory): "x/y" is no abs')


# Who may connect.


@pytest.mark.parametrize(
    "listen",
    ["tcp:8080", "tcp:8080:interface=0.0.0.0", r"tcp6:8080:interface=\:\:", "tcp:8080:interface=192.168.1.2"],
)
def test_listening_beyond_loopback_is_refused_unless_authentication_is_off(listen: str) -> None:
    """The refusal says why and how; `auth = "off"` in so many words lets it pass, from every source."""
    line = refusal({"listen": listen})
    assert line.startswith("listen (from --listen): ")
    assert "nobody would have to authenticate" in line
    assert 'auth = "off" in the file or OLLAMAMAX_AUTH=off' in line
    assert loaded({"listen": listen}, {"OLLAMAMAX_AUTH": "off"}).settings.listen == listen
    assert loaded({"listen": listen}, {}, ollamamax='auth = "off"').settings.auth == "off"


@pytest.mark.parametrize(("text", "value"), [("true", True), (" false ", False)])
def test_a_switch_as_a_variable(text: str, value: bool) -> None:
    """As TOML writes it; a file may write it as text, too."""
    assert loaded({}, {"OLLAMAMAX_RETRIES_UNSTARTED": text}).settings.retries.unstarted is value
    written = loaded({}, {}, ollamamax=f'retries.unstarted = "{text}"')
    assert written.settings.retries.unstarted is value


# What is refused.


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        (
            {"OLLAMAMAX_LISTEN": "tcp:x"},
            'listen (from OLLAMAMAX_LISTEN): "tcp:x" has no port from 0 to 65535; expected tcp:PORT:interface=ADDRESS',
        ),
        ({"OLLAMAMAX_LISTN": "x"}, 'OLLAMAMAX_LISTN: no such setting; did you mean "OLLAMAMAX_LISTEN"?'),
        ({"OLLAMAMAX_QQQ": "x"}, "OLLAMAMAX_QQQ: no such setting; docs/settings.md lists them all"),
        ({"OLLAMAMAX_MODELS": "x"}, "OLLAMAMAX_MODELS: is no variable; expected this setting in the file"),
        (
            {"OLLAMAMAX_RETRIES_UNSTARTED": "no"},
            'retries.unstarted (from OLLAMAMAX_RETRIES_UNSTARTED): "no" cannot be used; expected true or false',
        ),
        (
            {"OLLAMAMAX_RETRIES_BUDGET_RATIO": "1.1"},
            (
                'retries.budget_ratio (from OLLAMAMAX_RETRIES_BUDGET_RATIO): "1.1" cannot be used; expected a number, '
                "at least 0, at most 1"
            ),
        ),
        (
            {"OLLAMAMAX_RETRIES_BUDGET_MINIMUM": "-1"},
            (
                'retries.budget_minimum (from OLLAMAMAX_RETRIES_BUDGET_MINIMUM): "-1" cannot be used; expected a whole '
                "number, at least 0"
            ),
        ),
        (
            {"OLLAMAMAX_AUTH": "on"},
            'auth (from OLLAMAMAX_AUTH): "on" cannot be used; expected "beyond_loopback" or "off"',
        ),
        (
            {"OLLAMAMAX_NODES": "a=http://h:1,a=http://i:1"},
            'nodes (from OLLAMAMAX_NODES): "a" names two nodes; expected a name of its own for each',
        ),
        (
            {"OLLAMAMAX_NODES": "http://h:1/?a=b"},
            (
                'nodes (from OLLAMAMAX_NODES): "http://h:1/?a=b" cannot be used; expected NAME=URL as in '
                "desk=http://192.168.1.4:11434; in the file a table [nodes.NAME] with url"
            ),
        ),
        (
            {"OLLAMAMAX_LIMITS_MAX_BODY_BYTES": "1 GiB"},
            (
                "limits.max_body_bytes (from OLLAMAMAX_LIMITS_MAX_BODY_BYTES): limits.max_body_bytes (1073741824) is "
                "above limits.body_memory_bytes (536870912); expected less"
            ),
        ),
        (
            {"OLLAMAMAX_LIMITS_BODY_MEMORY_BYTES": "1 MiB"},
            (
                "limits.body_memory_bytes (from OLLAMAMAX_LIMITS_BODY_MEMORY_BYTES): limits.max_body_bytes (67108864) "
                "is above limits.body_memory_bytes (1048576); expected less"
            ),
        ),
        (
            {"OLLAMAMAX_TRUSTED_NETWORKS": "10.0.0.0/8,10.0.0.1/8"},
            (
                'trusted_networks (from OLLAMAMAX_TRUSTED_NETWORKS): "10.0.0.1/8" is no network; expected one like '
                "10.0.0.0/8, without host bits"
            ),
        ),
    ],
)
def test_a_wrong_variable_is_refused_in_one_line(environ: Mapping[str, str], line: str) -> None:
    """The setting, where it came from, what it was and what it should be."""
    assert refusal({}, environ) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("listen =", "config (from {path}): {path} is not TOML: Invalid value (at end of document)"),
        ("lisen = 1", 'lisen (from {path}): no such setting; did you mean "listen"?'),
        ("connect_seconds = 1", 'connect_seconds (from {path}): no such setting; did you mean "timeouts.connect_'),
        (
            "[limits]\nmax_bdy_bytes = 1",
            'limits.max_bdy_bytes (from {path}): no such setting; did you mean "limits.max',
        ),
        ("limits = 3", "limits (from {path}): is a group of settings; expected a table [limits]"),
        ('nodes = "http://x"', 'nodes (from {path}): "http://x" cannot be used; expected NAME=URL'),
        ("nodes = 4", "nodes (from {path}): 4 cannot be used; expected NAME=URL"),
        ("nodes = [4]", "nodes (from {path}): 4 cannot be used; expected NAME=URL"),
        ("[nodes]\ndesk = 4", "nodes (from {path}): 4 cannot be used; expected NAME=URL"),
        ('[nodes.desk]\nulr = "x"', 'nodes.desk.ulr (from {path}): no such setting; did you mean "url"?'),
        ("[nodes.desk]", "nodes.desk.url (from {path}): is missing or no text; expected a node's URL"),
        ("[nodes.desk]\nurl = 4", "nodes.desk.url (from {path}): is missing or no text; expected a node's URL"),
        ('[nodes.a]\nname = "b"', "nodes.a.name (from {path}): no such setting; "),
        (
            '[nodes.a]\nurl = "http://x"\nmemory_bytes = "much"',
            'nodes.a.memory_bytes (from {path}): "much" is no size; expected bytes, or a size like "64 MiB"',
        ),
        (
            '[nodes.a]\nurl = "http://x"\ndisk_bytes = 0',
            "nodes.a.disk_bytes (from {path}): 0 cannot be used; expected bytes, or a size like",
        ),
        ('[nodes."a b"]\nurl = "http://x"', 'nodes (from {path}): "a b" is no name for a node; expected 1 to 64 of'),
        ('[nodes.a]\nurl = "ftp://x"', 'nodes (from {path}): "ftp://x" is not a node\'s URL: expected a URL like'),
        ("models = 4", 'models (from {path}): 4 cannot be used; expected a table [models."NAME"]'),
        ("[models]\nx = 4", 'models (from {path}): 4 cannot be used; expected a table [models."NAME"]'),
        (
            "[models.x]\nidle_second = 4",
            'models.x.idle_second (from {path}): no such setting; did you mean "idle_seconds"?',
        ),
        ("[models.x]\nconnect_seconds = 4", "models.x.connect_seconds (from {path}): no such setting; "),
        (
            "[models.x]\nidle_seconds = 0",
            "models.x.idle_seconds (from {path}): 0 cannot be used; expected a number of seconds, above 0",
        ),
        ("[models.x]\n[models.X]", 'models (from {path}): "X" is a model named twice; expected one table for each'),
        ("drain_seconds = inf", "drain_seconds (from {path}): Infinity cannot be used; expected a number of seconds, "),
        ("drain_seconds = true", "drain_seconds (from {path}): true cannot be used; expected a number of seconds, "),
        (
            'drain_seconds = "soon"',
            'drain_seconds (from {path}): "soon" cannot be used; expected a number of seconds, ',
        ),
        ('[limits]\nmax_head_bytes = "1 QB"', 'limits.max_head_bytes (from {path}): "1 QB" is no size; expected bytes'),
        ("listen = 8080", "listen (from {path}): 8080 cannot be used; expected text"),
        ("listen = 2026-01-01", 'listen (from {path}): "2026-01-01" cannot be used; expected text'),
        ("allowed_hosts = [4]", "allowed_hosts (from {path}): [4] cannot be used; expected a list of text"),
        ("simulate = -1", "simulate (from {path}): -1 cannot be used; expected a count from 0 to 64, or auto"),
        ('simulate = "all"', 'simulate (from {path}): "all" cannot be used; expected a count from 0 to 64, or auto'),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(text: str, line: str) -> None:
    """What a file may not hold, each with the words that help."""
    assert refusal({}, {}, ollamamax=text).startswith(line.format(path="/etc/ollamamax/ollamamax.toml"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied"), "/etc/ollamamax/ollamamax.toml cannot be read: Permission denied"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "/etc/ollamamax/ollamamax.toml is not UTF-8 text"),
        (OSError(), "/etc/ollamamax/ollamamax.toml cannot be read: input/output error"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(error: Exception, words: str) -> None:
    """In its usual place too: a file that is there is meant."""

    def read(path: str) -> str:
        raise error

    with pytest.raises(SettingsError) as caught:
        load({}, HOME, read)
    assert str(caught.value) == f"config (from /etc/ollamamax/ollamamax.toml): {words}; expected a TOML file"


@pytest.mark.parametrize(
    ("options", "environ", "origin"),
    [({"config": "/no.toml"}, {}, "--config"), ({}, {"OLLAMAMAX_CONFIG": "/no.toml"}, "OLLAMAMAX_CONFIG")],
)
def test_a_named_file_has_to_exist(options: Mapping[str, object], environ: Mapping[str, str], origin: str) -> None:
    """Only the usual place may be empty."""
    expected = f"config (from {origin}): /no.toml cannot be read: No such file or directory; expected a TOML file"
    assert refusal(options, environ) == expected


def test_an_unknown_option_is_refused() -> None:
    """As an unknown variable is."""
    assert refusal({"lissten": "x"}) == 'lissten (from --lissten): no such setting; did you mean "listen"?'


def test_variables_of_commands_and_tests_are_no_settings() -> None:
    """What has another use is left alone."""
    names = ("OLLAMAMAX_URL", "OLLAMAMAX_API_KEY", "OLLAMAMAX_TEST_NODES", "OLLAMA_HOST")
    assert set(loaded({}, dict.fromkeys(names, "x")).sources.values()) == {"default"}


def test_a_long_value_is_cut_in_the_line() -> None:
    """A line stays a line."""
    assert len(refusal({}, {"OLLAMAMAX_AUTH": "x" * 10_000})) < 400


# What may be shown.


def test_public_shows_every_setting_with_source_and_default() -> None:
    """One row per setting, in JSON's types."""
    result = loaded({"simulate": "2"}, {"OLLAMAMAX_ALLOWED_HOSTS": "a.example,b.example"})
    assert json.loads(json.dumps(result.public())) == result.public()
    assert row(result, "simulate") == {"name": "simulate", "value": 2, "source": "--simulate", "default": 0}
    assert row(result, "allowed_hosts")["value"] == ["a.example", "b.example"]
    assert row(result, "nodes")["value"] == [
        {"name": "ollama", "url": "http://127.0.0.1:11434", "memory_bytes": None, "disk_bytes": None}
    ]
    assert row(result, "limits.max_blob_bytes")["value"] is None
    assert row(result, "timeouts.connect_seconds")["default"] == 2.0
    names = [one["name"] for one in result.public()["settings"]]  # type: ignore[attr-defined]
    assert names == list(LEAVES)


def test_a_password_is_never_shown() -> None:
    """Neither in what is shown nor in a refusal."""
    settings = Settings(database="sqlite://ada:ge@heim@h/x")
    shown = LoadedSettings(settings, dict.fromkeys(LEAVES, "default"))
    assert row(shown, "database")["value"] == "sqlite://ada:***@h/x"
    for name in ("database", "listen", "client_address"):
        line = refusal({name: "mysql://ada:ge@heim@h/x"})
        assert "heim" not in line
        assert "ada:***@h/x" in line


def test_a_models_table_is_shown() -> None:
    """Nested tables are shown by their normalised names, without what was not set being a number."""
    shown = row(loaded({}, {}, ollamamax="[models.x]\nidle_seconds = 4"), "models")["value"]
    assert shown == {
        "x:latest": {
            "first_byte_seconds": None,
            "load_seconds": None,
            "idle_seconds": 4.0,
            "whole_response_seconds": None,
        }
    }
