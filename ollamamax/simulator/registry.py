"""A simulated model registry, and what pulling from it and pushing to it reports. Pure.

A transfer is told as steps: wait so long, then this line. A failure is raised where it happens.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator, Sequence

import attrs

from ollamamax.names import normalized

from .failures import ApiFailure
from .models import DEFAULT_HOST, Layer, Model, ModelName, ModelStore, model_of
from .settings import BLOCK_BYTES, ModelSpec

REPORT_SECONDS = 0.06
"""How often a pull reports (`server/download.go`)."""


@attrs.frozen
class Step:
    """One line of a report, and how long it takes until it is sent."""

    event: dict[str, object]
    wait_seconds: float = 0.0


def status(text: str) -> Step:
    """A line that only says what is being done."""
    return Step({"status": text})


class Registry:
    """What can be pulled.

    Args:
        specs: its models; those of another host make that host reachable.
    """

    def __init__(self, specs: Sequence[ModelSpec]) -> None:
        models = [model_of(spec, 0.0) for spec in specs]
        self._models = {normalized(model.name.full): model for model in models}
        self._hosts = {DEFAULT_HOST, *(model.name.host for model in models)}

    def model(self, name: ModelName, *, scheme: str) -> Model:
        """The model of this name.

        Raises:
            ApiFailure: 500, in the words of a real pull.
        """
        if name.host not in self._hosts:
            address = f"{scheme}://{name.host}/v2/{name.namespace}/{name.model}/manifests/{name.tag}"
            raise ApiFailure(500, f'pull model manifest: Get "{address}": {unreachable(name.host, scheme)}')
        model = self._models.get(normalized(name.full))
        if model is None:
            raise ApiFailure(500, "pull model manifest: file does not exist")
        return model

    def reachable(self, host: str) -> bool:
        """Whether there is such a host."""
        return host in self._hosts


def unreachable(host: str, scheme: str) -> str:
    """Why Go could not connect."""
    name, _, port = host.partition(":")
    port = port or ("443" if scheme == "https" else "80")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return f"dial tcp: lookup {name}: no such host"
    return f"dial tcp {name}:{port}: connect: connection refused"


def pull_steps(
    store: ModelStore, registry: Registry, name: ModelName, *, scheme: str, rate: float, modified_at: float
) -> Iterator[Step]:
    """Pull a model into the store.

    Args:
        store: where it goes.
        registry: where it comes from.
        name: what is pulled.
        scheme: `http` or `https`.
        rate: bytes per second.
        modified_at: when, in seconds since 1970.
    """
    yield status("pulling manifest")
    offered = registry.model(name, scheme=scheme)
    for layer in offered.blobs:
        yield from _blob_steps(layer, rate, there=store.blob_size(layer.digest) is not None)
    yield status("verifying sha256 digest")
    yield status("writing manifest")
    store.put(attrs.evolve(offered, name=name, modified_at=modified_at))
    yield status("success")


def push_steps(store: ModelStore, registry: Registry, name: ModelName, *, scheme: str) -> Iterator[Step]:
    """Push a model from the store; the registry has all blobs at once, and forgets them."""
    yield status("retrieving manifest")
    model = store.find(name.full)
    if model is None:
        yield status("couldn't retrieve manifest")
        raise ApiFailure(500, f"open {name.manifest_path}: no such file or directory")
    if not registry.reachable(name.host):
        blob = f"{scheme}://{name.host}/v2/{name.namespace}/{name.model}/blobs/{model.layers[0].digest}"
        raise ApiFailure(500, f'Head "{blob}": {unreachable(name.host, scheme)}')
    for layer in model.blobs:
        yield Step(_progress("pushing", layer, layer.size))
    yield status("pushing manifest")
    yield status("success")


def _blob_steps(layer: Layer, rate: float, *, there: bool) -> Iterator[Step]:
    """A report every 60 ms until the blob is there; one that is there already is reported once, as complete.

    Whole blocks count, the first one at once and a further one each `BLOCK_BYTES / rate` seconds; the last, shorter
    one counts when it is all there.
    """
    if there:
        yield Step(_progress("pulling", layer, layer.size))
        return
    period = BLOCK_BYTES / rate
    lasts = max(1, math.ceil(layer.size / BLOCK_BYTES) - 1) * period
    for tick in range(1, math.ceil(lasts / REPORT_SECONDS) + 1):
        passed = tick * REPORT_SECONDS
        if passed >= lasts and tick > 1:
            break
        blocks = min(layer.size // BLOCK_BYTES, 1 + int(passed / period))
        yield Step(_progress("pulling", layer, blocks * BLOCK_BYTES), REPORT_SECONDS)


def _progress(verb: str, layer: Layer, completed: int) -> dict[str, object]:
    event: dict[str, object] = {
        "status": f"{verb} {layer.digest.removeprefix('sha256:')[:12]}",
        "digest": layer.digest,
        "total": layer.size,
    }
    return {**event, "completed": completed} if completed else event
