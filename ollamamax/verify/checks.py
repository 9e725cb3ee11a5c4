"""The promises about metrics, one check each, seen from outside while others may be using the server too.

Each check stands alone: it makes its own requests, looks only at what its promise is about, and raises `Failed` with
what was expected and what was seen.
"""

from __future__ import annotations

from ollamamax.verify.exposition import DURATION, IN_FLIGHT, REQUESTS
from ollamamax.verify.families import check_counter, check_histogram, check_in_flight
from ollamamax.verify.formats import check_json, check_routes, check_text_format
from ollamamax.verify.promise import Check
from ollamamax.verify.traffic import MODEL_PATTERN, check_cardinality, check_exclusion, check_patterns

CHECKS = (
    Check("R2", f"{REQUESTS} counts requests by method, endpoint and status", check_counter),
    Check("R3", f"{DURATION} is a histogram of the same labels with the default buckets", check_histogram),
    Check("R4", f"{IN_FLIGHT} is a gauge without labels that comes back", check_in_flight),
    Check("R5", "scrapes are not measured, everything else is", check_exclusion),
    Check("R6", "/metrics is in the text exposition format", check_text_format),
    Check("R7", "/metrics.json holds the database's statistics and a timestamp", check_json),
    Check("R8", f"endpoint is the route's pattern, as in {MODEL_PATTERN}", check_patterns),
    Check("R9", "random paths and methods make no series", check_cardinality),
    Check("R11", "/api/v1/health, /api/v1/models and /api/v1/models/:id answer", check_routes),
)
