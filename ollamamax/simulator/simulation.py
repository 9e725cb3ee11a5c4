"""What all routes share: the parts of the simulated server, and small readers of a request's fields."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from . import options
from .durations import instant
from .failures import ApiFailure, engine_lost, model_absent
from .faults import Fault, FaultDraw
from .generation import Generation, Phases
from .json_requests import Fields
from .models import Model, ModelStore, parsed_name
from .runners import Runners
from .scheduler import Job
from .settings import Profile, SimulatorSettings
from .site import SimulatedRequest

RESET_SECONDS = 0.02
"""What has been written has so long to be on its way before a connection is reset; a reset discards what is not."""


@attrs.frozen
class Simulation:
    """What the routes share.

    Attributes:
        clock: for all waiting and all durations.
        wall: the time of day, in seconds since 1970.
        settings: speeds and limits.
        store: models and blobs.
        runners: the scheduler.
        faults: which requests go wrong without having asked for it.
    """

    clock: IReactorTime
    wall: Callable[[], float]
    settings: SimulatorSettings
    store: ModelStore
    runners: Runners
    faults: FaultDraw

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

    def fault(self, asked_for: Fault | None) -> Fault | None:
        """What goes wrong with the next request: what its prompt asks for, else what is drawn for it."""
        drawn = self.faults.draw()
        return drawn if asked_for is None else asked_for

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


async def ended_by(fault: Fault, request: SimulatedRequest, clock: IReactorTime) -> None:
    """End an answer as a fault asks for, now that what it sends is written.

    Args:
        fault: what was injected.
        request: the request that is answered.
        clock: for the moment before a reset.

    Raises:
        ApiFailure: an error within an answer that is no stream.
    """
    request.account.broken = True
    if fault.kind == "inband" and not request.startedWriting:
        raise engine_lost()
    if fault.kind not in ("reset", "truncate"):
        return
    if fault.kind == "reset" and request.startedWriting:
        await deferLater(clock, RESET_SECONDS)
    request.break_off(reset=fault.kind == "reset")
    await Deferred()  # until the connection is gone: there is nothing to finish


def _note(request: SimulatedRequest, generation: Generation) -> None:
    account, progress = request.account, generation.progress
    account.tokens, account.cold = progress.tokens, progress.cold
    account.injected = progress.injected or ""
    account.broken = account.broken or progress.injected == "garbage"
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


def absent_in_show(name: str, profile: Profile) -> ApiFailure:
    """What `show` says of a model that is not there."""
    parsed = parsed_name(name)
    return model_absent(parsed.shortest if profile.absent_with_tag and parsed is not None else name)


def is_cloud(name: str) -> bool:
    """Whether a name asks for a model of Ollama's cloud."""
    tag = name.rpartition(":")[2].casefold() if ":" in name else ""
    return tag == "cloud" or tag.endswith("-cloud")


def cloud_refusal(settings: SimulatorSettings, what: str = "remote model is unavailable") -> ApiFailure:
    """What a server without an account says when the cloud is asked for."""
    if settings.profile.cloud_disabled:
        return ApiFailure(403, f"ollama cloud is disabled: {what}")
    return ApiFailure(401, "unauthorized", extra={"signin_url": "https://ollama.com/connect?name=simulator&key="})
