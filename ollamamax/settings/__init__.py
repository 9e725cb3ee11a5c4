"""The settings in force: what options, variables and a file give, checked, with the source of each.

Pure. Options win over `OLLAMAMAX_*` variables, these over the TOML file, it over the defaults. Every check is made here
and in the modules it uses, so that whoever holds a `Settings` need not check again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import msgspec

from ollamamax.settings import checks
from ollamamax.settings.leaves import Leaf, leaves
from ollamamax.settings.schema import (
    LedgerSettings,
    Limits,
    Log,
    MetricsSettings,
    ModelSettings,
    NodeSettings,
    Probe,
    Retries,
    Settings,
    Timeouts,
)
from ollamamax.settings.sources import (
    Given,
    ReadFile,
    SettingsError,
    from_environment,
    from_file,
    from_options,
    read_config,
    read_text,
    state_directory,
)
from ollamamax.settings.values import refused, shown, value_of

__all__ = [
    "LEAVES",
    "Leaf",
    "LedgerSettings",
    "Limits",
    "LoadedSettings",
    "Log",
    "MetricsSettings",
    "ModelSettings",
    "NodeSettings",
    "Probe",
    "Retries",
    "Settings",
    "SettingsError",
    "Timeouts",
    "load",
]

LEAVES = {leaf.name: leaf for leaf in leaves()}


@attrs.frozen
class LoadedSettings:
    """Settings, and where each comes from.

    Attributes:
        settings: the settings in force.
        sources: dotted name → `--listen`, `OLLAMAMAX_LISTEN`, a file's path, or `default`.
    """

    settings: Settings
    sources: Mapping[str, str]

    def public(self) -> Mapping[str, object]:
        """What may be shown to whoever asks: `{"settings": [{"name", "value", "source", "default"}, …]}`.

        A password within a value is `***`.
        """
        rows = [
            {
                "name": name,
                "value": shown(self._value(name)),
                "source": self.sources[name],
                "default": shown(leaf.default),
            }
            for name, leaf in LEAVES.items()
        ]
        return {"settings": rows}

    def _value(self, name: str) -> object:
        section, _, field = name.rpartition(".")
        return getattr(getattr(self.settings, section) if section else self.settings, field)


def load(
    options: Mapping[str, object], environ: Mapping[str, str], read_file: ReadFile | None = None
) -> LoadedSettings:
    """Gathers and checks the settings.

    Args:
        options: dotted names (and `config`, the file's path) to what the command line gave; None was not given.
        environ: the environment.
        read_file: from a path to its text, raising OSError; by default, from the disk.

    Raises:
        SettingsError: anything that cannot be used; one line.
    """
    read = read_file if read_file is not None else _read_from_disk
    path, text, named_by = read_config(options, environ, read)
    layers = (
        from_file(path, text, named_by, LEAVES) if path else {},
        from_environment(environ, LEAVES),
        from_options(options, LEAVES),
    )
    given = _one_database([_one_database_of(layer) for layer in layers], read)
    if not given.get("state_directory", Given("", "")).value:
        given["state_directory"] = state_directory(environ)
    values = {name: value_of(LEAVES[name], one) for name, one in given.items()}
    settings = _assembled(values)
    _check_together(settings, given)
    sources = {name: given[name].origin if name in given else "default" for name in LEAVES}
    return LoadedSettings(settings, sources)


def _read_from_disk(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


def _one_database_of(layer: Mapping[str, Given]) -> Mapping[str, Given]:
    """A layer that says once, or not at all, which database: a file in place of the URL counts as the URL."""
    if "database" in layer and "database_file" in layer:
        raise SettingsError(
            "database_file", layer["database_file"].origin, "is given beside database; expected one of the two"
        )
    return layer


def _one_database(layers: Sequence[Mapping[str, Given]], read: ReadFile) -> dict[str, Given]:
    """The layers as one, lowest first; `database` is read from `database_file` where that one wins."""
    given: dict[str, Given] = {}
    for layer in layers:
        if "database" in layer or "database_file" in layer:
            given.pop("database", None)
            given.pop("database_file", None)
        given.update(layer)
    named = given.get("database_file")
    if named is not None:
        path = str(value_of(LEAVES["database_file"], named))
        url = read_text("database_file", path, named.origin, read, "a file that holds the database's URL").strip()
        given["database"] = Given(url, f"{path}, named by {named.origin}")
    return given


def _assembled(values: Mapping[str, object]) -> Settings:
    nested: dict[str, object] = {}
    sections: dict[str, dict[str, object]] = {}
    for name, value in values.items():
        section, _, field = name.rpartition(".")
        (sections.setdefault(section, {}) if section else nested)[field] = value
    return msgspec.convert({**nested, **sections}, Settings)


def _check_together(settings: Settings, given: Mapping[str, Given]) -> None:
    if settings.auth != "off" and not checks.listening(settings.listen).is_loopback:
        raise refused(
            "listen",
            given["listen"],
            settings.listen,
            "can be reached from other machines, and nobody would have to authenticate; expected a loopback address "
            'such as tcp:8080:interface=127.0.0.1, or auth = "off" in the file or OLLAMAMAX_AUTH=off to let in '
            "everybody who can connect",
        )
    limits = settings.limits
    if limits.body_memory_bytes < limits.max_body_bytes:
        name = next(name for name in ("limits.max_body_bytes", "limits.body_memory_bytes") if name in given)
        other = f"limits.body_memory_bytes ({limits.body_memory_bytes})"
        raise SettingsError(
            name, given[name].origin, f"limits.max_body_bytes ({limits.max_body_bytes}) is above {other}; expected less"
        )
