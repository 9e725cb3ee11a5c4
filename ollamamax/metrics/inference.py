"""What is counted of inference requests: each once, at its end, with what the ledger keeps of it.

The ledger's own row is what is counted here, so that the two cannot disagree. Everything is called on the reactor's
thread, `snapshot` too; what `snapshot` gives may be rendered on any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Literal, Protocol, get_args

import attrs

from ollamamax.metrics.catalogue import (
    GATEWAY_OVERHEAD,
    INFERENCE_COLD_STARTS,
    INFERENCE_DURATION,
    INFERENCE_FIRST_TOKEN,
    INFERENCE_IN_FLIGHT,
    INFERENCE_INPUT_TOKENS,
    INFERENCE_LOAD_DURATION,
    INFERENCE_OUTPUT_TOKEN,
    INFERENCE_OUTPUT_TOKENS,
    INFERENCE_PROMPT_DURATION,
    INFERENCE_REQUESTS,
    INFERENCE_SLOT_WAIT_DURATION,
    INPUT_TOKENS_CACHED,
    OUTCOMES,
    TOKEN_TYPES,
    TOKENS,
    USAGE_MISSING,
)
from ollamamax.metrics.families import Families, Family, values
from ollamamax.metrics.inference_attempts import AttemptMetrics
from ollamamax.metrics.models import ModelLabels
from ollamamax.metrics.overflow import Overflow
from ollamamax.metrics.series import CounterSeries, HistogramSeries, ModelFamilies

MissingUsage = Literal["aborted", "node_error", "not_reported"]

LOAD = "load"
"""The operation of a request that does no more than load or unload: it has no tokens, and no cold start of its own."""
GOOD = frozenset({"success", "length"})

MAX_MODELS = 200
"""How many models there is room for in each family. With two operations on eight nodes a model costs 9 KB (73 KB with
stock children), 25 KB where every bucket has an exemplar; all families full cost 5 MB."""
_OPERATIONS_OF_A_MODEL = 2


class EndedRequest(Protocol):
    """A request that is over, as the ledger keeps it: its row."""

    @property
    def id(self) -> str:
        """The request's own id."""

    @property
    def finished_at(self) -> float | None:
        """Unix seconds."""

    @property
    def operation(self) -> str | None:
        """`chat`, `generate`, `embed`, `transcribe` or `load`."""

    @property
    def outcome(self) -> str | None:
        """One of `OUTCOMES`."""

    @property
    def model(self) -> str | None:
        """The model's normalised name; None where it is not known."""

    @property
    def input_tokens(self) -> int | None:
        """Of the prompt; None here and below where it was not told."""

    @property
    def output_tokens(self) -> int | None:
        """Generated."""

    @property
    def cached_tokens(self) -> int | None:
        """The part of the input that needed no work."""

    @property
    def slot_wait_seconds(self) -> float | None:
        """What no phase accounts for."""

    @property
    def load_seconds(self) -> float | None:
        """Until the model was there."""

    @property
    def prompt_seconds(self) -> float | None:
        """Reading the prompt."""

    @property
    def first_token_seconds(self) -> float | None:
        """To the first content; streams only."""

    @property
    def duration_seconds(self) -> float | None:
        """All of it."""


@attrs.frozen(kw_only=True)
class Course:
    """What is counted of a request besides what the ledger keeps.

    Attributes:
        output_token_seconds: how long each generated token took; None where that is not known.
        not_resident: whether the node did not have the model in its memory when it got the request; only of answers
            that do not tell how long the load was.
        overhead_seconds: the gateway's own time; None where the request was not answered by a node.
        missing: why a node worked without usable numbers of tokens; None where they are there, or it did not.
    """

    output_token_seconds: float | None = None
    not_resident: bool = False
    overhead_seconds: float | None = None
    missing: MissingUsage | None = None


class InFlight(Protocol):
    """A request that a node works on."""

    @property
    def model(self) -> str | None:
        """The model's normalised name."""


Resident = Callable[[], Iterable[tuple[str, Collection[str] | None]]]
"""Gives the models in the nodes' memory by their normalised names, each with what it is capable of, where known."""


