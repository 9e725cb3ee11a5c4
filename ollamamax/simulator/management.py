"""The routes that list, show, copy, delete and transfer models, and those of blobs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs
from twisted.internet.task import deferLater

from . import json_requests as shapes
from .answers import NdjsonStream, answer, answer_failure, answer_json
from .creating import INVALID_NAME, creation_steps
from .failures import ApiFailure, Style, model_absent
from .json_requests import Fields
from .models import ModelName, ModelStore, parsed_name
from .registry import Registry, Step, pull_steps, push_steps
from .show import ps_entry, show_document, tags_entry
from .simulation import Simulation, absent_in_show, cloud_refusal, text
from .site import SimulatedRequest
from .words import BARE_JSON, JSON

_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})\Z")


class InventoryRoutes:
    """What is there.

    Args:
        simulation: what the routes share.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._store: ModelStore = simulation.store

    def tags(self, request: SimulatedRequest) -> None:
        """`GET /api/tags`."""
        profile = self._simulation.settings.profile
        answer_json(request, {"models": [tags_entry(model, profile) for model in self._store]})

    def ps(self, request: SimulatedRequest) -> None:
        """`GET /api/ps`."""
        simulation = self._simulation
        profile, now, wall = simulation.settings.profile, simulation.clock.seconds(), simulation.wall()
        entries = [ps_entry(runner, profile, now=now, wall=wall) for runner in simulation.runners.resident()]
        answer_json(request, {"models": entries})

    def show(self, request: SimulatedRequest) -> None:
        """`POST /api/show`."""
        fields = shapes.read(request.body(), shapes.SHOW)
        name = request.account.model = _named(fields)
        if not name:
            raise ApiFailure(400, "model is required")
        if parsed_name(name) is None:
            raise ApiFailure(400, INVALID_NAME)
        model = self._store.find(name)
        if model is None:
            raise absent_in_show(name, self._simulation.settings.profile)
        answer_json(request, show_document(model))

    def copy(self, request: SimulatedRequest) -> None:
        """`POST /api/copy`."""
        fields = shapes.read(request.body(), shapes.COPY)
        source, destination = text(fields, "source"), text(fields, "destination")
        request.account.model = source
        if parsed_name(source) is None:
            raise ApiFailure(400, f'source "{source}" is invalid')
        target = parsed_name(destination)
        if target is None:
            raise ApiFailure(400, f'destination "{destination}" is invalid')
        model = self._store.find(source)
        if model is None:
            raise ApiFailure(404, f'model "{source}" not found')
        self._store.put(attrs.evolve(model, name=target, modified_at=self._simulation.wall()))
        answer(request, b"")

    def delete(self, request: SimulatedRequest) -> None:
        """`DELETE /api/delete`."""
        fields = shapes.read(request.body(), shapes.DELETE)
        name = request.account.model = _named(fields)
        if parsed_name(name) is None:
            raise ApiFailure(400, f'name "{name}" is invalid')
        if not self._store.remove(name):
            raise model_absent(name)
        answer(request, b"")

    def blob_exists(self, request: SimulatedRequest, digest: str) -> None:
        """`HEAD /api/blobs/:digest`."""
        if self._store.blob_size(_checked_digest(digest)) is None:
            raise ApiFailure(404, f'blob "{digest}" not found')
        request.setResponseCode(200)

    def blob_upload(self, request: SimulatedRequest, digest: str) -> None:
        """`POST /api/blobs/:digest`; what arrives is kept under its own digest, also when it is another one."""
        if self._store.blob_size(_checked_digest(digest)) is not None:
            answer(request, b"")
            return
        found, size = request.body_digest()
        self._store.add_blob(found, size)
        if found != _checked_digest(digest):
            raise ApiFailure(400, f'digest mismatch, expected "{digest}", got "{found}"')
        answer(request, b"", status=201)


