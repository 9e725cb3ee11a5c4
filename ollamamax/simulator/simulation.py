"""What all routes share: the parts of the simulated server, and small readers of a request's fields."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import attrs
from twisted.internet.interfaces import IReactorTime

from . import options
from .durations import instant
from .failures import ApiFailure, model_absent
from .generation import Generation, Phases
from .json_requests import Fields
from .models import Model, ModelStore, parsed_name
from .runners import Runners
from .scheduler import Job
from .settings import SimulatorSettings
from .site import SimulatedRequest


@attrs.frozen
class Simulation:
    """What the routes share.

    Attributes:
        clock: for all waiting and all durations.
        wall: the time of day, in seconds since 1970.
        settings: speeds and limits.
        store: models and blobs.
        runners: the scheduler.
    """

    clock: IReactorTime
    wall: Callable[[], float]
    settings: SimulatorSettings
    store: ModelStore
    runners: Runners

    def now(self) -> str:
        """The time of day as answers tell it."""
        return instant(self.wall())

    def job(self, model: Model, fields: Fields, in_force: Mapping[str, object]) -> Job:
        """A request to the scheduler."""
        keep_alive = fields.get("keep_alive", self.settings.keep_alive_seconds)
        load = model.load_seconds
        embedding_only = model.capabilities == ("embedding",)
        return Job(
            model=model,
            signature=options.signature(in_force, model.weights.context_length),
            keep_alive=float(keep_alive) if isinstance(keep_alive, int | float) else math.inf,
            load_seconds=self.settings.load_seconds if load is None else load,
            parallel=1 if embedding_only else self.settings.parallel,
        )

    def found(self, name: str) -> Model:
        """The model of this name, for inference.

        Raises:
            ApiFailure: it is not there, or it is one of the cloud's.
        """
        if is_cloud(name):
            raise cloud_refusal(self.settings)
        model = self.store.find(name) if parsed_name(name) else None
        if model is None:
            raise model_absent(name)
        return model


async def carried(request: SimulatedRequest, generation: Generation) -> Phases:
    """Run a generation to its end, whichever it is, and note in the request's account what it did."""
    try:
        return await generation.start()
    finally:
        _note(request, generation)


def _note(request: SimulatedRequest, generation: Generation) -> None:
    account, progress = request.account, generation.progress
    account.tokens, account.cold = progress.tokens, progress.cold
    if progress.phases is not None:
        account.load_seconds = progress.phases.load
        account.slot_seconds = progress.phases.slot
        account.prompt_seconds = progress.phases.prompt
        account.output_seconds = progress.phases.output


def text(fields: Fields, name: str) -> str:
    """A text among the fields."""
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def sequence(fields: Fields, name: str) -> Sequence[object]:
    """A list among the fields."""
    value = fields.get(name)
    return value if isinstance(value, list) else ()


def mapping(fields: Fields, name: str) -> Mapping[str, object]:
    """An object among the fields."""
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def is_cloud(name: str) -> bool:
    """Whether a name asks for a model of Ollama's cloud."""
    tag = name.rpartition(":")[2].casefold() if ":" in name else ""
    return tag == "cloud" or tag.endswith("-cloud")


def cloud_refusal(settings: SimulatorSettings, feature: str = "remote model") -> ApiFailure:
    """What a server without an account says when the cloud is asked for."""
    if settings.profile.cloud_disabled:
        return ApiFailure(403, f"ollama cloud is disabled: {feature} is unavailable")
    return ApiFailure(401, "unauthorized", extra={"signin_url": "https://ollama.com/connect?name=simulator&key="})
