"""Embeddings: made up, of length one, the same for the same text and seed. Pure."""

from __future__ import annotations

import math
import random

_SPREAD = 1.7
"""How long the raw vectors are, which `/api/embeddings` tells without normalising them."""


def raw_vector(text: str, *, dimensions: int, seed: int) -> list[float]:
    """A vector as a model gives it, not normalised.

    Texts that share words lie nearer to one another: a vector is the sum of its words' vectors.
    """
    total = [0.0] * dimensions
    for word in text.split() or [""]:
        chosen = random.Random(f"{seed} {word.casefold()}")
        for place in range(dimensions):
            total[place] += chosen.gauss(0.0, _SPREAD)
    return [_rounded(value) for value in total]


def unit_vector(text: str, *, dimensions: int, seed: int, keep: int = 0) -> list[float]:
    """A vector of length one.

    Args:
        text: what is embedded.
        dimensions: how many numbers the model gives.
        seed: what the numbers depend on besides the text.
        keep: how many of them are wanted; 0: all.
    """
    values = raw_vector(text, dimensions=dimensions, seed=seed)
    if 0 < keep < dimensions:
        values = values[:keep]
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return [_rounded(value / length) for value in values]


def _rounded(value: float) -> float:
    """With the eight digits that a 32-bit number has."""
    return float(f"{value:.8g}")
