"""The models and blobs that a simulated Ollama has, with the digests that a real one would compute. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping

import attrs

from ollamamax.names import normalized

from .settings import CAPABILITIES, ModelSpec
from .weights import Weights

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
MANIFESTS_DIRECTORY = "/usr/share/ollama/.ollama/models/manifests"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}\Z")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}\Z")
_MEDIA = "application/vnd.ollama.image."
_MANIFEST_MEDIA = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG_MEDIA = "application/vnd.docker.container.image.v1+json"


@attrs.frozen
class ModelName:
    """A name taken apart (`types/model/name.go`)."""

    host: str
    namespace: str
    model: str
    tag: str

    @property
    def full(self) -> str:
        """With all four parts."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def shortest(self) -> str:
        """Without what goes without saying, but for the tag."""
        if self.host != DEFAULT_HOST:
            return self.full
        prefix = "" if self.namespace == DEFAULT_NAMESPACE else f"{self.namespace}/"
        return f"{prefix}{self.model}:{self.tag}"

    @property
    def manifest_path(self) -> str:
        """Where Ollama would keep its manifest."""
        return f"{MANIFESTS_DIRECTORY}/{self.host}/{self.namespace}/{self.model}/{self.tag}"


def parsed_name(text: str) -> ModelName | None:
    """A name's parts, or None where it is no name."""
    text = text.partition("://")[2] or text
    path, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        path, tag = text, "latest"
    parts = path.split("/")
    if len(parts) > 3:
        return None
    host, namespace, model = [DEFAULT_HOST, DEFAULT_NAMESPACE, ""][: 3 - len(parts)] + parts
    valid = _HOST.match(host) and all(_PART.match(part) for part in (namespace, model, tag))
    return ModelName(host, namespace, model, tag) if valid else None


def digest_of(content: bytes) -> str:
    """A blob's name."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@attrs.frozen
class Layer:
    """One blob of a model."""

    media_type: str
    digest: str
    size: int
    source: str = ""

    def entry(self) -> dict[str, object]:
        """As manifests list it."""
        entry: dict[str, object] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return {**entry, "from": self.source} if self.source else entry


def text_layer(kind: str, text: str) -> Layer:
    """A layer whose whole content is a text."""
    content = text.encode()
    return Layer(_MEDIA + kind, digest_of(content), len(content))


def _json_line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


@attrs.frozen
class Model:
    """A model as it lies in the store; its layers, digest and size are computed from the rest."""

    name: ModelName
    weights: Weights
    modified_at: float
    capabilities: tuple[str, ...] = ("completion",)
    template: str = ""
    system: str = ""
    license: str = ""
    parameters: Mapping[str, object] = attrs.Factory(dict)
    load_seconds: float | None = None

    @property
    def layers(self) -> list[Layer]:
        """The blobs in the manifest's order, the configuration apart."""
        weights = Layer(f"{_MEDIA}model", self.weights.digest, self.weights.size, self.weights.path)
        layers = [weights]
        for kind, text in (("template", self.template), ("system", self.system), ("license", self.license)):
            if text:
                layers.append(text_layer(kind, text))
        if self.parameters:
            layers.append(text_layer("params", _json_line(dict(self.parameters)).decode()))
        return layers

    @property
    def config(self) -> Layer:
        """The blob that describes the model."""
        content = _json_line(
            {
                "model_format": "gguf",
                "model_family": "llama",
                "model_families": ["llama"],
                "model_type": self.weights.parameter_size,
                "file_type": "unknown",
                "architecture": "amd64",
                "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in self.layers]},
            }
        )
        return Layer(_CONFIG_MEDIA, digest_of(content), len(content))

    @property
    def blobs(self) -> list[Layer]:
        """All that a registry would send."""
        return [*self.layers, self.config]

    @property
    def digest(self) -> str:
        """Of the manifest, in bare hexadecimal as lists show it."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST_MEDIA,
            "config": self.config.entry(),
            "layers": [layer.entry() for layer in self.layers],
        }
        return hashlib.sha256(_json_line(manifest)).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all blobs."""
        return sum(layer.size for layer in self.blobs)


def model_of(spec: ModelSpec, modified_at: float) -> Model:
    """A model from its description.

    Raises:
        ValueError: its name is none.
    """
    name = parsed_name(spec.name)
    if name is None:
        raise ValueError(f"{spec.name!r} is no model name")
    return Model(
        name=name,
        weights=spec.weights,
        modified_at=modified_at,
        capabilities=tuple(each for each in CAPABILITIES if each in spec.capabilities),
        template=spec.template,
        system=spec.system,
        parameters=dict(spec.parameters),
        load_seconds=spec.load_seconds,
    )


class ModelStore:
    """Models by name, and the blobs that are there without a model."""

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}
        self._loose: dict[str, int] = {}

    def __iter__(self) -> Iterator[Model]:
        """The newest first, as `tags` lists them."""
        return iter(sorted(self._models.values(), key=lambda model: model.modified_at, reverse=True))

    def find(self, name: str) -> Model | None:
        """The model of this name, in whatever case."""
        return self._models.get(normalized(name))

    def put(self, model: Model) -> None:
        """Add or replace a model."""
        self._models[normalized(model.name.full)] = model

    def remove(self, name: str) -> bool:
        """Forget a model, and with it the blobs that no other one uses; whether it was there."""
        return self._models.pop(normalized(name), None) is not None

    def blob_size(self, digest: str) -> int | None:
        """The size of a blob; None where there is none."""
        for model in self._models.values():
            for layer in model.blobs:
                if layer.digest == digest:
                    return layer.size
        return self._loose.get(digest)

    def add_blob(self, digest: str, size: int) -> None:
        """A blob was uploaded."""
        self._loose[digest] = size
