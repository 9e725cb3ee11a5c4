"""What nodes answer: read as recorded, refused when it is anything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.fleet.answers import BadAnswer, read_models, read_residents, read_version

_RECORDINGS = Path(__file__).parent.parent / "recordings"
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=15,
)


def _recorded(version: str, name: str) -> bytes:
    for line in (_RECORDINGS / f"ollama-{version}.jsonl").read_text().splitlines():
        exchange = json.loads(line)
        if exchange["name"] == name:
            text: str = "".join(data for _, data in exchange["response"])
            return text.partition("\r\n\r\n")[2].encode("latin-1")
    raise LookupError(name)


@pytest.mark.parametrize("version", ["0.24", "0.33"])
def test_recorded_answers(version: str) -> None:
    """What real servers answered is understood, and written again byte for byte."""
    assert read_version(_recorded(version, "version")) == f"{version}.0"
    for name in ("tags", "tags-two"):
        body = _recorded(version, name)
        models = read_models(body)
        assert {"tiny:latest", "thinker:latest"} <= models.keys()
        assert msgspec.json.encode({"models": list(models.values())}) == body
    for name in ("ps", "ps-forever", "ps-empty"):
        body = _recorded(version, name)
        assert msgspec.json.encode({"models": list(read_residents(body).values())}) == body


def test_unknown_fields_stay() -> None:
    """What is not known here stays, in its order; names are normalised only as keys."""
    models = read_models(b'{"models":[{"zeta":[1],"name":"Tiny","size":1,"alpha":{"b":null}}],"more":1}')
    assert list(models) == ["tiny:latest"]
    assert list(models["tiny:latest"].items()) == [("zeta", [1]), ("name", "Tiny"), ("size", 1), ("alpha", {"b": None})]


def test_list_that_go_never_made() -> None:
    """A null list is an empty one."""
    assert read_models(b'{"models":null}') == {}
    assert read_residents(b'{"models":[]}') == {}


def test_first_of_two_entries_of_one_name() -> None:
    """A node that lists a name twice has it once."""
    models = read_models(b'{"models":[{"name":"a","size":1},{"name":"A:latest","size":2}]}')
    assert [entry["size"] for entry in models.values()] == [1]


_NAME = "a model's name is empty, too long or holds control characters"
_DEEP = b"[" * 100 + b"]" * 100


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"null", "unexpected JSON: Expected `object`"),
        (b"[]", "unexpected JSON: Expected `object`"),
        (b"{}", "unexpected JSON: Object missing required field `models`"),
        (b'{"models":{}}', "unexpected JSON: Expected `array | null`"),
        (b'{"models":[null]}', "unexpected JSON: Expected `object`"),
        (b'{"models":[{}]}', "unexpected entry: Object missing required field `name`"),
        (b'{"models":[{"name":""}]}', _NAME),
        (b'{"models":[{"name":" "}]}', _NAME),
        (b'{"models":[{"name":1}]}', "unexpected entry: Expected `str`"),
        (b'{"models":[{"name":"a\\u0000"}]}', _NAME),
        (b'{"models":[{"name":"' + b"a" * 1025 + b'"}]}', _NAME),
        (b'{"models":[{"name":"a","size":-1}]}', "unexpected entry: Expected `int` >= 0"),
        (b'{"models":[{"name":"a","size":"1"}]}', "unexpected entry: Expected `int`"),
        (b'{"models":[{"name":"a","size":true}]}', "unexpected entry: Expected `int`"),
        (b'{"models":[{"name":"a","size":1e99}]}', "unexpected entry: Expected `int`"),
        (b'{"models":[{"name":"a","size":99999999999999999999}]}', "unexpected entry: Expected `int` <= "),
        (b'{"models":[{"name":"a","digest":null}]}', "unexpected entry: Expected `str`"),
        (b'{"models":[{"name":"a","details":[]}]}', "unexpected entry: Expected `object | null`"),
        (b'{"models":[{"name":"a","x":' + _DEEP + b"}]}", "nested too deeply"),
        (b'{"models":[{"name":"a","x":' + b'{"y":' * 20 + b"1" + b"}" * 20 + b"}]}", "nested too deeply"),
        (b'{"models":[{"name":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}", "nested too deeply"),
        (b'{"models":[{"name":"\xff"}]}', "not JSON"),
        (b'{"models":[{"name":"a","x":"\\ud800"}]}', "not JSON"),
        (b'{"models":[{"name":"a","x":NaN}]}', "not JSON"),
        (b'{"models":[{"name":"a"}]} trailing', "not JSON"),
    ],
)
@pytest.mark.parametrize("read", [read_models, read_residents])
def test_bad_lists(read: Callable[[bytes], object], body: bytes, why: str) -> None:
    """Wrong JSON, types, sizes, names and depths are one error, whose text says which and quotes nothing."""
    with pytest.raises(BadAnswer) as caught:
        read(body)
    assert str(caught.value).startswith(why)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("read", [read_models, read_residents])
@pytest.mark.parametrize(("begin", "end"), [(b"[", b"]"), (b'{"y":', b"}"), (b'[{"y":', b"}]")])
def test_how_deep_an_entry_may_be(read: Callable[[bytes], object], begin: bytes, end: bytes) -> None:
    """Sixteen levels, the entry's own among them, of lists and objects alike."""
    half = 2 if begin.startswith(b"[{") else 1

    def nested(levels: int) -> bytes:
        inside = (levels - 1) // half
        odd = (levels - 1) % half
        return (
            b'{"models":[{"name":"a","x":' + (b"[" * odd + begin * inside + b"1" + end * inside + b"]" * odd) + b"}]}"
        )

    assert read(nested(16))
    with pytest.raises(BadAnswer, match="nested too deeply"):
        read(nested(17))


def test_how_long_a_name_may_be() -> None:
    """1024 characters."""
    name = "a" * 1024
    assert list(read_models(b'{"models":[{"name":"' + name.encode() + b'"}]}')) == [f"{name}:latest"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"{}", "unexpected JSON: Object missing required field `version`"),
        (b'{"version":""}', "unexpected JSON: Expected `str` of length >= 1"),
        (b'{"version":1}', "unexpected JSON: Expected `str`"),
        (b'{"version":"' + b"1" * 101 + b'"}', "unexpected JSON: Expected `str` of length <= 100"),
        (b'{"version":"1\\n2"}', "the version holds control characters"),
    ],
)
def test_bad_versions(body: bytes, why: str) -> None:
    """A version is a short, printable text."""
    with pytest.raises(BadAnswer) as caught:
        read_version(body)
    assert str(caught.value).startswith(why)


@given(st.binary() | _JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes(body: bytes) -> None:
    """Whatever a node sends is read or refused, and raises nothing else."""
    for read in (read_version, read_models, read_residents):
        try:
            read(body)
        except BadAnswer:
            continue


@given(st.lists(st.dictionaries(st.sampled_from(["name", "size", "details", "x"]), _JSON)))
def test_any_entries(entries: list[dict[str, object]]) -> None:
    """What is accepted can be written again."""
    try:
        models = read_models(json.dumps({"models": entries}).encode())
    except BadAnswer:
        return
    msgspec.json.encode(list(models.values()))
