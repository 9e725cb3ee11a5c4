"""The description of weights that are not there."""

from __future__ import annotations

import hashlib
import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.simulator.weights import TINY_WEIGHTS, Weights, blob_path, weights_named


def test_paths_are_those_of_ollamas_service() -> None:
    """A colon is no part of a file's name."""
    path = "/usr/share/ollama/.ollama/models/blobs/sha256-ab"
    assert blob_path("sha256:ab") == path
    assert Weights("sha256:ab", 1).path == path


def test_tensors_of_a_small_llama() -> None:
    """Names and shapes in the order of the file, each block after the other."""
    weights = Weights("sha256:ab", 1, embedding_length=3, vocabulary=5, blocks=2, feed_forward=7)
    block = [
        *(("attn_q", [3, 3]), ("attn_k", [3, 3]), ("attn_v", [3, 3]), ("attn_output", [3, 3])),
        *(("ffn_gate", [3, 7]), ("ffn_up", [3, 7]), ("ffn_down", [7, 3]), ("attn_norm", [3]), ("ffn_norm", [3])),
    ]
    assert list(weights.tensors()) == [
        *(("token_embd.weight", [3, 5]), ("output.weight", [3, 5]), ("output_norm.weight", [3])),
        *((f"blk.{number}.{part}.weight", shape) for number in (0, 1) for part, shape in block),
    ]


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 4), st.integers(1, 50))
def test_parameters_are_the_tensors_numbers(width: int, vocabulary: int, blocks: int, inner: int) -> None:
    """Their count is what their shapes hold together."""
    weights = Weights("sha256:ab", 1, embedding_length=width, vocabulary=vocabulary, blocks=blocks, feed_forward=inner)
    assert weights.parameter_count == sum(math.prod(shape) for _, shape in weights.tensors())
    each = 4 * width * width + 3 * width * inner + 2 * width
    assert weights.parameter_count == 2 * width * vocabulary + width + blocks * each


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (3, "3"),
        (999, "999"),
        (1_001, "1K"),
        (157_999, "158K"),
        (999_001, "999K"),
        (1_000_001, "1.0M"),
        (99_949_999, "99.9M"),
        (100_000_001, "100M"),
        (999_000_001, "999M"),
        (1_000_000_001, "1.0B"),
        (1_100_000_001, "1.1B"),
        (99_900_000_001, "99.9B"),
        (100_000_000_001, "100B"),
        (405_000_000_001, "405B"),
    ],
)
def test_sizes_are_shortened_as_ollama_does(count: int, text: str) -> None:
    """Thousands without a decimal, millions and billions with one below a hundred of them."""
    weights = Weights("sha256:ab", 1, embedding_length=1, vocabulary=(count - 1) // 2, blocks=0)
    assert weights.parameter_count == count
    assert weights.parameter_size == text


@pytest.mark.parametrize(
    ("width", "text"), [(1_000, "1K"), (1_000_000, "1.0M"), (100_000_000, "100M"), (10**9, "1.0B")]
)
def test_whole_units_are_of_their_unit(width: int, text: str) -> None:
    """A thousand is 1K, a thousand thousands are 1.0M."""
    assert Weights("sha256:ab", 1, embedding_length=width, vocabulary=0, blocks=0).parameter_size == text


@given(st.text(max_size=20), st.text(max_size=20))
def test_weights_of_a_name_are_its_own(name: str, other: str) -> None:
    """The same name has the same digest, another one another; size and context are as asked."""
    weights = weights_named(name, size=7, context_length=9)
    assert weights.digest == f"sha256:{hashlib.sha256(f'weights of {name}'.encode()).hexdigest()}"
    assert (weights.digest == weights_named(other, size=7).digest) is (name == other)
    assert (weights.size, weights.context_length) == (7, 9)
    assert weights_named(name, size=7) == attrs.evolve(weights, context_length=4096)


def test_the_tiny_models_figures_are_those_of_its_file() -> None:
    """What a real Ollama tells of this very file."""
    assert TINY_WEIGHTS.parameter_size == "158K"
    assert (TINY_WEIGHTS.size, TINY_WEIGHTS.context_length, TINY_WEIGHTS.embedding_length) == (645_408, 4096, 64)
