"""What is counted of the attempts of inference requests."""

from __future__ import annotations

from ollamamax.metrics.inference_attempts import AnsweredAttempt, AttemptMetrics
from ollamamax.metrics.models import ModelLabels
from ollamamax.metrics.overflow import Overflow

TOKENS = "ollamamax_node_tokens_total"
FIRST = "ollamamax_node_time_to_first_token_seconds"
PACE = "ollamamax_node_time_per_output_token_seconds"
START = "ollamamax_node_response_start_duration_seconds"


def shown(metrics: AttemptMetrics) -> dict[tuple[str, ...], float]:
    """All samples but buckets, by name and values of labels in the order of their names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in metrics.snapshot()()
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def test_what_is_known_of_an_attempt_is_its_nodes() -> None:
    """Tokens, first token and pace by node and model, the start of the answer by node."""
    metrics = AttemptMetrics(ModelLabels({"tiny:latest"}.__contains__), Overflow())
    metrics.begin("a", "tiny:latest")
    metrics.begin("b", "tiny:latest")
    assert set(shown(metrics).values()) == {0}
    metrics.answered(
        AnsweredAttempt(
            node="a",
            model="tiny:latest",
            response_start_seconds=0.5,
            first_token_seconds=0.75,
            output_token_seconds=0.25,
            input_tokens=3,
            output_tokens=5,
        )
    )
    metrics.answered(AnsweredAttempt(node="b", model="alien", input_tokens=2))
    assert {key: value for key, value in shown(metrics).items() if value} == {
        (TOKENS, "tiny:latest", "a", "input"): 3,
        (TOKENS, "tiny:latest", "a", "output"): 5,
        (TOKENS, "other", "b", "input"): 2,
        (f"{FIRST}_count", "tiny:latest", "a"): 1,
        (f"{FIRST}_sum", "tiny:latest", "a"): 0.75,
        (f"{PACE}_count", "tiny:latest", "a"): 1,
        (f"{PACE}_sum", "tiny:latest", "a"): 0.25,
        (f"{START}_count", "a"): 1,
        (f"{START}_sum", "a"): 0.5,
    }


def test_what_is_not_known_is_not_counted() -> None:
    """An attempt of which nothing was told leaves nothing."""
    metrics = AttemptMetrics(ModelLabels(lambda _: True), Overflow())
    metrics.answered(AnsweredAttempt(node="a", model="x"))
    assert shown(metrics) == {}
