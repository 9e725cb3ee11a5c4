"""One inference request on one node after the other, until one of them gives the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs

from ollamamax.errors import GatewayError, ModelNotFound
from ollamamax.fleet import failures, retries
from ollamamax.fleet.dispatch import Lease
from ollamamax.fleet.failures import Finding
from ollamamax.fleet.nodes import Node
from ollamamax.fleet.routing import Wanted
from ollamamax.metrics.inference import GOOD
from ollamamax.metrics.inference_attempts import AnsweredAttempt
from ollamamax.relay.carriage import RelayReport
from ollamamax.web.accounts import Account, outcome_of, output_token_seconds, since
from ollamamax.web.carrying import Carrier
from ollamamax.web.preparing import Prepared

Attempt = Callable[[Lease], Awaitable[RelayReport]]
"""Carries the request to the node of a lease; fails with a `GatewayError` where nothing has reached the client."""


class Attempts:
    """The attempts of one request.

    Each is on a node that it was not tried on before, with a lease of its own; one that fails is followed by another
    where `fleet.retries` says so, a further node can take the request, and the budget has room. What the client hears
    of is the last failure. Every attempt is counted, and told to its node.

    Args:
        carrier: the collaborators.
        prepared: what is asked.
        account: told where the request goes.
    """

    def __init__(self, carrier: Carrier, prepared: Prepared, account: Account) -> None:
        self._carrier = carrier
        self._prepared = prepared
        self._account = account
        self._wanted = Wanted(prepared.model, "load" if prepared.only_loads else "inference")
        self._failure: GatewayError | None = None
        self._reason: retries.Reason | None = None

    async def until_answered(self, attempt: Attempt) -> RelayReport:
        """Tries, until there is an answer or nobody left to ask.

        Raises:
            GatewayError: nothing has been sent to the client yet, and this is the answer.
        """
        budget = self._carrier.budget
        budget.enter(self)
        try:
            while True:
                with await self._lease() as lease:
                    self._carrier.metrics.attempts.begin(lease.node.name, self._prepared.model)
                    self._account.begin(lease.node.name, resident=self._prepared.model in lease.node.resident)
                    try:
                        report = await attempt(lease)
                    except GatewayError as error:
                        self._failed(lease.node, error)
                    else:
                        self._answered(lease.node, report)
                        lease.answered(report)
                        return report
        finally:
            budget.leave(self)

    def may_move(self, node: Node) -> bool:
        """Whether the request could be tried on a further node in place of this one, which says that it is busy."""
        return self._is_repeatable and self._may_go_to(self._elsewhere(node))

    @property
    def _is_repeatable(self) -> bool:
        return isinstance(self._prepared.body, bytes)

    async def _lease(self) -> Lease:
        try:
            lease = await self._carrier.lease(self._wanted)
        except GatewayError as error:
            if self._failure is not None:
                raise self._failure from None
            if isinstance(error, ModelNotFound):
                # Clients look for the name as they spelt it.
                raise ModelNotFound(self._prepared.requested_model) from None
            raise
        if self._reason is not None:
            self._carrier.counts.retries[self._reason] += 1
        return lease

    def _answered(self, node: Node, report: RelayReport) -> None:
        self._ended(
            node, report.outcome, failures.of_answer(report.outcome, report.error_code, broke=report.broke), report
        )

    def _failed(self, node: Node, error: GatewayError) -> None:
        """Makes ready for another attempt, or raises the failure where it is the answer."""
        self._ended(node, outcome_of(error), failures.of_error(error))
        unstarted = self._carrier.settings.retries.unstarted
        reason = retries.reason_of(error, repeatable=self._is_repeatable, unstarted=unstarted)
        elsewhere = self._elsewhere(node)
        if reason is None or not self._may_go_to(elsewhere):
            raise error
        self._carrier.budget.take(self)
        self._account.failed()
        self._wanted, self._failure, self._reason = elsewhere, error, reason

    def _elsewhere(self, node: Node) -> Wanted:
        return attrs.evolve(self._wanted, avoid=self._wanted.avoid | {node.name})

    def _may_go_to(self, elsewhere: Wanted) -> bool:
        if not self._carrier.dispatcher.has_place(elsewhere):
            return False
        allowed = self._carrier.budget.allows(self)
        if not allowed:
            self._carrier.counts.retries["over_budget"] += 1
        return allowed

    def _ended(self, node: Node, outcome: str, finding: Finding | None, report: RelayReport | None = None) -> None:
        """Tells everybody of the end of an attempt.

        Args:
            node: whose it was.
            outcome: how it ended.
            finding: what that says against the node.
            report: what became of the answer, with what the node told of its work, a load's time too; None without one.
        """
        self._carrier.counts.attempts[node.name, outcome] += 1
        node.failures.attempted(
            finding, model=self._prepared.model, client=self._account.client, at=self._carrier.now()
        )
        if report is not None:
            self._carrier.metrics.attempts.answered(self._observed(node, report))

    def _observed(self, node: Node, report: RelayReport) -> AnsweredAttempt:
        prepared, usage = self._prepared, report.usage
        begun = prepared.streaming and report.status is not None and report.status < 300
        observed = AnsweredAttempt(
            node=node.name,
            model=prepared.model,
            response_start_seconds=since(report.started_at, report.head_at) if begun else None,
        )
        if report.loaded or prepared.only_loads:
            return observed
        return attrs.evolve(
            observed,
            first_token_seconds=since(report.started_at, report.first_token_at) if report.outcome in GOOD else None,
            output_token_seconds=output_token_seconds(report),
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
        )
