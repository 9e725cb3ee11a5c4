"""Which labels the result of a PromQL expression has, so that a query can be checked without a single sample.

A metric or label that does not exist is no error to Prometheus: the result is empty, the panel blank and the alert
silent. So every name in an expression is looked up, and operands that could never match are refused. What a parser
alone finds (syntax, types) is found by promql-parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import promql_parser as promql

from ollamamax.metrics.catalogue import Metric

Labels = frozenset[str]
"""The names of the labels of a vector's series."""

TARGET_LABELS: Labels = frozenset({"job", "instance"})
"""What Prometheus adds to everything that it scrapes."""

SCRAPED: Mapping[str, Labels] = dict.fromkeys(
    ("up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_series_added"), TARGET_LABELS
)
"""What Prometheus itself writes of every scrape, and which labels that has."""

_SETS = ("and", "or", "unless")
_PICKING = ("topk", "bottomk")
"""The aggregations that give series of their argument, with all their labels."""


class UnknownNameError(Exception):
    """An expression names a metric that nobody exposes, or a label that is not there at its place."""


class NeverMatchesError(Exception):
    """The two sides of an operator cannot have a pair of series with the same labels."""


def samples(metric: Metric) -> dict[str, Labels]:
    """The samples by name that a metric has once it is scraped, with their labels."""
    labels = TARGET_LABELS | set(metric.labels)
    if metric.kind not in ("histogram", "summary"):
        return {metric.name: labels}
    buckets = {f"{metric.name}_bucket": labels | {"le"}} if metric.kind == "histogram" else {}
    return {f"{metric.name}_sum": labels, f"{metric.name}_count": labels, **buckets}


def sample_labels(metrics: Iterable[Metric]) -> dict[str, Labels]:
    """The samples by name that these metrics have once they are scraped, with their labels.

    Args:
        metrics: the catalogue.
    """
    return {name: labels for metric in metrics for name, labels in samples(metric).items()}


def result_labels(expression: str, known: Mapping[str, Labels]) -> Labels | None:
    """The labels that the result of an expression has; None where that is no vector.

    Args:
        expression: PromQL.
        known: the names of samples, with their labels.

    Raises:
        ValueError: it is no PromQL.
        UnknownNameError: it names a metric that is not known, or a label where there is none of that name.
        NeverMatchesError: an operator in it can never have a result.
    """
    return _labels(promql.parse(expression), known)


def check_values(expression: str, metrics: Iterable[Metric]) -> None:
    """Holds that what is matched of a label with a closed set of values is in that set.

    Args:
        expression: PromQL.
        metrics: the catalogue.

    Raises:
        ValueError: it is no PromQL.
        UnknownNameError: a matcher names a value that its label never has.
    """
    closed = {name: metric.closed for metric in metrics for name in samples(metric)}
    for selector in selectors(expression):
        for matcher in selector.matchers.matchers:
            values = closed.get(selector.name or "", {}).get(matcher.name)
            if values is None:
                continue
            exact = matcher.op in (promql.MatchOp.Equal, promql.MatchOp.NotEqual)
            patterns = [re.escape(matcher.value)] if exact else matcher.value.split("|")
            never = [each for each in patterns if not any(re.fullmatch(each, value) for value in values)]
            if never:
                raise UnknownNameError(f"{selector.name}: {matcher.name} is never {never[0]}")


def selectors(expression: str) -> Iterator[promql.VectorSelector]:
    """Everything that an expression selects, also for a range.

    Raises:
        ValueError: it is no PromQL.
    """
    found: list[promql.VectorSelector] = []

    def visit(part: promql.Expr) -> None:
        if isinstance(part, promql.VectorSelector):
            found.append(part)
        elif isinstance(part, promql.MatrixSelector):
            found.append(part.vector_selector)

    promql.walk(promql.parse(expression), visit)
    yield from found


def sample_names(expression: str) -> set[str]:
    """The names of all samples that an expression reads.

    Raises:
        ValueError: it is no PromQL.
    """
    return {selector.name for selector in selectors(expression) if selector.name}


def _labels(part: promql.Expr, known: Mapping[str, Labels]) -> Labels | None:
    labels: Labels | None = None
    match part:
        case promql.VectorSelector():
            labels = _selected(part, known)
        case promql.MatrixSelector():
            labels = _selected(part.vector_selector, known)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            labels = _labels(part.expr, known)
        case promql.AggregateExpr():
            labels = _aggregated(part, known)
        case promql.BinaryExpr():
            labels = _combined(part, known)
        case promql.Call():
            labels = _called(part, known)
    return labels


