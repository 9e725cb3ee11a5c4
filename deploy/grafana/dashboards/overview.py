"""Overview: is it well, and if not, where to look next."""

from __future__ import annotations

from .page import Page, Row
from .panels import heat, lines, number, states
from .queries import (
    CALLERS,
    MODEL,
    OURS,
    RANGE,
    STAYED,
    Query,
    mean,
    quantile,
    quantiles,
    rate,
    seen,
    series,
    share,
    total,
    worst,
)

_REQUESTS = "ollamamax_inference_requests_total"
_FIRST = "ollamamax_inference_time_to_first_token_seconds"
_DURATION = "ollamamax_inference_duration_seconds"
_HTTP = "http_requests_total"

_FAILED = f'outcome=~"{OURS}"'
_JUDGED = f'outcome!~"{CALLERS}"'
"""The requests that count for the objective: those for whose end the fleet answers."""

_NOW = Row(
    "Now",
    [
        number(
            "Inference requests",
            "Inference requests that ended, per second, however they ended.",
            "reqps",
            Query(total(rate(_REQUESTS, MODEL)), "requests"),
        ),
        number(
            "Failed by us",
            "The share of all requests within the time shown that failed for a reason of the fleet's, of those for "
            "whose end the fleet answers. Callers' mistakes and clients that left are on neither side. The objective "
            "is 0.5 %.",
            "percentunit",
            Query(
                share(
                    total(rate(_REQUESTS, MODEL, _FAILED, over=RANGE)),
                    total(rate(_REQUESTS, MODEL, _JUDGED, over=RANGE)),
                ),
                "failed",
            ),
            colours={0.005: "orange", 0.02: "red"},
        ),
        number(
            "First token, p95",
            "Of 20 streams 19 had their first token within this time, waiting included.",
            "s",
            Query(quantile("0.95", _FIRST, MODEL), "p95"),
            colours={5: "orange", 10: "red"},
        ),
        number(
            "Output tokens",
            "Tokens that models wrote, per second, over all nodes.",
            "suffix: tok/s",
            Query(total(rate("ollamamax_tokens_total", MODEL, 'type="output"')), "output"),
        ),
        number(
            "In flight",
            "HTTP requests that are being answered now, open streams among them.",
            "short",
            Query(total(series("http_requests_in_flight")), "in flight"),
        ),
        number(
            "Nodes up",
            "Nodes whose last probe succeeded, for at least one gateway.",
            "short",
            Query(f"sum ({seen('ollamamax_node_up', 'node')})", "up"),
        ),
    ],
)

_INFERENCE = Row(
    "Inference",
    [
        lines(
            "Inference requests by outcome",
            "How inference requests ended. success and length are good; client_error and client_disconnected are the "
            "caller's; all others are ours.",
            "reqps",
            Query(total(rate(_REQUESTS, MODEL), "outcome"), "{{outcome}}"),
            stacked=True,
        ),
        lines(
            "Failed by us, by model",
            "The share of each model's requests that failed for a reason of the fleet's. One model alone points at "
            "that model or its nodes; all of them together at the gateway or the network.",
            "percentunit",
            Query(
                share(total(rate(_REQUESTS, MODEL, _FAILED), "model"), total(rate(_REQUESTS, MODEL, _JUDGED), "model")),
                "{{model}}",
            ),
        ),
        lines(
            "Time to the first token",
            "From the request's last byte to the first content that its client was sent, streams that ended well "
            "only. It is what a person waits for.",
            "s",
            *quantiles(_FIRST, MODEL),
        ),
        heat(
            "Time to the first token, distribution",
            "How many streams had their first token within which time. Two bands are two kinds of requests: such as "
            "those whose model was loaded, and those that waited for it.",
            "s",
            Query(total(rate(f"{_FIRST}_bucket", MODEL), "le"), "{{le}}"),
        ),
        lines(
            "Duration of inference",
            "From the request's head to the end of its answer, of requests that ended well.",
            "s",
            *quantiles(_DURATION, MODEL),
        ),
        lines(
            "Tokens",
            "Tokens read and written, per second, as the nodes told them.",
            "suffix: tok/s",
            Query(total(rate("ollamamax_tokens_total", MODEL), "type"), "{{type}}"),
        ),
    ],
)

_HTTP_ROW = Row(
    "HTTP",
    [
        lines(
            "HTTP requests by status",
            "Requests to all routes, by the status that was sent; 499 is a client that left before its answer was "
            "complete.",
            "reqps",
            Query(total(rate(_HTTP), "status"), "{{status}}"),
            stacked=True,
        ),
        lines(
            "HTTP requests that failed",
            "The share of requests that were answered with a status of 500 or more, and with one from 400 on; 499 is "
            "left out of all of it.",
            "percentunit",
            Query(share(total(rate(_HTTP, 'status=~"5.."')), total(rate(_HTTP, STAYED))), "5xx"),
            Query(share(total(rate(_HTTP, 'status=~"4..|5.."', STAYED)), total(rate(_HTTP, STAYED))), "4xx and 5xx"),
        ),
        lines(
            "HTTP duration",
            "Of all requests but those whose client left. It says no more than 10 s where they take longer: the last "
            "bucket ends there. For inference the panels above say more.",
            "s",
            *quantiles("http_request_duration_seconds", STAYED),
            Query(mean("http_request_duration_seconds", STAYED), "mean"),
        ),
        lines(
            "HTTP duration by route, p95",
            "Which route is slow; requests whose client left are not in it.",
            "s",
            worst("http_request_duration_seconds", STAYED, by="endpoint"),
        ),
        lines(
            "Clients that left",
            "Requests whose client went away before its answer was complete. Before the response: it had waited for "
            "long enough. In mid-stream: it had read enough, or its network broke.",
            "reqps",
            Query(total(rate("ollamamax_http_client_disconnects_total"), "phase"), "{{phase}}"),
        ),
        lines(
            "Requests in flight",
            "HTTP requests that are being answered, by gateway.",
            "short",
            Query(total(series("http_requests_in_flight"), "instance"), "{{instance}}"),
        ),
    ],
)

_FLEET = Row(
    "Servers",
    [
        states(
            "Gateways",
            "Whether Prometheus could scrape each gateway.",
            Query(series("up"), "{{instance}}"),
            {0: ("down", "red"), 1: ("up", "green")},
        ),
        states(
            "Nodes",
            "Whether the last probe of each node succeeded, for at least one gateway.",
            Query(seen("ollamamax_node_up", "node"), "{{node}}"),
            {0: ("down", "red"), 1: ("up", "green")},
        ),
    ],
)

PAGE = Page(
    "overview",
    "Overview",
    "Is it well? Requests, failures, waiting times and servers at a glance.",
    ["job", "instance", "model"],
    [_NOW, _INFERENCE, _HTTP_ROW, _FLEET],
)
