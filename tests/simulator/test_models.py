"""Models as they lie in a store: names taken apart, layers, digests, and what is found and forgotten."""

from __future__ import annotations

import hashlib

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.simulator.models import (
    Layer,
    Model,
    ModelName,
    ModelStore,
    digest_of,
    model_of,
    parsed_name,
    text_layer,
)
from ollamamax.simulator.settings import CAPABILITIES, EMBEDDER, THINKER, TINY, ModelSpec
from ollamamax.simulator.weights import TINY_WEIGHTS

# What Ollama 0.33.0 told of the same file, template and parameters (tests/recordings, "tags", "create-from" and
# "pull-fresh-stream").
TINY_DIGEST = "a376517b52f3197b9103f27e01b8796492ba31f23293258ac4f36b7fb5bcc59b"
TINY_LAYERS = [
    ("sha256:3076ad163fc1eb423f504903b643b62945b02bdc7a67a6c8f8ea9f13d46993e7", 645_408),
    ("sha256:78995d8bcc2acd6318a0abac5b5da720eecfe8fb884a6feedb4a1c15368296f8", 73),
    ("sha256:139999ac7601e98762716a4eb68afac1fff7838f45f46c3351afd11ab4bbe2a4", 19),
]
TINY_CONFIG = ("sha256:ba2fce6f874b409606941940a10c1b159d47bca187088bc94da5dcdc26196fce", 414)
SYSTEM_LAYER = "sha256:b8e3532b57de1585a72360499a2201709705a3e9c00c2ed693b5932460665ee2"

_PART = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}", fullmatch=True)


@pytest.fixture
def tiny() -> Model:
    """The small model of the recordings."""
    return model_of(TINY, 7.0)


def named(name: str, modified_at: float = 0.0, **changes: object) -> Model:
    """A model of some name."""
    return attrs.evolve(model_of(ModelSpec(name), modified_at), **changes)  # type: ignore[arg-type]


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts", "shortest"),
    [
        ("tiny", ("registry.ollama.ai", "library", "tiny", "latest"), "tiny:latest"),
        ("Tiny:1B", ("registry.ollama.ai", "library", "Tiny", "1B"), "Tiny:1B"),
        ("library/tiny", ("registry.ollama.ai", "library", "tiny", "latest"), "tiny:latest"),
        ("me/tiny:x", ("registry.ollama.ai", "me", "tiny", "x"), "me/tiny:x"),
        ("hf.co/me/tiny", ("hf.co", "me", "tiny", "latest"), "hf.co/me/tiny:latest"),
        ("hf.co/library/tiny", ("hf.co", "library", "tiny", "latest"), "hf.co/library/tiny:latest"),
        ("127.0.0.1:5055/x/tiny", ("127.0.0.1:5055", "x", "tiny", "latest"), "127.0.0.1:5055/x/tiny:latest"),
        ("127.0.0.1:5055/x/tiny:q4", ("127.0.0.1:5055", "x", "tiny", "q4"), "127.0.0.1:5055/x/tiny:q4"),
        ("https://hf.co/me/tiny:x", ("hf.co", "me", "tiny", "x"), "hf.co/me/tiny:x"),
        ("_a.b-c_9", ("registry.ollama.ai", "library", "_a.b-c_9", "latest"), "_a.b-c_9:latest"),
    ],
)
def test_names_are_taken_apart(text: str, parts: tuple[str, str, str, str], shortest: str) -> None:
    """What a name leaves out goes without saying, and is left out again where it is shown; the tag is not."""
    name = parsed_name(text)
    assert name == ModelName(*parts)
    assert name.shortest == shortest
    assert name.full == f"{parts[0]}/{parts[1]}/{parts[2]}:{parts[3]}"
    assert name.manifest_path == f"/usr/share/ollama/.ollama/models/manifests/{'/'.join(parts)}"


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "a:", ":b", "a::b", "a b", "a\n", ".a", "-a", "a/", "/a", "a//b", "../../etc", "a/b/c/d"),
        *("h/n/m:t/x", "h.:x y/n/m", "ä", "a:ä", "https://", "n@1/m", "http:///a", "x" * 81, "a:" + "x" * 81),
        *("h" * 351 + "/n/m", "-h/n/m"),
    ],
)
def test_what_is_no_name(text: str) -> None:
    """Empty parts, other characters, too many of them or too many parts are no name."""
    assert parsed_name(text) is None


def test_the_longest_names() -> None:
    """80 characters for a part, 350 for a host."""
    part = "x" * 80
    name = parsed_name(f"{'h' * 350}/{part}/{part}:{part}")
    assert name == ModelName("h" * 350, part, part, part)


@given(st.lists(_PART, min_size=1, max_size=3), st.none() | _PART)
def test_a_shown_name_is_the_same_name(parts: list[str], tag: str | None) -> None:
    """The full and the shortest spelling of a name are read as the name itself."""
    name = parsed_name("/".join(parts) if tag is None else f"{'/'.join(parts)}:{tag}")
    assert name is not None
    assert parsed_name(name.full) == parsed_name(name.shortest) == name


# --- layers and digests ----------------------------------------------------------------------------------------------


def test_digests_and_sizes_are_those_of_a_real_ollama(tiny: Model) -> None:
    """Every layer, the configuration and the manifest have the digests that were recorded."""
    assert [(layer.digest, layer.size) for layer in tiny.layers] == TINY_LAYERS
    assert (tiny.config.digest, tiny.config.size) == TINY_CONFIG
    assert tiny.blobs == [*tiny.layers, tiny.config]
    assert tiny.digest == TINY_DIGEST
    assert tiny.size == 645_914