def _vector(part: promql.Expr, known: Mapping[str, Labels]) -> Labels:
    labels = _labels(part, known)
    assert labels is not None, f"{part} is no vector"
    return labels


def _selected(selector: promql.VectorSelector, known: Mapping[str, Labels]) -> Labels:
    if selector.name is None:
        raise UnknownNameError(f"{selector} names no metric")
    if selector.name not in known:
        raise UnknownNameError(f"no metric is called {selector.name}")
    alternatives = [selector.matchers.matchers, *selector.matchers.or_matchers]
    matched = {matcher.name for matchers in alternatives for matcher in matchers}
    return _has(known[selector.name], matched, selector.name)


def _has(labels: Labels, wanted: Iterable[str], where: object) -> Labels:
    """Gives the labels, if all of the wanted ones are among them."""
    missing = sorted(set(wanted) - labels)
    if missing:
        raise UnknownNameError(f"{where} has no label {missing[0]}, but {', '.join(sorted(labels)) or 'none'}")
    return labels


def _aggregated(part: promql.AggregateExpr, known: Mapping[str, Labels]) -> Labels:
    labels = _vector(part.expr, known)
    grouping = frozenset(part.modifier.labels if part.modifier else ())
    _has(labels, grouping, part.expr)
    if part.param is not None:
        _labels(part.param, known)
    if str(part.op) in _PICKING:
        return labels
    kept = grouping
    if part.modifier is not None and part.modifier.type == promql.AggModifierType.Without:
        kept = labels - grouping
    if str(part.op) == "count_values":
        assert part.param is not None
        kept |= {part.param.val}
    return kept


def _combined(part: promql.BinaryExpr, known: Mapping[str, Labels]) -> Labels | None:
    left, right = _labels(part.lhs, known), _labels(part.rhs, known)
    if left is None or right is None:
        return right if left is None else left
    operator = str(part.op)
    matching = part.modifier.matching if part.modifier else None
    if matching is not None and matching.type == promql.LabelModifierType.Include:
        compared = frozenset(matching.labels)
        _has(left, compared, part.lhs)
        _has(right, compared, part.rhs)
    else:
        ignored = frozenset(matching.labels if matching else ())
        _has(left | right, ignored, part)
        compared = left - ignored
        if operator != "or" and compared != right - ignored:
            texts = [", ".join(sorted(labels - ignored)) or "none" for labels in (left, right)]
            raise NeverMatchesError(f"{operator} compares the labels {texts[0]} with {texts[1]}")
    if operator in _SETS:
        return left | right if operator == "or" else left
    return _paired(part, left, right, compared)


def _paired(part: promql.BinaryExpr, left: Labels, right: Labels, compared: Labels) -> Labels:
    """The labels of an arithmetic operator's or a comparison's result."""
    taken = frozenset((part.modifier and part.modifier.group_labels) or ())
    cardinality = part.modifier.card if part.modifier else promql.VectorMatchCardinality.OneToOne
    if cardinality == promql.VectorMatchCardinality.ManyToOne:
        _has(right, taken, part.rhs)
        return left | taken
    if cardinality == promql.VectorMatchCardinality.OneToMany:
        _has(left, taken, part.lhs)
        return right | taken
    return compared


def _called(part: promql.Call, known: Mapping[str, Labels]) -> Labels | None:
    given = [labels for argument in part.args if (labels := _labels(argument, known)) is not None]
    if part.func.return_type != promql.ValueType.Vector:
        return None
    # No function takes two vectors, and `vector` takes none.
    labels = given[0] if given else frozenset()
    match part.func.name:
        case "absent" | "absent_over_time":
            # Of a series that is not there, only what the selector says is known.
            labels = frozenset()
        case "histogram_quantile":
            labels = _has(labels, {"le"}, part.args[1]) - {"le"}
        case "label_replace":
            _, target, _, source, _ = part.args
            labels = _has(labels, {source.val}, part.args[0]) | {target.val}
        case "label_join":
            _, target, _, *sources = part.args
            labels = _has(labels, {source.val for source in sources}, part.args[0]) | {target.val}
    return labels
