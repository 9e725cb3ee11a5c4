"""The nodes and models that were ever seen, and when last.

Nodes are probed every few seconds and mostly tell the same, so what was written a short while ago is not written again:
`last_seen` may lag by `REFRESH_SECONDS`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

import attrs
from sqlalchemy import ColumnElement, Table, case, func, select
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from ollamamax.store.failures import StoreUnavailable
from ollamamax.store.schema import models_seen, nodes
from ollamamax.store.text import TEXT_LIMIT, storable_text
from ollamamax.store.transaction import Transaction, insert_into

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from sqlalchemy.sql.dml import Insert
    from twisted.python.failure import Failure

    from ollamamax.store.destinations import Runner

REFRESH_SECONDS = 600.0
KNOWN_LIMIT = 10_000
"""Models remembered as written; a node that lists other ones each time makes writes, not memory."""


@attrs.frozen(kw_only=True)
class SeenNode:
    """A node of the fleet, as it is configured and as it answered.

    Attributes:
        name: its configured name.
        url: where it is.
        simulated: whether it is one of the simulated ones.
        version: Ollama's version there, None where it is not known.
        seen_at: when, in unix seconds.
    """

    name: str
    url: str
    simulated: bool
    version: str | None
    seen_at: float


@attrs.frozen(kw_only=True)
class SeenModel:
    """A model that a node listed.

    Attributes:
        node: the node's configured name.
        model: the model's normalised name.
        digest: what the name stood for there, None where it is not known.
        seen_at: when, in unix seconds.
    """

    node: str
    model: str
    digest: str | None
    seen_at: float


Seen = TypeVar("Seen", SeenNode, SeenModel)


class Inventory:
    """Remembers nodes and models.

    Args:
        writer: runs what writes.
        reader: runs what reads.
    """

    _log = Logger()

    def __init__(self, writer: Runner, reader: Runner) -> None:
        self._writer = writer
        self._reader = reader
        self._known_nodes: dict[Hashable, SeenNode] = {}
        self._known_models: dict[Hashable, SeenModel] = {}
        self._is_failing = False

    def record(self, nodes: Iterable[SeenNode], models: Iterable[SeenModel]) -> Deferred[None]:
        """Writes what is new, changed, or was written long ago.

        Returns:
            Fires once it is written, or is known not to be; it never fails. What was not written is tried again with
            the next call, and an outage is logged once.
        """
        new_nodes = {node.name: node for node in nodes if _is_news(self._known_nodes.get(node.name), node)}
        new_models = {
            (model.node, model.model): model
            for model in models
            if len(model.model) <= TEXT_LIMIT and _is_news(self._known_models.get((model.node, model.model)), model)
        }
        if not new_nodes and not new_models:
            return succeed(None)
        work = partial(_write, seen_nodes=tuple(new_nodes.values()), seen_models=tuple(new_models.values()))
        return self._writer.run(work).addCallbacks(self._recorded, self._failed, callbackArgs=(new_nodes, new_models))

    def models_seen_since(self, moment: float) -> Deferred[frozenset[str]]:
        """The normalised names of the models that any node had at `moment` (unix seconds) or later.

        Returns:
            Fails with StoreUnavailable where the database cannot be read.
        """
        return self._reader.run(partial(_read_models, moment=moment))

    def _recorded(
        self, _: None, seen_nodes: Mapping[Hashable, SeenNode], seen_models: Mapping[Hashable, SeenModel]
    ) -> None:
        self._is_failing = False
        if len(self._known_models) > KNOWN_LIMIT:
            self._known_models.clear()
        self._known_nodes.update(seen_nodes)
        self._known_models.update(seen_models)

    def _failed(self, failure: Failure) -> None:
        if not self._is_failing:
            error = failure.value
            reason = error.detail if isinstance(error, StoreUnavailable) else type(error).__name__
            self._log.error("inventory: nodes and models cannot be recorded ({reason})", reason=reason)
        self._is_failing = True


def _is_news(known: Seen | None, seen: Seen) -> bool:
    """Whether `seen` says more than what is recorded."""
    if known is None or seen.seen_at >= known.seen_at + REFRESH_SECONDS:
        return True
    return attrs.evolve(known, seen_at=seen.seen_at) != seen


def _write(transaction: Transaction, seen_nodes: tuple[SeenNode, ...], seen_models: tuple[SeenModel, ...]) -> None:
    if seen_nodes:
        upsert = _upsert(nodes, ("name",), transaction.dialect)
        transaction.change(upsert, [_values(node) for node in seen_nodes])
    if seen_models:
        upsert = _upsert(models_seen, ("node", "model"), transaction.dialect)
        transaction.change(upsert, [_values(model) for model in seen_models])


def _read_models(transaction: Transaction, moment: float) -> frozenset[str]:
    found = transaction.rows(select(models_seen.c.model).where(models_seen.c.last_seen >= moment).distinct())
    return frozenset(name for (name,) in found)


def _upsert(table: Table, key: tuple[str, ...], dialect: str) -> Insert:
    """An insert that, for a key that is there, widens the time seen, and keeps the newer of all else."""
    statement = insert_into(table, dialect)
    is_newer = statement.excluded.last_seen >= table.c.last_seen

    def newer(name: str) -> ColumnElement[object]:
        given = func.coalesce(statement.excluded[name], table.c[name])
        return case((is_newer, given), else_=table.c[name])

    kept: dict[str, ColumnElement[object]] = {
        column.name: newer(column.name) for column in table.columns if column.name not in (*key, "first_seen")
    }
    kept["first_seen"] = case(
        (statement.excluded.first_seen < table.c.first_seen, statement.excluded.first_seen), else_=table.c.first_seen
    )
    return statement.on_conflict_do_update(index_elements=list(key), set_=kept)


def _values(seen: SeenNode | SeenModel) -> Mapping[str, object]:
    """The row of a first sight."""
    values = {
        name: storable_text(value) if isinstance(value, str) else value
        for name, value in attrs.asdict(seen).items()
        if name != "seen_at"
    }
    return values | {"first_seen": seen.seen_at, "last_seen": seen.seen_at}
