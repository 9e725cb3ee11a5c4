"""Fleet: each node as the gateways see it, and what is resident where."""

from __future__ import annotations

from .page import Page, Row
from .panels import lines, rows, states
from .queries import CALLERS, MODEL, NODE, OURS, Query, mean, quantiles, rate, seen, series, share, total, worst

_ATTEMPTS = "ollamamax_node_requests_total"
_START = "ollamamax_node_response_start_duration_seconds"
_VRAM = "ollamamax_node_model_vram_bytes"
_EXPIRES = "ollamamax_node_model_expires_timestamp_seconds"
_SIZE = "ollamamax_node_model_size_bytes"


def _resident(name: str) -> str:
    """Of each model that is in a node's memory."""
    return seen(name, "node", "model", where=[NODE, MODEL])


_HEALTH = Row(
    "Health",
    [
        states(
            "Up",
            "Whether the last probe of each node succeeded, for at least one gateway.",
            Query(seen("ollamamax_node_up", "node", where=[NODE]), "{{node}}"),
            {0: ("down", "red"), 1: ("up", "green")},
        ),
        rows(
            "Versions",
            "The Ollama that each node runs, and whether it is a simulator.",
            Query(seen("ollamamax_node_info", "node", "version", "simulated", where=[NODE]), "{{node}}"),
            columns={"node": "Node", "version": "Version", "simulated": "Simulated"},
        ),
        lines(
            "Nodes by state",
            "How many nodes are in which state, as the gateways decide it.",
            "short",
            Query(f"sum by (state) ({seen('ollamamax_node_state', 'node', 'state', where=[NODE])})", "{{state}}"),
            span=8,
            stacked=True,
        ),
        lines(
            "Probes by result",
            "What the gateways' probes came to: `ok`, or what was wrong.",
            "cps",
            Query(total(rate("ollamamax_node_probes_total", NODE), "result"), "{{result}}"),
            span=8,
        ),
        lines(
            "Since the last probe",
            "How old the last observation of each node is. More than a few intervals of probing: what is shown of "
            "the node is not true any more.",
            "s",
            Query(f"time() - {seen('ollamamax_node_last_probe_timestamp_seconds', 'node', where=[NODE])}", "{{node}}"),
            span=8,
        ),
    ],
)

_WORK = Row(
    "Work",
    [
        lines(
            "In flight",
            "Requests that the gateways have running on each node.",
            "short",
            Query(total(series("ollamamax_node_in_flight", NODE), "node"), "{{node}}"),
            span=8,
            stacked=True,
        ),
        lines(
            "Attempts",
            "Attempts of inference requests at each node; a request that was tried on two nodes is two attempts.",
            "reqps",
            Query(total(rate(_ATTEMPTS, NODE), "node"), "{{node}}"),
            span=8,
            stacked=True,
        ),
        lines(
            "Attempts that failed",
            "The share of each node's attempts that failed for a reason of the node's; what its callers did wrong "
            "and clients that left are on neither side.",
            "percentunit",
            Query(
                share(
                    total(rate(_ATTEMPTS, NODE, f'outcome=~"{OURS}"'), "node"),
                    total(rate(_ATTEMPTS, NODE, f'outcome!~"{CALLERS}"'), "node"),
                ),
                "{{node}}",
            ),
            span=8,
        ),
        lines(
            "How attempts failed",
            "Attempts that failed for a reason of the node's, by node and outcome.",
            "reqps",
            Query(total(rate(_ATTEMPTS, NODE, f'outcome=~"{OURS}"'), "node", "outcome"), "{{node}} {{outcome}}"),
            span=12,
            stacked=True,
        ),
        lines(
            "Tried on a further node",
            "Requests that were tried on another node, by why; over_budget are those that were not, for want of "
            "budget.",
            "reqps",
            Query(total(rate("ollamamax_retries_total"), "reason"), "{{reason}}"),
            span=12,
            stacked=True,
        ),
    ],
)

_SPEED = Row(
    "Speed",
    [
        lines(
            "Until the answer begins",
            "From the request to a node until its response head, streams only.",
            "s",
            *quantiles(_START, NODE),
        ),
        lines(
            "Until the answer begins by node, p95", "Which node is slow to begin.", "s", worst(_START, NODE, by="node")
        ),
        lines(
            "Mean time to the first token by node",
            "Nodes with the same models should not be far apart.",
            "s",
            Query(mean("ollamamax_node_time_to_first_token_seconds", NODE, MODEL, by=["node"]), "{{node}}"),
            span=8,
        ),
        lines(
            "Mean time per output token by node",
            "How fast each node writes. A node that becomes slower while its work stays the same has a problem of "
            "its own.",
            "s",
            Query(mean("ollamamax_node_time_per_output_token_seconds", NODE, MODEL, by=["node"]), "{{node}}"),
            span=8,
        ),
        lines(
            "Output tokens by node",
            "Tokens that each node wrote, per second.",
            "suffix: tok/s",
            Query(total(rate("ollamamax_node_tokens_total", NODE, MODEL, 'type="output"'), "node"), "{{node}}"),
            span=8,
            stacked=True,
        ),
    ],
)

_RESIDENT = Row(
    "Models in memory",
    [
        lines(
            "Video memory by model",
            "What each resident model takes of its node's video memory.",
            "bytes",
            Query(_resident(_VRAM), "{{node}} {{model}}"),
            span=8,
            stacked=True,
        ),
        lines(
            "Outside of video memory",
            "What of each resident model lies in the machine's own memory. More than nothing: it does not fit, and "
            "is slow.",
            "bytes",
            Query(
                f"{_resident(_SIZE)} - {_resident(_VRAM)}",
                "{{node}} {{model}}",
            ),
            span=8,
            stacked=True,
        ),
        lines(
            "Unloaded in",
            "How long each resident model stays if nobody asks for it.",
            "s",
            Query(
                f"{_resident(_EXPIRES)} - time()",
                "{{node}} {{model}}",
            ),
            span=8,
        ),
        lines(
            "Loads by cause",
            "Loads of models, not requests that waited for them. `evicted`: another model had taken the place; "
            "`expired`: it was unused for too long; `options`: other options need another runner.",
            "cps",
            Query(total(rate("ollamamax_node_model_loads_total", NODE, MODEL), "cause"), "{{cause}}"),
            span=8,
            stacked=True,
        ),
        lines(
            "Memory for models",
            "What each node has for models, as settings say or as was learnt.",
            "bytes",
            Query(seen("ollamamax_node_memory_bytes", "node", where=[NODE]), "{{node}}"),
            span=8,
        ),
        lines(
            "Models on disk",
            "What the models of each node take of its disk, and what there is for them, where the settings say so.",
            "bytes",
            Query(seen("ollamamax_node_models_size_bytes", "node", where=[NODE]), "{{node}} models"),
            Query(seen("ollamamax_node_disk_bytes", "node", where=[NODE]), "{{node}} disk"),
            span=8,
        ),
    ],
)

PAGE = Page(
    "fleet",
    "Fleet",
    "How is each node, what runs on it, how fast is it, which models does it hold?",
    ["job", "instance", "node", "model"],
    [_HEALTH, _WORK, _SPEED, _RESIDENT],
)
