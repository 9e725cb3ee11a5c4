"""What is counted of inference requests."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any, get_args

import attrs
import pytest

from ollamamax.metrics.catalogue import INFERENCE_FIRST_TOKEN, INFERENCE_REQUESTS, OPERATIONS, OUTCOMES, USAGE_MISSING
from ollamamax.metrics.inference import LOAD, MAX_MODELS, Course, InferenceMetrics, MissingUsage, operations_of
from ollamamax.metrics.models import ModelLabels
from ollamamax.metrics.overflow import Overflow
from ollamamax.store.ledger_row import LedgerRow

REQUESTS = "ollamamax_inference_requests_total"
DURATION = "ollamamax_inference_duration_seconds"
FIRST = "ollamamax_inference_time_to_first_token_seconds"
PACE = "ollamamax_inference_time_per_output_token_seconds"
LOADS = "ollamamax_inference_load_duration_seconds"
COLD = "ollamamax_inference_cold_starts_total"
TOKENS = "ollamamax_tokens_total"
MISSING = "ollamamax_usage_missing_total"
OVERHEAD = "ollamamax_gateway_overhead_seconds"
IN_FLIGHT = "ollamamax_inference_in_flight"

FULL = LedgerRow(
    id="r",
    started_at=1.0,
    finished_at=2.0,
    endpoint="/api/chat",
    operation="chat",
    outcome="success",
    model="tiny:latest",
    input_tokens=7,
    output_tokens=9,
    cached_tokens=3,
    slot_wait_seconds=1.5,
    load_seconds=0.002,
    prompt_seconds=0.5,
    first_token_seconds=2.0,
    duration_seconds=3.0,
)
"""A stream of Ollama's own API, with everything that can be known of it."""
EMPTY = LedgerRow(id="r", started_at=1.0, finished_at=2.0, endpoint="/api/chat", operation="chat", duration_seconds=0.1)
"""A request of which nothing is known."""
PACED = Course(output_token_seconds=0.25, overhead_seconds=0.001)


class Counted:
    """Metrics before nodes that have some models, and what they show.

    Args:
        models: that some node has.
        resident: those in its memory, with their capabilities.
    """

    def __init__(self, *models: str, resident: dict[str, list[str] | None] | None = None) -> None:
        self.models = set(models) or {"tiny:latest"}
        self.overflow = Overflow()
        self.metrics = InferenceMetrics(
            ModelLabels(self.models.__contains__),
            self.overflow,
            cold_start_seconds=0.1,
            resident=(resident or {}).items,
        )

    def ended(self, row: LedgerRow, course: Course = Course(), **columns: Any) -> None:  # noqa: B008 - it is frozen
        """A request is over, as the row has it but for these columns."""
        self.metrics.ended(attrs.evolve(row, **columns), course)

    def shown(self) -> dict[tuple[str, ...], float]:
        """All samples but buckets and what is 0, by name and values of labels in the order of their names."""
        return {key: value for key, value in self.samples().items() if value and not key[0].endswith("_bucket")}

    def samples(self) -> dict[tuple[str, ...], float]:
        """All samples, by name and values of labels in the order of their names."""
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in self.metrics.snapshot()()
            for sample in family.samples
        }


def test_a_stream_of_ollamas_own_api() -> None:
    """All that its row has is shown under its model, once."""
    counted = Counted()
    counted.ended(FULL, PACED)
    of_model: dict[str, float] = {
        FIRST: 2.0,
        PACE: 0.25,
        "ollamamax_inference_prompt_duration_seconds": 0.5,
        "ollamamax_inference_slot_wait_duration_seconds": 1.5,
        "ollamamax_inference_input_tokens": 7,
        "ollamamax_inference_output_tokens": 9,
    }
    expected: dict[tuple[str, ...], float] = {
        (REQUESTS, "tiny:latest", "chat", "success"): 1,
        (f"{DURATION}_count", "tiny:latest", "chat"): 1,
        (f"{DURATION}_sum", "tiny:latest", "chat"): 3.0,
        **{(f"{name}_count", "tiny:latest"): 1 for name in of_model},
        **{(f"{name}_sum", "tiny:latest"): value for name, value in of_model.items()},
        (TOKENS, "tiny:latest", "input"): 7,
        (TOKENS, "tiny:latest", "output"): 9,
        ("ollamamax_input_tokens_cached_total", "tiny:latest"): 3,
        (f"{OVERHEAD}_count", "chat"): 1,
        (f"{OVERHEAD}_sum", "chat"): 0.001,
    }
    assert counted.shown() == expected


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_only_good_ends_are_timed(outcome: str) -> None:
    """Durations and first tokens are those of success and length; tokens are counted whatever the end."""
    counted = Counted()
    counted.ended(FULL, outcome=outcome)
    shown = counted.shown()
    good = outcome in ("success", "length")
    assert shown[REQUESTS, "tiny:latest", "chat", outcome] == 1
    assert ((f"{DURATION}_count", "tiny:latest", "chat") in shown) is good
    assert ((f"{FIRST}_count", "tiny:latest") in shown) is good
    assert (shown[TOKENS, "tiny:latest", "input"], shown[TOKENS, "tiny:latest", "output"]) == (7, 9)
    assert counted.metrics.requests_by_outcome() == dict.fromkeys(OUTCOMES, 0) | {outcome: 1}
    assert counted.metrics.tokens_by_type() == {"input": 7, "output": 9}


