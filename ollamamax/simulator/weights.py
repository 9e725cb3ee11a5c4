"""What a simulated model computes with: only its description, as `show` and the scheduler need it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import attrs

BLOBS_DIRECTORY = "/usr/share/ollama/.ollama/models/blobs"
"""Where an Ollama installed as a service keeps its blobs; shown in modelfiles, never touched."""


@attrs.frozen
class Weights:
    """A weights file's description.

    Attributes:
        digest: `sha256:…` of the file.
        size: bytes.
        context_length: tokens that the model was made for.
        embedding_length: numbers in an embedding.
        vocabulary: tokens that it knows.
        blocks: layers of the network.
        feed_forward: width of the inner layer.
        heads: attention heads.
    """

    digest: str
    size: int
    context_length: int = 4096
    embedding_length: int = 64
    vocabulary: int = 588
    blocks: int = 2
    feed_forward: int = 128
    heads: int = 4

    @property
    def path(self) -> str:
        """Where Ollama would keep the file."""
        return blob_path(self.digest)

    def tensors(self) -> Iterator[tuple[str, list[int]]]:
        """Names and shapes of the tensors, in the file's order."""
        width, inner = self.embedding_length, self.feed_forward
        yield "token_embd.weight", [width, self.vocabulary]
        yield "output.weight", [width, self.vocabulary]
        yield "output_norm.weight", [width]
        for block in range(self.blocks):
            for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
                yield f"blk.{block}.{part}.weight", [width, width]
            for part in ("ffn_gate", "ffn_up"):
                yield f"blk.{block}.{part}.weight", [width, inner]
            yield f"blk.{block}.ffn_down.weight", [inner, width]
            for part in ("attn_norm", "ffn_norm"):
                yield f"blk.{block}.{part}.weight", [width]

    @property
    def parameter_count(self) -> int:
        """How many numbers the tensors hold."""
        total = 0
        for _, shape in self.tensors():
            count = 1
            for length in shape:
                count *= length
            total += count
        return total

    @property
    def parameter_size(self) -> str:
        """The count as Ollama shortens it: `158K`, `1.1B` (`format.HumanNumber`)."""
        count = self.parameter_count
        for unit, name in ((1_000_000_000, "B"), (1_000_000, "M")):
            if count >= unit:
                return f"{count / unit:.1f}{name}" if count < 100 * unit else f"{count / unit:.0f}{name}"
        return f"{count / 1000:.0f}K" if count >= 1000 else str(count)


def blob_path(digest: str) -> str:
    """Where Ollama would keep a blob."""
    return f"{BLOBS_DIRECTORY}/{digest.replace(':', '-')}"


def weights_named(name: str, *, size: int, context_length: int = 4096) -> Weights:
    """Weights that belong to one name alone: the digest comes from the name, the size is as asked."""
    digest = hashlib.sha256(f"weights of {name}".encode()).hexdigest()
    return Weights(f"sha256:{digest}", size, context_length=context_length)


TINY_WEIGHTS = Weights("sha256:3076ad163fc1eb423f504903b643b62945b02bdc7a67a6c8f8ea9f13d46993e7", 645_408)
"""Those of a small llama of random weights, which a real Ollama takes too."""
