"""Inference: what requests waited for, how long their tokens took, how they ended; by model."""

from __future__ import annotations

from .page import Page, Row
from .panels import heat, lines
from .queries import CALLERS, MODEL, OURS, Query, mean, quantile, quantiles, rate, series, share, total, worst

_REQUESTS = "ollamamax_inference_requests_total"
_FIRST = "ollamamax_inference_time_to_first_token_seconds"
_PACE = "ollamamax_inference_time_per_output_token_seconds"
_DURATION = "ollamamax_inference_duration_seconds"
_PROMPT = "ollamamax_inference_prompt_duration_seconds"
_SLOT = "ollamamax_inference_slot_wait_duration_seconds"
_LOAD = "ollamamax_inference_load_duration_seconds"
_OVERHEAD = "ollamamax_gateway_overhead_seconds"
_TOKENS = "ollamamax_tokens_total"

_NATIVE = "Of the native routes only: an answer under /v1 does not tell it."

_TRAFFIC = Row(
    "Traffic",
    [
        lines(
            "Requests by model",
            "Inference requests that ended. `other` are models that no node has or had within the last 7 days.",
            "reqps",
            Query(total(rate(_REQUESTS, MODEL), "model"), "{{model}}"),
            span=8,
            stacked=True,
        ),
        lines(
            "Requests by operation",
            "What was asked for. `load` is an empty prompt, which loads or unloads a model.",
            "reqps",
            Query(total(rate(_REQUESTS, MODEL), "operation"), "{{operation}}"),
            span=8,
            stacked=True,
        ),
        lines(
            "In flight by model",
            "Inference requests under way at the moment of the scrape.",
            "short",
            Query(total(series("ollamamax_inference_in_flight", MODEL), "model"), "{{model}}"),
            span=8,
            stacked=True,
        ),
        lines(
            "Failed by us",
            "Requests that failed for a reason of the fleet's: no usable node, a node's error, a stream that broke "
            "or stayed incomplete.",
            "reqps",
            Query(total(rate(_REQUESTS, MODEL, f'outcome=~"{OURS}"'), "outcome"), "{{outcome}}"),
            stacked=True,
        ),
        lines(
            "Ended by the caller",
            "Bad bodies, unknown models, and clients that did not wait: nothing that the fleet could do better, "
            "unless they did not wait because it was slow.",
            "reqps",
            Query(total(rate(_REQUESTS, MODEL, f'outcome=~"{CALLERS}"'), "outcome"), "{{outcome}}"),
            stacked=True,
        ),
    ],
)

_BEGINNING = Row(
    "The first token",
    [
        lines(
            "Time to the first token",
            "From the request's last byte to the first content that its client was sent, waiting and loading "
            "included; streams that ended "
            "well.",
            "s",
            *quantiles(_FIRST, MODEL),
            span=8,
        ),
        lines(
            "Time to the first token by model, p95",
            "Which model keeps people waiting.",
            "s",
            worst(_FIRST, MODEL, by="model"),
            span=8,
        ),
        heat(
            "Time to the first token, distribution",
            "How many streams had their first token within which time.",
            "s",
            Query(total(rate(f"{_FIRST}_bucket", MODEL), "le"), "{{le}}"),
            span=8,
        ),
    ],
)

