"""From what a source holds to a setting's value: text becomes a number, a size, a list; then it is checked.

Pure. Sources are treated alike: a file may write a number or a list as text, as a variable has to.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from ollamamax.names import normalized
from ollamamax.settings import checks
from ollamamax.settings.checks import Refused
from ollamamax.settings.leaves import Leaf, leaves
from ollamamax.settings.schema import ModelSettings, NodeSettings
from ollamamax.settings.sources import Given, SettingsError, no_such_setting

_MAX_SHOWN = 200
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}\Z")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?\Z")
_NODE_FIELDS = ("url", "memory_bytes", "disk_bytes")
_BOOLEANS = {"true": True, "false": False}


def value_of(leaf: Leaf, given: Given) -> object:
    """The value of one setting.

    Raises:
        SettingsError: what was given is of another type, out of bounds or of another form.
    """
    if leaf.name == "nodes":
        return _nodes(leaf, given)
    if leaf.name == "models":
        return _models(leaf, given)
    try:
        value: object = msgspec.convert(_prepared(leaf, given.value), leaf.annotation)
    except msgspec.ValidationError:
        raise _unexpected(leaf, given, given.value) from None
    except Refused as refusal:
        raise refused(leaf.name, given, given.value, refusal) from None
    if isinstance(value, float) and not math.isfinite(value):
        raise _unexpected(leaf, given, given.value)
    _check(leaf.name, given, value)
    return value


def refused(name: str, given: Given, value: object, why: Refused | str) -> SettingsError:
    """The refusal of a value that was given for a setting, or of a part of it; passwords in it are masked."""
    return SettingsError(name, given.origin, f"{_quoted(value)} {why}")


def shown(value: object) -> object:
    """A value as it may be shown, in JSON's types: a password in a URL is `***`."""
    if isinstance(value, str):
        return checks.masked(value)
    if isinstance(value, Mapping):
        return {str(key): shown(inner) for key, inner in value.items()}
    if isinstance(value, Sequence):
        return [shown(inner) for inner in value]
    if isinstance(value, msgspec.Struct):
        return shown(msgspec.structs.asdict(value))
    return value


def _quoted(value: object) -> str:
    text = json.dumps(shown(value), ensure_ascii=False, default=str)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def _unexpected(leaf: Leaf, given: Given, value: object) -> SettingsError:
    return refused(leaf.name, given, value, f"cannot be used; expected {leaf.expected}")


def _prepared(leaf: Leaf, value: object) -> object:
    """A value as the setting's own type takes it; text that is none of that type is left for the type to refuse."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if leaf.none_word and text == leaf.none_word:
        return None
    if leaf.unit.startswith("bytes"):
        return checks.size_in_bytes(text)
    if leaf.shape == "list of text":
        return _listed(text)
    return _scalar(leaf.shape, text, value)


def _scalar(shape: str, text: str, value: str) -> object:
    if shape == "true or false":
        return _BOOLEANS.get(text, value)
    if shape == "number" and _NUMBER.match(text):
        return float(text)
    return int(text) if shape.startswith("integer") and _INTEGER.match(text) else value


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _check_listen(description: str) -> None:
    checks.listening(description)


def _check_directory(path: str) -> None:
    if not path.startswith("/"):
        raise Refused("is no absolute path; expected one like /var/lib/ollamamax")


_CHECKS: Mapping[str, Callable[[str], None]] = {
    "listen": _check_listen,
    "database": checks.check_database,
    "state_directory": _check_directory,
    "ledger.spool_directory": _check_directory,
    "allowed_hosts": checks.check_host,
    "allowed_origins": checks.check_origin,
    "trusted_networks": checks.check_network,
}
_MAY_BE_EMPTY = frozenset({"database", "state_directory", "ledger.spool_directory"})


def _check(name: str, given: Given, value: object) -> None:
    check = _CHECKS.get(name)
    if check is None or (value == "" and name in _MAY_BE_EMPTY):
        return
    for part in value if isinstance(value, tuple) else (value,):
        try:
            check(part)
        except Refused as refusal:
            raise refused(name, given, part, refusal) from None


def _nodes(leaf: Leaf, given: Given) -> tuple[NodeSettings, ...]:
    nodes = tuple(_given_nodes(leaf, given))
    seen = set()
    for node in nodes:
        for part, check in ((node.name, checks.check_node_name), (node.url, checks.check_node_url)):
            try:
                check(part)
            except Refused as refusal:
                raise refused(leaf.name, given, part, refusal) from None
        if node.name in seen:
            raise refused(leaf.name, given, node.name, "names two nodes; expected a name of its own for each")
        seen.add(node.name)
    return nodes


def _given_nodes(leaf: Leaf, given: Given) -> Iterator[NodeSettings]:
    """Nodes from a table of tables, from a list of `NAME=URL`, or from such a list with commas."""
    value = given.value
    if isinstance(value, Mapping):
        for name, table in value.items():
            yield _table_node(leaf, given, name, table)
        return
    entries = _listed(value) if isinstance(value, str) else value
    if not isinstance(entries, Sequence):
        raise _unexpected(leaf, given, value)
    for entry in entries:
        name, separator, url = entry.partition("=") if isinstance(entry, str) else ("", "", "")
        if not separator or "://" in name:
            raise _unexpected(leaf, given, entry)
        yield NodeSettings(name=name.strip(), url=url.strip())


def _table_node(leaf: Leaf, given: Given, name: str, table: object) -> NodeSettings:
    if not isinstance(table, Mapping):
        raise _unexpected(leaf, given, table)
    sizes = _own_values(
        f"nodes.{name}.", NodeSettings, _NODE_FIELDS, given, {field: table[field] for field in table if field != "url"}
    )
    url = table.get("url")
    if not isinstance(url, str):
        raise SettingsError(f"nodes.{name}.url", given.origin, "is missing or no text; expected a node's URL")
    return msgspec.convert({"name": name, "url": url, **sizes}, NodeSettings)


def _own_values(
    prefix: str, struct: type[msgspec.Struct], fields: Sequence[str], given: Given, table: Mapping[str, object]
) -> dict[str, object]:
    """The values of a table that has a struct's fields, as far as they may stand in a table."""
    known = {own.name: own for own in leaves(struct, prefix)}
    values = {}
    for field, value in table.items():
        if field not in fields:
            raise no_such_setting(prefix + field, given.origin, fields)
        values[field] = value_of(known[prefix + field], Given(value, given.origin))
    return values


def _models(leaf: Leaf, given: Given) -> dict[str, ModelSettings]:
    if not isinstance(given.value, Mapping):
        raise _unexpected(leaf, given, given.value)
    models: dict[str, ModelSettings] = {}
    for name, table in given.value.items():
        if not isinstance(table, Mapping):
            raise _unexpected(leaf, given, table)
        values = _own_values(f"models.{name}.", ModelSettings, ModelSettings.__struct_fields__, given, table)
        if normalized(name) in models:
            raise refused(leaf.name, given, name, "is a model named twice; expected one table for each")
        models[normalized(name)] = msgspec.convert(values, ModelSettings)
    return models
