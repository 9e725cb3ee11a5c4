"""`/api/create`: a new model from another one or from uploaded files. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from .failures import ApiFailure
from .json_requests import Fields
from .models import Model, ModelName, ModelStore, parsed_name
from .registry import Registry, Step, pull_steps, status
from .settings import COMPLETION_TEMPLATE
from .weights import Weights, blob_path

INVALID_NAME = "invalid model name"


def creation_steps(
    store: ModelStore, registry: Registry, name: ModelName, fields: Fields, *, rate: float, modified_at: float
) -> Iterator[Step]:
    """Make a model and report each layer.

    Args:
        store: where its base is, and where it goes.
        registry: where the base comes from if it is not there.
        name: of the new model.
        fields: the request's.
        rate: of a pull, in bytes per second.
        modified_at: when, in seconds since 1970.

    Raises:
        ApiFailure: 400 for what the request asks, 500 for a pull that fails.
    """
    base: Model
    origin, files = fields.get("from"), fields.get("files")
    if isinstance(origin, str) and origin:
        base_name = parsed_name(origin)
        if base_name is None:
            raise ApiFailure(400, INVALID_NAME)
        found = store.find(origin)
        if found is None:
            steps = pull_steps(store, registry, base_name, scheme="https", rate=rate, modified_at=modified_at)
            yield from (step for step in steps if step.event["status"] != "success")
            found = store.find(base_name.full)
        assert found is not None
        base = attrs.evolve(found, name=name, modified_at=modified_at)
    elif isinstance(files, dict) and files:
        base = _from_files(store, name, files, modified_at)
        yield status("parsing GGUF")
    else:
        raise ApiFailure(400, "neither 'from' or 'files' was specified")
    model = _changed(base, fields)
    for layer in model.layers:
        known = store.blob_size(layer.digest) is not None
        yield status(f"{'using existing' if known else 'creating new'} layer {layer.digest}")
    yield status("writing manifest")
    store.put(model)
    yield status("success")


def _changed(base: Model, fields: Fields) -> Model:
    """A model with what the request replaces."""
    changes: dict[str, object] = {}
    for field in ("template", "system"):
        value = fields.get(field)
        if isinstance(value, str) and value:
            changes[field] = value
    licenses = fields.get("license")
    if isinstance(licenses, list):
        licenses = "\n".join(str(each) for each in licenses)
    if isinstance(licenses, str) and licenses:
        changes["license"] = licenses
    parameters = fields.get("parameters")
    if isinstance(parameters, Mapping) and parameters:
        changes["parameters"] = {**base.parameters, **parameters}
    return attrs.evolve(base, **changes)  # type: ignore[arg-type]


def _from_files(store: ModelStore, name: ModelName, files: Mapping[str, object], modified_at: float) -> Model:
    """A model whose weights are an uploaded blob."""
    digest = str(next(iter(files.values())))
    size = store.blob_size(digest)
    if size is None:
        raise ApiFailure(400, f"open {blob_path(digest)}: no such file or directory")
    return Model(name=name, weights=Weights(digest, size), modified_at=modified_at, template=COMPLETION_TEMPLATE)