class TransferRoutes:
    """What takes its time and reports how far it is.

    Args:
        simulation: what the routes share.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._registry = Registry(simulation.settings.registry)

    async def pull(self, request: SimulatedRequest) -> None:
        """`POST /api/pull`."""
        fields = shapes.read(request.body(), shapes.PULL)
        name = self._name(request, fields)
        steps = pull_steps(
            self._simulation.store,
            self._registry,
            name,
            scheme=_scheme(fields),
            rate=self._simulation.settings.pull_bytes_per_second,
            modified_at=self._simulation.wall(),
        )
        await self._report(request, fields, steps)

    async def push(self, request: SimulatedRequest) -> None:
        """`POST /api/push`."""
        fields = shapes.read(request.body(), shapes.PUSH)
        name = self._name(request, fields)
        steps = push_steps(self._simulation.store, self._registry, name, scheme=_scheme(fields))
        await self._report(request, fields, steps)

    async def create(self, request: SimulatedRequest) -> None:
        """`POST /api/create`."""
        fields = shapes.read(request.body(), shapes.CREATE)
        name = self._name(request, fields)
        steps = creation_steps(
            self._simulation.store,
            self._registry,
            name,
            fields,
            rate=self._simulation.settings.pull_bytes_per_second,
            modified_at=self._simulation.wall(),
        )
        await self._report(request, fields, steps)

    def _name(self, request: SimulatedRequest, fields: Fields) -> ModelName:
        name = request.account.model = _named(fields)
        parsed = parsed_name(name)
        if parsed is None:
            raise ApiFailure(400, INVALID_NAME)
        return parsed

    async def _report(self, request: SimulatedRequest, fields: Fields, steps: Iterator[Step]) -> None:
        """Send each step as a line, or the last one alone where no stream is wanted."""
        streaming = fields.get("stream") is not False
        stream = NdjsonStream(request)
        last: dict[str, object] = {}
        try:
            for step in steps:
                if step.wait_seconds:
                    await deferLater(self._simulation.clock, step.wait_seconds)
                last = step.event
                if streaming:
                    stream.line(last)
        except ApiFailure as failure:
            request.account.broken = True
            if stream.started:
                stream.line(failure.document())
            else:
                style: Style = "chunked" if streaming else "bare"
                answer_failure(request, ApiFailure(failure.status, failure.message, style=style))
            return
        if not streaming:
            answer_json(request, last, media_type=BARE_JSON)


class ServerRoutes:
    """What the server tells of itself, and what only an account could do.

    Args:
        simulation: what the routes share.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._settings = simulation.settings

    def root(self, request: SimulatedRequest) -> None:
        """`GET /`."""
        answer(request, b"Ollama is running", b"text/plain; charset=utf-8")

    def version(self, request: SimulatedRequest) -> None:
        """`GET /api/version`."""
        answer_json(request, {"version": self._settings.profile.version})

    def status(self, request: SimulatedRequest) -> None:
        """`GET /api/status`."""
        disabled = self._settings.profile.cloud_disabled
        answer_json(request, {"cloud": {"disabled": disabled, "source": "env" if disabled else "none"}})

    def account(self, request: SimulatedRequest) -> None:
        """`POST /api/me` and `/api/signout`: nobody is signed in."""
        answer_json(request, {"error": "account unavailable"}, media_type=JSON, status=503)

    def cloud_feature(self, request: SimulatedRequest, feature: str) -> None:
        """`POST /api/experimental/…`: only the cloud has it."""
        raise cloud_refusal(self._settings, f"{feature} is unavailable")


def _named(fields: Fields) -> str:
    return text(fields, "model") or text(fields, "name")


def _scheme(fields: Fields) -> str:
    return "http" if fields.get("insecure") is True else "https"


def _checked_digest(digest: str) -> str:
    match = _DIGEST.match(digest)
    if match is None:
        raise ApiFailure(400, "invalid digest format")
    return f"sha256:{match[1].lower()}"