def test_each_text_is_a_layer(tiny: Model) -> None:
    """In the manifest's order; the system prompt's digest is the recorded one; empty texts have none."""
    full = attrs.evolve(tiny, system="You are small.", license="MIT")
    kinds = [layer.media_type for layer in full.layers]
    assert kinds == [
        f"application/vnd.ollama.image.{kind}" for kind in ("model", "template", "system", "license", "params")
    ]
    assert full.layers[2].digest == SYSTEM_LAYER
    assert full.layers[3] == text_layer("license", "MIT")
    assert full.config.media_type == "application/vnd.docker.container.image.v1+json"
    bare = attrs.evolve(tiny, template="", parameters={})
    assert [layer.digest for layer in bare.layers] == [TINY_WEIGHTS.digest]


def test_whatever_changes_changes_the_digest(tiny: Model) -> None:
    """Each text, parameter and weight is in the manifest; the name and the date are not."""
    changed = [
        *(attrs.evolve(tiny, template="x"), attrs.evolve(tiny, system="x"), attrs.evolve(tiny, license="x")),
        *(attrs.evolve(tiny, parameters={"num_predict": 7}), attrs.evolve(tiny, weights=EMBEDDER.weights)),
    ]
    assert len({tiny.digest, *(model.digest for model in changed)}) == 6
    assert attrs.evolve(tiny, name=named("other").name, modified_at=9.0).digest == tiny.digest


def test_parameters_are_kept_as_they_are_spelt() -> None:
    """One line of JSON without spaces, letters of any script as they are."""
    content = '{"stop":["ü"],"seed":1}\n'.encode()
    layer = named("a", parameters={"stop": ["ü"], "seed": 1}).layers[-1]
    assert (layer.digest, layer.size) == (digest_of(content), len(content))


def test_manifest_entries() -> None:
    """Where a layer came from is told only of those that came from a file."""
    assert Layer("t", "d", 3).entry() == {"mediaType": "t", "digest": "d", "size": 3}
    assert Layer("t", "d", 3, "/f").entry() == {"mediaType": "t", "digest": "d", "size": 3, "from": "/f"}


@given(st.binary(max_size=40), st.text(max_size=20))
def test_blobs_are_named_by_their_content(content: bytes, text: str) -> None:
    """SHA-256 in hexadecimal; a text counts in bytes of UTF-8."""
    assert digest_of(content) == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert text_layer("system", text) == Layer(
        "application/vnd.ollama.image.system", digest_of(text.encode()), len(text.encode())
    )


# --- models ----------------------------------------------------------------------------------------------------------


def test_a_model_is_made_of_its_description() -> None:
    """All that a description tells is there; capabilities come in Ollama's order."""
    spec = ModelSpec(
        "me/a:1b",
        EMBEDDER.weights,
        ("thinking", "completion", "flying"),
        "t",
        (("seed", 1), ("top_k", 2)),
        "s",
        load_seconds=3.0,
    )
    assert model_of(spec, 9.0) == Model(
        name=ModelName("registry.ollama.ai", "me", "a", "1b"),
        weights=EMBEDDER.weights,
        modified_at=9.0,
        capabilities=("completion", "thinking"),
        template="t",
        system="s",
        parameters={"seed": 1, "top_k": 2},
        load_seconds=3.0,
    )
    assert model_of(attrs.evolve(spec, capabilities=tuple(reversed(CAPABILITIES))), 0.0).capabilities == CAPABILITIES


def test_a_description_without_a_name_is_no_model() -> None:
    """The text says which one."""
    with pytest.raises(ValueError, match=r"\A'a b' is no model name\Z"):
        model_of(ModelSpec("a b"), 0.0)


# --- the store -------------------------------------------------------------------------------------------------------


def test_models_are_found_in_any_spelling(tiny: Model) -> None:
    """Case, a missing tag, the default host and namespace make no difference."""
    store = ModelStore()
    store.put(tiny)
    for name in ("tiny", "TINY:latest", "library/tiny", "registry.ollama.ai/library/Tiny:Latest"):
        assert store.find(name) == tiny
    assert store.find("tiny:1b") is None
    assert store.find("hf.co/library/tiny") is None


def test_the_newest_is_listed_first_and_a_new_one_takes_the_place_of_an_old_one() -> None:
    """A name stands for one model."""
    store = ModelStore()
    for name, modified_at in (("a", 1.0), ("b", 3.0), ("c", 2.0), ("A", 4.0)):
        store.put(named(name, modified_at))
    assert [(model.name.model, model.modified_at) for model in store] == [("A", 4.0), ("b", 3.0), ("c", 2.0)]


def test_a_model_is_forgotten_once(tiny: Model) -> None:
    """With the blobs that were its own; those of others stay."""
    store = ModelStore()
    store.put(tiny)
    store.put(model_of(THINKER, 0.0))
    template, weights = tiny.layers[1], tiny.layers[0]
    assert store.blob_size(template.digest) == template.size
    assert store.remove("TINY:latest") is True
    assert store.remove("tiny") is False
    assert store.find("tiny") is None
    assert store.blob_size(template.digest) is None
    assert store.blob_size(weights.digest) == weights.size


def test_blobs_without_a_model(tiny: Model) -> None:
    """An uploaded blob is there though no model uses it; a model's own size counts for its blobs."""
    store = ModelStore()
    assert store.blob_size("sha256:ab") is None
    store.add_blob("sha256:ab", 7)
    store.add_blob("sha256:cd", 0)
    assert (store.blob_size("sha256:ab"), store.blob_size("sha256:cd")) == (7, 0)
    store.put(tiny)
    assert [store.blob_size(layer.digest) for layer in tiny.blobs] == [645_408, 73, 19, 414]
