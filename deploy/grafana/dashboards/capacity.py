"""Capacity: do we need another GPU?"""

from __future__ import annotations

from .page import Page, Row
from .panels import bars, lines, words
from .queries import MODEL, NODE, RANGE, RATE, Query, mean, quantile, rate, seen, series, share, total

_BUSY = "ollamamax_node_slot_busy_seconds_total"
_LOADS = "ollamamax_node_model_loads_total"
_SLOT = "ollamamax_inference_slot_wait_duration_seconds"
_LOAD = "ollamamax_inference_load_duration_seconds"
_REQUESTS = "ollamamax_inference_requests_total"

_WRITTEN = total(rate("ollamamax_node_tokens_total", NODE, MODEL, 'type="output"'), "node")
_HELD = total(rate(_BUSY, NODE, MODEL), "node")

_READING = """\
| what is seen | what it means | what helps |
|---|---|---|
| waits for **slots**; slots always busy; tokens/s at their best | the GPUs are full | **another GPU** |
| waits for **loads**; models `evicted` and loaded again | models crowd each other out | more memory, or fewer models |
| loads of models that had `expired` | nobody asked for them for a while | a longer `keep_alive` |
| requests that are `unavailable` | no usable node has the model | the model on one more node |
| slots busy; tokens/s far below their best | a node is slower than it was | look at that node first |
| none of these | there is room | nothing |
"""

_WAITED = share(
    total(rate("ollamamax_inference_cold_starts_total", MODEL), "model"), total(rate(_REQUESTS, MODEL), "model")
)

_QUESTION = Row(
    "Do we need another GPU?",
    [words("How to read this", "What the panels below mean together.", _READING, height=7)],
)

_SLOTS = Row(
    "Work",
    [
        lines(
            "Slots busy by node",
            "How many requests each node works at, on the average: seconds of work per second. A line that is flat "
            "at a node's number of slots is a full node.",
            "short",
            Query(_HELD, "{{node}}"),
            span=8,
        ),
        bars(
            "Slots busy, p95 of the time shown",
            "What each node's busy slots stay below for 95 % of the time shown. Near the number of its slots, there "
            "is no room left.",
            "short",
            Query(f"quantile_over_time(0.95, ({_HELD})[{RANGE}:{RATE}])", "{{node}}"),
            span=8,
        ),
        lines(
            "Slots busy by model",
            "Which models the work is for.",
            "short",
            Query(total(rate(_BUSY, NODE, MODEL), "model"), "{{model}}"),
            span=8,
            stacked=True,
        ),
        lines(
            "Tokens/s against the best",
            "What each node writes, as a part of the most that it wrote within the time shown. Busy and far below: "
            "it is slower than it was. Busy and near 100 %: it gives all that it has.",
            "percentunit",
            # The best is looked for step by step, so that what is better still may lie between two steps.
            Query(f"clamp_max({_WRITTEN} / max_over_time(({_WRITTEN})[{RANGE}:{RATE}]), 1)", "{{node}}"),
            span=8,
            most=1,
        ),
        lines(
            "Tokens per busy second",
            "What a slot writes while it is busy. It falls where requests on one node slow each other down.",
            "suffix: tok/s",
            Query(f"{_WRITTEN} / {_HELD}", "{{node}}"),
            span=8,
        ),
        lines(
            "Mean time per output token by model",
            "What people feel of a node that is shared by more requests.",
            "s",
            Query(mean("ollamamax_node_time_per_output_token_seconds", NODE, MODEL, by=["model"]), "{{model}}"),
            span=8,
        ),
    ],
)

_WAITS = Row(
    "Waiting",
    [
        lines(
            "Requests that wait, by reason",
            "Seconds that requests waited per second, which is how many wait on the average: for a slot, or for "
            "their model to be loaded. Of the native routes only, and counted when a request ends.",
            "short",
            Query(total(rate(f"{_SLOT}_sum", MODEL)), "slot"),
            Query(total(rate(f"{_LOAD}_sum", MODEL)), "load"),
            span=8,
            stacked=True,
        ),
        lines(
            "Wait for a slot by model, p95",
            "For which model people queue.",
            "s",
            Query(quantile("0.95", _SLOT, MODEL, by=["model"]), "{{model}}"),
            span=8,
        ),
        lines(
            "Wait for a load by model, p95",
            "Of the requests that waited for a load.",
            "s",
            Query(quantile("0.95", _LOAD, MODEL, by=["model"]), "{{model}}"),
            span=8,
        ),
        lines(
            "Unavailable by model",
            "Requests that found no usable node: what is asked for and cannot be given.",
            "reqps",
            Query(total(rate(_REQUESTS, MODEL, 'outcome="unavailable"'), "model"), "{{model}}"),
            span=8,
            stacked=True,
        ),
        lines(
            "Demand by model",
            "Inference requests that ended, however they ended.",
            "reqps",
            Query(total(rate(_REQUESTS, MODEL), "model"), "{{model}}"),
            span=8,
            stacked=True,
        ),
        lines(
            "Requests that waited for a load",
            "The share of each model's requests that found it not loaded.",
            "percentunit",
            # Two families: a rate of the one may be drawn out a little further than the other's.
            Query(
                f"clamp_max({_WAITED}, 1)",
                "{{model}}",
            ),
            span=8,
        ),
    ],
)

_MEMORY = Row(
    "Memory",
    [
        lines(
            "Evictions by node",
            "Loads of models that another model had pushed out, per second. More than nothing for long: the models "
            "of this node do not fit beside each other.",
            "cps",
            Query(total(rate(_LOADS, NODE, MODEL, 'cause="evicted"'), "node"), "{{node}}"),
            span=8,
            stacked=True,
        ),
        bars(
            "Loads by model and cause, within the time shown",
            "How often each model was loaded, and why.",
            "short",
            Query(
                f"{total(f'increase({series(_LOADS, NODE, MODEL)}[{RANGE}])', 'model', 'cause')} > 0",
                "{{model}} {{cause}}",
            ),
            span=8,
        ),
        lines(
            "Memory in use by models",
            "What the chosen models take, while they are resident, of each node's memory for models.",
            "percentunit",
            Query(
                f"sum by (node) ({seen('ollamamax_node_model_vram_bytes', 'node', 'model', where=[NODE, MODEL])}) / "
                f"{seen('ollamamax_node_memory_bytes', 'node', where=[NODE])}",
                "{{node}}",
            ),
            span=8,
        ),
    ],
)

PAGE = Page(
    "capacity",
    "Capacity",
    "Do we need another GPU? What is busy, what is waited for, what does not fit.",
    ["job", "instance", "node", "model"],
    [_QUESTION, _SLOTS, _WAITS, _MEMORY],
)
