"""What is counted of the single attempts of inference requests: which node did how much work, how fast.

A request that was tried on two nodes is one request and two attempts. Everything is called on the reactor's thread,
`snapshot` too; what `snapshot` gives may be rendered on any other.
"""

from __future__ import annotations

import attrs

from ollamamax.metrics.catalogue import (
    NODE_FIRST_TOKEN,
    NODE_OUTPUT_TOKEN,
    NODE_RESPONSE_START,
    NODE_TOKENS,
    TOKEN_TYPES,
)
from ollamamax.metrics.models import ModelLabels
from ollamamax.metrics.overflow import Overflow
from ollamamax.metrics.series import CounterSeries, HistogramSeries, ModelFamilies, SummarySeries

MAX_NODES = 200
MAX_PLACES = 800
"""How many pairs of a node and a model there is room for."""


@attrs.frozen(kw_only=True)
class AnsweredAttempt:
    """An attempt that a node answered, whatever became of the answer.

    Attributes:
        node: the node's configured name.
        model: the model's normalised name.
        response_start_seconds: from the dispatch to the head of a good answer; streams only.
        first_token_seconds: from the dispatch to the first content, where the answer was a good one; streams only.
        output_token_seconds: how long each generated token took.
        input_tokens: of the prompt; None here and below where it was not told.
        output_tokens: generated.
    """

    node: str
    model: str
    response_start_seconds: float | None = None
    first_token_seconds: float | None = None
    output_token_seconds: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class AttemptMetrics(ModelFamilies):
    """Counts and times attempts.

    Args:
        labels: which models' names are labels.
        overflow: counts what finds no room.
    """

    def __init__(self, labels: ModelLabels, overflow: Overflow) -> None:
        self._tokens = CounterSeries(NODE_TOKENS, 2 * MAX_PLACES, overflow)
        self._first_token = SummarySeries(NODE_FIRST_TOKEN, MAX_PLACES, overflow)
        self._output_token = SummarySeries(NODE_OUTPUT_TOKEN, MAX_PLACES, overflow)
        self._response_start = HistogramSeries(NODE_RESPONSE_START, MAX_NODES, overflow)
        super().__init__(labels, (self._tokens, self._first_token, self._output_token, self._response_start))

    def begin(self, node: str, model: str) -> None:
        """A node is asked for a model: its counters are there before the attempt is over.

        Args:
            node: its configured name.
            model: the model's normalised name.
        """
        label = self.labels.label(model)
        for kind in TOKEN_TYPES:
            self._tokens.begin(node, label, kind)

    def answered(self, attempt: AnsweredAttempt) -> None:
        """An attempt is over."""
        place = attempt.node, self.labels.label(attempt.model)
        if attempt.input_tokens is not None:
            self._tokens.add(*place, "input", amount=attempt.input_tokens)
        if attempt.output_tokens is not None:
            self._tokens.add(*place, "output", amount=attempt.output_tokens)
        if attempt.first_token_seconds is not None:
            self._first_token.observe(*place, value=attempt.first_token_seconds)
        if attempt.output_token_seconds is not None:
            self._output_token.observe(*place, value=attempt.output_token_seconds)
        if attempt.response_start_seconds is not None:
            self._response_start.observe(attempt.node, value=attempt.response_start_seconds)