def test_a_load_has_no_tokens() -> None:
    """A request that only loads a model is counted, timed, and in no metric of tokens, first tokens or cold starts."""
    counted = Counted()
    counted.ended(FULL, attrs.evolve(PACED, not_resident=True, missing=None), operation="load", load_seconds=4.0)
    assert {key[0] for key in counted.shown()} == {
        REQUESTS,
        *(f"{name}_{part}" for name in (DURATION, OVERHEAD) for part in ("count", "sum")),
    }
    assert counted.metrics.tokens_by_type() == {"input": 0, "output": 0}


def test_what_is_not_known_is_not_counted() -> None:
    """None is no zero: of a request without numbers only its end is told, a 0 is told as what it is."""
    counted = Counted()
    counted.ended(EMPTY, model="tiny:latest", outcome="node_error")
    assert counted.shown() == {(REQUESTS, "tiny:latest", "chat", "node_error"): 1}
    counted.ended(EMPTY, model="tiny:latest", outcome="success", output_tokens=0, first_token_seconds=0.0)
    samples = counted.samples()
    assert samples["ollamamax_inference_output_tokens_count", "tiny:latest"] == 1
    assert samples[f"{FIRST}_count", "tiny:latest"] == 1
    assert ("ollamamax_inference_input_tokens_count", "tiny:latest") not in samples


@pytest.mark.parametrize(
    ("load_seconds", "not_resident", "loads", "cold"),
    [
        (None, False, 0, 0),
        (0.002, False, 0, 0),
        (0.1, False, 0, 0),
        (0.1001, False, 1, 1),
        (None, True, 0, 1),
    ],
)
def test_cold_starts(load_seconds: float | None, not_resident: bool, loads: int, cold: int) -> None:
    """A load above the threshold is timed and counted; where no load is told, what the node had in memory counts."""
    counted = Counted()
    counted.ended(FULL, Course(not_resident=not_resident), load_seconds=load_seconds)
    shown = counted.shown()
    assert shown.get((f"{LOADS}_count", "tiny:latest"), 0) == loads
    assert shown.get((COLD, "tiny:latest"), 0) == cold


def test_missing_usage_is_there_from_the_start() -> None:
    """Each reason has its series, so that the first one shows in a rate."""
    counted = Counted()
    assert {key[1]: value for key, value in counted.samples().items() if key[0] == MISSING} == {
        "aborted": 0,
        "node_error": 0,
        "not_reported": 0,
    }
    counted.ended(EMPTY, Course(missing="aborted"), outcome="client_disconnected")
    assert counted.samples()[MISSING, "aborted"] == 1


def test_counters_begin_at_zero_when_a_model_is_resident_or_asked_for() -> None:
    """Before anything is over; histograms come with their first observation."""
    counted = Counted(
        *("tiny:latest", "vectors:latest", "asked:latest"),
        resident={"tiny:latest": ["completion", "tools"], "vectors:latest": ["embedding"]},
    )
    counted.metrics.begin("asked:latest", "transcribe")
    samples = counted.samples()
    assert {key[1:] for key in samples if key[0] == REQUESTS} == {
        (model, operation, outcome)
        for model, operations in (
            ("tiny:latest", ("chat", "generate")),
            ("vectors:latest", ("embed",)),
            ("asked:latest", ("transcribe",)),
        )
        for operation in operations
        for outcome in OUTCOMES
    }
    for model in counted.models:
        for key in (
            *((TOKENS, model, "input"), (TOKENS, model, "output"), (COLD, model)),
            *(("ollamamax_input_tokens_cached_total", model), (IN_FLIGHT, model)),
        ):
            assert samples[key] == 0
    assert not any(key[0].startswith((DURATION, FIRST)) for key in samples)