class InferenceMetrics(ModelFamilies):
    """Counts and times inference requests.

    Args:
        labels: which models' names are labels.
        overflow: counts what finds no room; an own one where nobody else's is given.
        cold_start_seconds: a load that took longer is one that was waited for.
        resident: the models that are in some node's memory; their counters begin at 0.

    Attributes:
        live: the requests under way on a node.
        attempts: what is counted of the single attempts.
    """

    def __init__(
        self,
        labels: ModelLabels,
        overflow: Overflow | None = None,
        *,
        cold_start_seconds: float,
        resident: Resident = tuple,
    ) -> None:
        overflow = overflow or Overflow()
        self.live: set[InFlight] = set()
        self._by_outcome = Counter(dict.fromkeys(OUTCOMES, 0))
        self._by_type = Counter(dict.fromkeys(TOKEN_TYPES, 0))
        self.attempts = AttemptMetrics(labels, overflow)
        self._cold_start_seconds = cold_start_seconds
        self._resident = resident
        self._begun: set[tuple[str, str]] = set()
        by_operation = MAX_MODELS * _OPERATIONS_OF_A_MODEL
        self._requests = CounterSeries(INFERENCE_REQUESTS, by_operation * len(OUTCOMES), overflow)
        self._durations = HistogramSeries(INFERENCE_DURATION, by_operation, overflow)
        self._first_token = HistogramSeries(INFERENCE_FIRST_TOKEN, MAX_MODELS, overflow)
        self._output_token = HistogramSeries(INFERENCE_OUTPUT_TOKEN, MAX_MODELS, overflow)
        self._prompt = HistogramSeries(INFERENCE_PROMPT_DURATION, MAX_MODELS, overflow)
        self._slot_wait = HistogramSeries(INFERENCE_SLOT_WAIT_DURATION, MAX_MODELS, overflow)
        self._load = HistogramSeries(INFERENCE_LOAD_DURATION, MAX_MODELS, overflow)
        self._cold_starts = CounterSeries(INFERENCE_COLD_STARTS, MAX_MODELS, overflow)
        self._input = HistogramSeries(INFERENCE_INPUT_TOKENS, MAX_MODELS, overflow)
        self._output = HistogramSeries(INFERENCE_OUTPUT_TOKENS, MAX_MODELS, overflow)
        self._tokens = CounterSeries(TOKENS, 2 * MAX_MODELS, overflow)
        self._cached = CounterSeries(INPUT_TOKENS_CACHED, MAX_MODELS, overflow)
        self._missing = CounterSeries(USAGE_MISSING, len(get_args(MissingUsage)), overflow)
        self._overhead = HistogramSeries(GATEWAY_OVERHEAD, MAX_MODELS, overflow)
        for reason in get_args(MissingUsage):
            self._missing.begin(reason)
        families = (
            *(self._requests, self._durations, self._first_token, self._output_token, self._prompt),
            *(self._slot_wait, self._load, self._cold_starts, self._input, self._output, self._tokens, self._cached),
            *(self._missing, self._overhead),
        )
        super().__init__(labels, families)

    def begin(self, model: str, operation: str) -> None:
        """A model is asked for: its counters are there before its first request is over.

        Args:
            model: its normalised name.
            operation: what is asked of it.
        """
        label = self.labels.label(model)
        if (label, operation) in self._begun or len(self._begun) >= MAX_MODELS * _OPERATIONS_OF_A_MODEL:
            return
        self._begun.add((label, operation))
        for outcome in OUTCOMES:
            self._requests.begin(label, operation, outcome)
        for kind in TOKEN_TYPES:
            self._tokens.begin(label, kind)
        self._cached.begin(label)
        self._cold_starts.begin(label)

    def ended(self, request: EndedRequest, course: Course) -> None:
        """A request is over.

        Args:
            request: its row.
            course: what else there is to count.
        """
        model, operation, outcome = self.labels.label(request.model), request.operation or "", request.outcome or ""
        asked = request.id, request.finished_at or 0.0
        self._by_outcome[outcome] += 1
        self._requests.add(model, operation, outcome)
        if outcome in GOOD and request.duration_seconds is not None:
            self._durations.observe(model, operation, value=request.duration_seconds, asked=asked)
        if course.overhead_seconds is not None:
            self._overhead.observe(operation, value=course.overhead_seconds)
        if operation == LOAD:
            return
        if outcome in GOOD and request.first_token_seconds is not None:
            self._first_token.observe(model, value=request.first_token_seconds, asked=asked)
        self._count_tokens(model, request)
        if course.missing is not None:
            self._missing.add(course.missing)
        for series, seconds in (
            (self._output_token, course.output_token_seconds),
            (self._prompt, request.prompt_seconds),
            (self._slot_wait, request.slot_wait_seconds),
        ):
            if seconds is not None:
                series.observe(model, value=seconds)
        load = request.load_seconds
        is_long = load is not None and load > self._cold_start_seconds
        if load is not None and is_long:
            self._load.observe(model, value=load)
        if is_long or course.not_resident:
            self._cold_starts.add(model)

    def requests_by_outcome(self) -> Mapping[str, int]:
        """The requests that are over, of all models ever, by each way in which one can end."""
        return dict(self._by_outcome)

    def tokens_by_type(self) -> Mapping[str, int]:
        """The tokens of all models ever, `input` and `output`."""
        return dict(self._by_type)

    def forget_models(self) -> None:
        """Drops the series of models whose names are labels no more, to make room for others."""
        super().forget_models()
        self.attempts.forget_models()
        self._begun = {begun for begun in self._begun if self.labels.is_label(begun[0])}

    def snapshot(self) -> Families:
        """Copies the state as it is now."""
        for model, capabilities in self._resident():
            for operation in operations_of(capabilities):
                self.begin(model, operation)
        in_flight = Counter({label: 0 for label, _ in self._begun})
        in_flight.update(self.labels.label(request.model) for request in self.live)
        return partial(_families, super().snapshot(), tuple(in_flight.items()))

    def _count_tokens(self, model: str, request: EndedRequest) -> None:
        for kind, tokens, series in (
            ("input", request.input_tokens, self._input),
            ("output", request.output_tokens, self._output),
        ):
            if tokens is not None:
                self._by_type[kind] += tokens
                self._tokens.add(model, kind, amount=tokens)
                series.observe(model, value=tokens)
        if request.cached_tokens is not None:
            self._cached.add(model, amount=request.cached_tokens)


def operations_of(capabilities: Collection[str] | None) -> tuple[str, ...]:
    """What a model will be asked for, by what Ollama says that it is capable of (`types/model/capability.go`)."""
    return ("embed",) if capabilities and "embedding" in capabilities else ("chat", "generate")


def _families(counted: Families, in_flight: tuple[tuple[str, int], ...]) -> Iterable[Family]:
    yield from counted()
    yield values(INFERENCE_IN_FLIGHT, (((model,), number) for model, number in in_flight))