_PHASES = Row(
    "Where the time goes",
    [
        lines(
            "Waiting for a slot",
            "What is left of the node's total when loading, prompt and generation are taken off: the time in its "
            f"queue. {_NATIVE}",
            "s",
            *quantiles(_SLOT, MODEL),
            span=8,
        ),
        lines(
            "Waiting for a load",
            "How long requests waited for their model to be loaded, those that did. Waits, not loads: several "
            "requests may have waited for one. "
            f"{_NATIVE}",
            "s",
            *quantiles(_LOAD, MODEL),
            span=8,
        ),
        lines(
            "Reading the prompt",
            f"How long the node took to evaluate the prompt. It grows with what is not cached of it. {_NATIVE}",
            "s",
            *quantiles(_PROMPT, MODEL),
            span=8,
        ),
        lines(
            "Mean time by phase",
            f"Where a request's time goes before its first token, on the average. {_NATIVE}",
            "s",
            Query(mean(_SLOT, MODEL), "slot"),
            Query(mean(_PROMPT, MODEL), "prompt"),
            Query(mean(_LOAD, MODEL), "load, of those that waited for one"),
            span=8,
        ),
        lines(
            "Requests that waited for a load",
            "Requests per second that found their model not loaded.",
            "reqps",
            Query(total(rate("ollamamax_inference_cold_starts_total", MODEL), "model"), "{{model}}"),
            span=8,
            stacked=True,
        ),
        lines(
            "The gateway's own part",
            "Time within the gateway while nobody else is waited for. It should stay in the milliseconds; it says "
            "no more than 0.1 s, where the last bucket ends.",
            "s",
            *quantiles(_OVERHEAD),
            worst(_OVERHEAD, by="operation"),
            span=8,
        ),
    ],
)

_WRITING = Row(
    "Writing",
    [
        lines(
            "Time per output token",
            "How long one token takes once the answer has begun. 0.05 s are 20 tokens a second, about as fast as "
            "people read.",
            "s",
            *quantiles(_PACE, MODEL),
            span=8,
        ),
        lines(
            "Time per output token by model, p95",
            "Which model writes slowly.",
            "s",
            worst(_PACE, MODEL, by="model"),
            span=8,
        ),
        lines(
            "Duration by operation, p95",
            "From the request's head to the end of its answer, of requests that ended well.",
            "s",
            worst(_DURATION, MODEL, by="operation"),
            Query(quantile("0.5", _DURATION, MODEL), "p50 of all"),
            Query(quantile("0.99", _DURATION, MODEL), "p99 of all"),
            span=8,
        ),
    ],
)

_USAGE = Row(
    "Tokens",
    [
        lines(
            "Output tokens by model",
            "Tokens written, per second.",
            "suffix: tok/s",
            Query(total(rate(_TOKENS, MODEL, 'type="output"'), "model"), "{{model}}"),
            span=8,
            stacked=True,
        ),
        lines(
            "Input tokens by model",
            "Tokens of prompts, per second, those that were cached among them.",
            "suffix: tok/s",
            Query(total(rate(_TOKENS, MODEL, 'type="input"'), "model"), "{{model}}"),
            span=8,
            stacked=True,
        ),
        lines(
            "Input tokens from the cache",
            "The share of the prompts' tokens that a node had evaluated before. It falls where conversations change "
            "nodes.",
            "percentunit",
            Query(
                share(
                    total(rate("ollamamax_input_tokens_cached_total", MODEL), "model"),
                    total(rate(_TOKENS, MODEL, 'type="input"'), "model"),
                ),
                "{{model}}",
            ),
            span=8,
        ),
        lines(
            "Input tokens of a request",
            "How long prompts are.",
            "suffix: tokens",
            *quantiles("ollamamax_inference_input_tokens", MODEL),
            span=8,
        ),
        lines(
            "Output tokens of a request",
            "How long answers are.",
            "suffix: tokens",
            *quantiles("ollamamax_inference_output_tokens", MODEL),
            span=8,
        ),
        lines(
            "Answers without usage",
            "Answers that never told their tokens, which no counter of tokens can contain: broken off, failed, or by "
            "a node that tells none.",
            "reqps",
            Query(total(rate("ollamamax_usage_missing_total"), "reason"), "{{reason}}"),
            span=8,
            stacked=True,
        ),
    ],
)

PAGE = Page(
    "inference",
    "Inference",
    "What do requests wait for, how fast are the answers, how do they end? By model.",
    ["job", "instance", "model"],
    [_TRAFFIC, _BEGINNING, _PHASES, _WRITING, _USAGE],
)