def test_the_words_are_the_catalogues() -> None:
    """The closed values that are written here are those that are declared."""
    assert USAGE_MISSING.closed["reason"] == get_args(MissingUsage)
    assert {LOAD, *operations_of(None), *operations_of(["embedding"])} <= set(OPERATIONS)


@pytest.mark.parametrize(
    ("capabilities", "operations"),
    [
        (None, ("chat", "generate")),
        ([], ("chat", "generate")),
        (["completion", "vision"], ("chat", "generate")),
        (["embedding"], ("embed",)),
    ],
)
def test_what_a_model_will_be_asked_for(capabilities: list[str] | None, operations: tuple[str, ...]) -> None:
    """Text, unless it makes embeddings."""
    assert operations_of(capabilities) == operations


def test_in_flight_is_a_live_set() -> None:
    """Counted by looking, by the model that is known by then; one that has none running is shown as 0."""
    counted = Counted()
    counted.metrics.begin("tiny:latest", "chat")
    counted.metrics.live.update(_Running(model) for model in ("tiny:latest", "tiny:latest", "alien"))
    assert {key[1]: value for key, value in counted.samples().items() if key[0] == IN_FLIGHT} == {
        "tiny:latest": 2,
        "other": 1,
    }
    counted.metrics.live.clear()
    assert counted.samples()[IN_FLIGHT, "tiny:latest"] == 0


@attrs.define(eq=False)
class _Running:
    model: str | None


def test_a_hundred_thousand_hostile_names_make_no_series() -> None:
    """They are all one model, `other`."""
    counted = Counted()
    counted.ended(FULL, PACED)
    counted.metrics.begin("alien", "chat")
    counted.ended(FULL, PACED, model="alien")
    before = counted.samples().keys()
    chance = random.Random(1)
    for number in range(100_000):
        name = f"{chance.getrandbits(64):x}:{number}"
        counted.metrics.begin(name, "chat")
        if number % 100 == 0:
            counted.ended(FULL, PACED, model=name)
    assert counted.samples().keys() == before
    assert counted.samples()[REQUESTS, "other", "chat", "success"] == 1001


def test_more_models_than_there_is_room_for_are_folded() -> None:
    """Every family folds by itself, and says how much; the sums stay true."""
    models = [f"m{number}:latest" for number in range(MAX_MODELS + 5)]
    counted = Counted(*models)
    for model in models:
        for operation in ("chat", "generate"):
            counted.metrics.begin(model, operation)
            counted.ended(FULL, PACED, model=model, operation=operation)
    samples = counted.samples()
    assert sum(value for key, value in samples.items() if key[0] == REQUESTS) == 2 * len(models)
    assert samples[REQUESTS, "other", "chat", "success"] == 5
    (family,) = counted.overflow.snapshot()()
    folded = {sample.labels["family"]: sample.value for sample in family.samples}
    assert (folded[INFERENCE_REQUESTS.name], folded[INFERENCE_FIRST_TOKEN.name]) == (10, 10)


def test_models_that_are_gone_make_room() -> None:
    """Their series are dropped; one that comes again begins at 0, and what was counted of all stays."""
    counted = Counted("old:latest", "new:latest")
    for model in ("old:latest", "new:latest"):
        counted.metrics.begin(model, "chat")
        counted.ended(FULL, PACED, model=model)
    counted.models.remove("old:latest")
    counted.metrics.forget_models()
    assert {key[1] for key in counted.samples() if key[0] == REQUESTS} == {"new:latest"}
    assert counted.metrics.requests_by_outcome()["success"] == 2
    counted.models.add("old:latest")
    counted.metrics.begin("old:latest", "chat")
    assert counted.samples()[REQUESTS, "old:latest", "chat", "success"] == 0


def test_memory_is_bounded() -> None:
    """Twenty models with all that can be told of them cost less than 20 KB each."""
    models = [f"m{number}:latest" for number in range(20)]
    counted = Counted(*models)
    tracemalloc.start()
    try:
        for model in models:
            for operation in ("chat", "generate"):
                counted.metrics.begin(model, operation)
                for seconds in (0.02, 0.2, 2.0):
                    counted.ended(FULL, PACED, model=model, operation=operation, duration_seconds=seconds)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept / len(models) < 20_000
