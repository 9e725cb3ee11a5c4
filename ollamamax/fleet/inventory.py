"""What several nodes have, as one list.

`tags` has one entry per model, that of the digest which most nodes have; `ps` has one entry per resident model, its
sizes summed and its expiry the latest. Entries stay as a node sent them, fields that are unknown here included, and
come in Ollama's order: by the whole seconds of their time, the newest first, those of one second in the order in which
the nodes gave them (`ListHandler` and `PsHandler` in Ollama's `server/routes.go` sort that way, stably). One node's
list therefore comes out as it went in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict, cast

import attrs

from ollamamax.fleet.answers import ModelEntry, Models, ResidentEntry, Residents
from ollamamax.fleet.instants import Instant, parse_instant, utc_text

_DAWN = Instant(-(2**62))  # sorts what has no readable time behind everything else


@attrs.frozen
class Stock:
    """What one node has.

    Attributes:
        node: its name.
        up: whether it answers.
        models: what it has, or had when it last answered, by normalised name.
        resident: what is in its memory, by normalised name; empty while it is down.
    """

    node: str
    up: bool
    models: Models
    resident: Residents


class ModelSummary(TypedDict):
    """One model over all nodes, as `/api/v1/models` shows it.

    `id` is the normalised name, `name` the node's spelling; `nodes` have it, down or up; `available` says whether one
    of them is up; `modified_at` is in UTC.
    """

    id: str
    name: str
    digest: str | None
    digest_conflict: bool
    size_bytes: int | None
    modified_at: str | None
    details: dict[str, object] | None
    capabilities: list[str] | None
    available: bool
    nodes: list[str]
    resident_on: list[str]


class Replica(TypedDict):
    """One model on one node, as `/api/v1/models/:id/replicas` shows it; moments are in UTC."""

    node: str
    up: bool
    digest: str | None
    size_bytes: int | None
    modified_at: str | None
    resident: bool
    size_vram_bytes: int | None
    expires_at: str | None


def merged_models(stocks: Sequence[Stock]) -> list[ModelEntry]:
    """The entries of a merged `/api/tags`.

    Args:
        stocks: the nodes in their configured order, those that are down with what they last had.
    """
    chosen = [_prevailing(holders)[1] for holders in _holders_by_model(stocks).values()]
    return sorted(chosen, key=lambda entry: -_instant(entry.get("modified_at")).seconds)


def merged_residents(stocks: Sequence[Stock]) -> list[ResidentEntry]:
    """The entries of a merged `/api/ps`.

    Args:
        stocks: the nodes in their configured order.
    """
    copies: dict[str, list[ResidentEntry]] = {}
    for stock in stocks:
        for name, entry in stock.resident.items():
            copies.setdefault(name, []).append(entry)
    merged = [_summed(entries) for entries in copies.values()]
    return sorted(merged, key=lambda entry: -_instant(entry.get("expires_at")).seconds)


def summaries(stocks: Sequence[Stock]) -> list[ModelSummary]:
    """Every model of the fleet, in the order of their normalised names.

    Args:
        stocks: as for `merged_models`.
    """
    up = {stock.node for stock in stocks if stock.up}
    found = []
    for name, holders in sorted(_holders_by_model(stocks).items()):
        _, entry = _prevailing(holders)
        nodes = [stock.node for stock, _ in holders]
        found.append(
            ModelSummary(
                id=name,
                name=entry["name"],
                digest=entry.get("digest"),
                digest_conflict=len({other.get("digest") for _, other in holders}) > 1,
                size_bytes=entry.get("size"),
                modified_at=utc_text(entry.get("modified_at", "")),
                details=entry.get("details"),
                capabilities=entry.get("capabilities"),
                available=not up.isdisjoint(nodes),
                nodes=nodes,
                resident_on=[stock.node for stock in stocks if name in stock.resident],
            )
        )
    return found


def replicas(stocks: Sequence[Stock], name: str) -> list[Replica]:
    """The nodes that have a model, in their configured order.

    Args:
        stocks: as for `merged_models`.
        name: the normalised name; one that no node has gives an empty list.
    """
    found = []
    for stock, entry in _holders_by_model(stocks).get(name, ()):
        resident = stock.resident.get(name)
        found.append(
            Replica(
                node=stock.node,
                up=stock.up,
                digest=entry.get("digest"),
                size_bytes=entry.get("size"),
                modified_at=utc_text(entry.get("modified_at", "")),
                resident=resident is not None,
                size_vram_bytes=None if resident is None else resident.get("size_vram"),
                expires_at=None if resident is None else utc_text(resident.get("expires_at", "")),
            )
        )
    return found


_Holder = tuple[Stock, ModelEntry]


def _holders_by_model(stocks: Sequence[Stock]) -> dict[str, list[_Holder]]:
    holders: dict[str, list[_Holder]] = {}
    for stock in stocks:
        for name, entry in stock.models.items():
            holders.setdefault(name, []).append((stock, entry))
    return holders


def _prevailing(holders: Sequence[_Holder]) -> _Holder:
    """The first holder of the digest that most have; of equally many, the digest that was modified last, then first."""
    if len(holders) == 1:
        return holders[0]
    votes: dict[str | None, int] = {}
    newest: dict[str | None, Instant] = {}
    for _, entry in holders:
        digest = entry.get("digest")
        votes[digest] = votes.get(digest, 0) + 1
        newest[digest] = max(newest.get(digest, _DAWN), _instant(entry.get("modified_at")))
    # max() keeps the first of equals, and dictionaries keep the nodes' order.
    winner = max(votes, key=lambda digest: (votes[digest], newest[digest]))
    return next(holder for holder in holders if holder[1].get("digest") == winner)


def _summed(entries: Sequence[ResidentEntry]) -> ResidentEntry:
    """The first entry, with the sizes of all and the latest expiry of all."""
    if len(entries) == 1:
        return entries[0]
    merged = cast("ResidentEntry", dict(entries[0]))
    if any("size" in entry for entry in entries):
        merged["size"] = sum(entry.get("size", 0) for entry in entries)
    if any("size_vram" in entry for entry in entries):
        merged["size_vram"] = sum(entry.get("size_vram", 0) for entry in entries)
    latest = max(entries, key=lambda entry: _instant(entry.get("expires_at")))
    if "expires_at" in latest:
        merged["expires_at"] = latest["expires_at"]
    return merged


def _instant(text: str | None) -> Instant:
    return parse_instant(text or "") or _DAWN
