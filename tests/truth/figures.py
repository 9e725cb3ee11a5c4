"""Whether `/metrics` and the ledger tell the same: every count, every sum and every bucket, computed anew from rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from real.samples import Series
from truth.accounts import Row

GOOD = ("success", "length")
LONG_LOAD_SECONDS = 0.1
OTHER = "other"

Figures = Mapping[Series, float]
Labels = tuple[tuple[str, str], ...]


def gained(before: Figures, after: Figures) -> Figures:
    """What was counted between two scrapes."""
    return {series: number - before.get(series, 0.0) for series, number in after.items()}


class Rows:
    """The rows of a run, as figures are made of them.

    Args:
        rows: of the ledger.
        models: the names that are labels; others are one.
    """

    def __init__(self, rows: Sequence[Row], models: Iterable[str]) -> None:
        self._rows = rows
        self._models = frozenset(models)

    def counters(self) -> dict[str, Counter[Labels]]:
        """Every counter that follows from rows alone, by its name and its labels."""
        inferring = [row for row in self._rows if row["operation"] != "load"]
        tokens: Counter[Labels] = Counter()
        cached: Counter[Labels] = Counter()
        of_nodes: Counter[Labels] = Counter()
        for row in inferring:
            model = self._label(row)
            cached[_labels(model=model)] += row["cached_tokens"] or 0
            for kind in ("input", "output"):
                count = row[f"{kind}_tokens"] or 0
                tokens[_labels(model=model, type=kind)] += count
                if row["node"]:
                    of_nodes[_labels(model=model, node=row["node"], type=kind)] += count
        requests = Counter(
            _labels(model=self._label(row), operation=row["operation"], outcome=row["outcome"]) for row in self._rows
        )
        return {
            "ollamamax_inference_requests_total": requests,
            "ollamamax_tokens_total": tokens,
            "ollamamax_input_tokens_cached_total": cached,
            "ollamamax_node_tokens_total": of_nodes,
            "ollamamax_usage_missing_total": Counter(
                _labels(reason=reason) for row in inferring if (reason := _missing(row)) is not None
            ),
            # Of these the rows do not tell all values.
            "ollamamax_inference_time_per_output_token_seconds_count": Counter(
                _labels(model=self._label(row)) for row in inferring if _is_paced(row)
            ),
            "ollamamax_node_time_to_first_token_seconds_count": Counter(
                _labels(model=self._label(row), node=row["node"])
                for row in inferring
                if row["outcome"] in GOOD and row["first_token_seconds"] is not None
            ),
        }

    def observations(self) -> dict[str, dict[Labels, list[float]]]:
        """What every histogram that follows from rows alone has observed, by its name and its labels."""
        inferring = [row for row in self._rows if row["operation"] != "load"]
        good = [row for row in inferring if row["outcome"] in GOOD]
        return {
            "ollamamax_inference_duration_seconds": self._by(
                [row for row in self._rows if row["outcome"] in GOOD],
                lambda row: row["duration_seconds"],
                with_operation=True,
            ),
            "ollamamax_inference_time_to_first_token_seconds": self._by(good, lambda row: row["first_token_seconds"]),
            "ollamamax_inference_input_tokens": self._by(inferring, lambda row: row["input_tokens"]),
            "ollamamax_inference_output_tokens": self._by(inferring, lambda row: row["output_tokens"]),
            "ollamamax_inference_prompt_duration_seconds": self._by(inferring, lambda row: row["prompt_seconds"]),
            "ollamamax_inference_slot_wait_duration_seconds": self._by(inferring, lambda row: row["slot_wait_seconds"]),
            "ollamamax_inference_load_duration_seconds": self._by(
                [row for row in inferring if (row["load_seconds"] or 0.0) > LONG_LOAD_SECONDS],
                lambda row: row["load_seconds"],
            ),
        }

    def _by(
        self, rows: Iterable[Row], value: Callable[[Row], float | None], *, with_operation: bool = False
    ) -> dict[Labels, list[float]]:
        found: dict[Labels, list[float]] = {}
        for row in rows:
            number = value(row)
            if number is not None:
                more = {"operation": row["operation"]} if with_operation else {}
                found.setdefault(_labels(model=self._label(row), **more), []).append(number)
        return found

    def _label(self, row: Row) -> str:
        return row["model"] if row["model"] in self._models else OTHER


def _labels(**labels: str) -> Labels:
    return tuple(sorted(labels.items()))


def _missing(row: Row) -> str | None:
    """Why a node has worked and there are no numbers of tokens for it."""
    has_all = row["input_tokens"] is not None and (row["output_tokens"] is not None or row["operation"] == "embed")
    if not row["attempts"] or has_all or row["outcome"] in ("client_error", "unavailable"):
        return None
    if row["outcome"] in GOOD:
        return "not_reported"
    begun = row["status"] is not None and row["status"] < 300
    return "aborted" if begun or row["outcome"] == "client_disconnected" else "node_error"


def _is_paced(row: Row) -> bool:
    """Whether it is known how long each token took: the node says so, or they came one by one."""
    told = row["output_seconds"] is not None or row["first_token_seconds"] is not None
    return told and (row["output_tokens"] or 0) > 1


def differences(rows: Rows, counted: Figures) -> list[str]:
    """In what figures differ from the rows."""
    complaints = []
    for name, wanted in rows.counters().items():
        found = Counter({labels: round(number) for (each, labels), number in counted.items() if each == name})
        complaints += [
            f"{name}: {dict(labels)} {found[labels]} and not {wanted[labels]}"
            for labels in wanted.keys() | found.keys()
            if wanted[labels] != found[labels]
        ]
    for name, observed in rows.observations().items():
        for labels in observed.keys() | _counted(counted, name):
            complaints += _unlike(name, labels, observed.get(labels, []), counted)
    return complaints


def _counted(counted: Figures, name: str) -> set[Labels]:
    return {labels for (each, labels), number in counted.items() if each == f"{name}_count" and number}


def _unlike(name: str, labels: Labels, values: Sequence[float], counted: Figures) -> list[str]:
    """In what one histogram differs from what it should have observed."""
    complaints = []
    buckets = {
        float(dict(pairs)["le"]): number
        for (each, pairs), number in counted.items()
        if each == f"{name}_bucket" and tuple(pair for pair in pairs if pair[0] != "le") == labels
    }
    wanted = {bound: sum(value <= bound for value in values) for bound in buckets}
    if not buckets or buckets != wanted:
        complaints.append(f"{name}: {dict(labels)} has {buckets} and not {wanted}")
    total = counted.get((f"{name}_sum", labels), 0.0)
    if not math.isclose(total, math.fsum(values), rel_tol=1e-9, abs_tol=1e-9):
        complaints.append(f"{name}: {dict(labels)} sums up to {total} and not {math.fsum(values)}")
    return complaints
