"""Where settings come from: options, `OLLAMAMAX_*` variables, a TOML file.

Pure: the environment and the reading of files are arguments. Each source becomes a mapping of dotted names
(`limits.max_body_bytes`) to what was given and where; a name that no setting has is refused, with the nearest one.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping

import attrs

PREFIX = "OLLAMAMAX_"
DEFAULT_CONFIG = "/etc/ollamamax/ollamamax.toml"
FILE_ONLY = frozenset({"models"})

_RESERVED = frozenset({"OLLAMAMAX_CONFIG", "OLLAMAMAX_URL", "OLLAMAMAX_API_KEY"})
_RESERVED_PREFIX = "OLLAMAMAX_TEST_"
_OPTION_NAMES = {"nodes": "--node"}

ReadFile = Callable[[str], str]


class SettingsError(ValueError):
    """Settings that cannot be used: one line that names the setting, where it came from and what it should be."""

    def __init__(self, name: str, origin: str | None, problem: str) -> None:
        where = f" (from {origin})" if origin else ""
        super().__init__(" ".join(f"{name}{where}: {problem}".split()))
        self.name = name
        self.origin = origin


@attrs.frozen
class Given:
    """A value that a source holds for one setting.

    Attributes:
        value: as it stands there.
        origin: where, in words for the user: `--listen`, `OLLAMAMAX_LISTEN`, a file's path.
    """

    value: object
    origin: str


def environment_name(name: str) -> str:
    """The variable that sets a setting: `limits.max_body_bytes` → `OLLAMAMAX_LIMITS_MAX_BODY_BYTES`."""
    return PREFIX + name.replace(".", "_").upper()


def from_options(options: Mapping[str, object], names: Collection[str]) -> dict[str, Given]:
    """What the command line gave: dotted names to values; what is None or an empty list was not given."""
    given = {}
    for name, value in options.items():
        if name == "config" or value is None or value == []:
            continue
        origin = _OPTION_NAMES.get(name, f"--{name.replace('_', '-')}")
        if name not in names:
            raise no_such_setting(name, origin, names)
        given[name] = Given(value, origin)
    return given


def from_environment(environ: Mapping[str, str], names: Collection[str]) -> dict[str, Given]:
    """What `OLLAMAMAX_*` variables give; an empty variable counts as not set.

    Raises:
        SettingsError: a variable that no setting has, unless it is one that commands or tests use.
    """
    known = {environment_name(name): name for name in names if name not in FILE_ONLY}
    given = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in _RESERVED or variable.startswith(_RESERVED_PREFIX):
            continue
        name = known.get(variable)
        if name is None and variable in {environment_name(only) for only in FILE_ONLY}:
            raise SettingsError(variable, None, "is no variable; expected this setting in the file")
        if name is None:
            raise no_such_setting(variable, None, known)
        if environ[variable]:
            given[name] = Given(environ[variable], variable)
    return given


def from_file(path: str, text: str, origin: str, names: Collection[str]) -> dict[str, Given]:
    """What a TOML file gives.

    Args:
        path: the file's path, which becomes the origin of its values.
        text: its content.
        origin: what named the file.
        names: the dotted names of all settings.

    Raises:
        SettingsError: no TOML, or a name that no setting has.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError("config", origin, f"{path} is not TOML: {error}") from None
    given = {}
    for name, value in _flattened(document, names, path):
        if name not in names:
            raise no_such_setting(name, path, names)
        given[name] = Given(value, path)
    return given


def _flattened(document: Mapping[str, object], names: Collection[str], path: str) -> Iterator[tuple[str, object]]:
    sections = {name.partition(".")[0] for name in names if "." in name}
    for key, value in document.items():
        if key not in sections:
            yield key, value
        elif isinstance(value, dict):
            for inner, inner_value in value.items():
                yield f"{key}.{inner}", inner_value
        else:
            raise SettingsError(key, path, f"is a group of settings; expected a table [{key}]")


def read_config(options: Mapping[str, object], environ: Mapping[str, str], read_file: ReadFile) -> tuple[str, str, str]:
    """Finds and reads the settings file.

    Returns:
        Its path, its text and what named it; three empty strings where there is none.

    Raises:
        SettingsError: it was named and cannot be read, or stands in its usual place and cannot be read.
    """
    option, variable = options.get("config"), environ.get("OLLAMAMAX_CONFIG")
    if option:
        path, origin = str(option), "--config"
    elif variable:
        path, origin = variable, "OLLAMAMAX_CONFIG"
    else:
        path, origin = DEFAULT_CONFIG, ""
    try:
        return path, read_text("config", path, origin or path, read_file, "a TOML file"), origin or path
    except _MissingFile:
        if origin:
            raise
        return "", "", ""


class _MissingFile(SettingsError):
    """The file does not exist."""


def read_text(name: str, path: str, origin: str, read_file: ReadFile, expected: str) -> str:
    """Reads a file that a setting names.

    Raises:
        SettingsError: it cannot be read, or is no text.
    """
    try:
        return read_file(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _MissingFile(name, origin, _unreadable(path, error, expected)) from None
    except OSError as error:
        raise SettingsError(name, origin, _unreadable(path, error, expected)) from None
    except UnicodeDecodeError:
        raise SettingsError(name, origin, f"{path} is not UTF-8 text; expected {expected}") from None


def _unreadable(path: str, error: OSError, expected: str) -> str:
    return f"{path} cannot be read: {error.strerror or 'input/output error'}; expected {expected}"


def state_directory(environ: Mapping[str, str]) -> Given:
    """Where state is kept unless a setting says so: systemd's directory, else the user's own.

    Raises:
        SettingsError: the environment names none of the places.
    """
    # systemd.exec(5): several state directories are separated by colons.
    if directory := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Given(directory, "STATE_DIRECTORY")
    # XDG Base Directory Specification: a relative path is to be ignored.
    if (directory := environ.get("XDG_STATE_HOME", "")).startswith("/"):
        return Given(f"{directory.rstrip('/')}/ollamamax", "XDG_STATE_HOME")
    if home := environ.get("HOME"):
        return Given(f"{home.rstrip('/')}/.local/state/ollamamax", "default")
    raise SettingsError(
        "state_directory", None, "none of STATE_DIRECTORY, XDG_STATE_HOME and HOME is set; expected an absolute path"
    )


def no_such_setting(name: str, origin: str | None, names: Collection[str]) -> SettingsError:
    """The refusal of an unknown name, with the nearest one there is: by the whole name, else by its last part."""
    by_spelling = {spelling: known for known in sorted(names) for spelling in _spellings(known)}
    close = [match for spelling in _spellings(name) for match in difflib.get_close_matches(spelling, by_spelling, n=1)]
    hint = f'did you mean "{by_spelling[close[0]]}"?' if close else "docs/settings.md lists them all"
    return SettingsError(name, origin, f"no such setting; {hint}")


def _spellings(name: str) -> tuple[str, str]:
    """A name as it is compared: without the prefix that all variables share; whole, then its last part alone."""
    whole = name.removeprefix(PREFIX)
    return whole, whole.rpartition(".")[2]
