"""One inference request, from its body to its row in the ledger."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from ollamamax.errors import ClientLeft, GatewayError, InternalError
from ollamamax.fleet.dispatch import Lease
from ollamamax.relay.relay import RelayReport, RelayTimeouts
from ollamamax.web.accounts import Account
from ollamamax.web.attempts import Attempts
from ollamamax.web.carrying import Carrier
from ollamamax.web.operations import Operation
from ollamamax.web.preparing import Prepared, prepare
from ollamamax.web.site import GatewayRequest


class Inference:
    """Reads an inference request, has it carried to a node that answers, and keeps its account."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    async def serve(self, request: GatewayRequest, operation: Operation) -> None:
        """Answers one request; its row is given to the ledger before this returns or raises.

        Raises:
            GatewayError: nothing has been sent to the client yet, and this is the answer.
        """
        account = Account(self._carrier, request, operation)
        try:
            prepared = await prepare(request, operation, account)
            account.end(await self._carry(request, operation, prepared, account))
        except (CancelledError, ClientLeft):
            account.give_up()
            raise
        except GatewayError as error:
            account.fail(error)
            raise
        except Exception:
            account.fail(InternalError())
            raise

    async def _carry(
        self, request: GatewayRequest, operation: Operation, prepared: Prepared, account: Account
    ) -> RelayReport:
        attempts = Attempts(self._carrier, prepared, account)

        async def attempt(lease: Lease) -> RelayReport:
            node = lease.node
            # What this request loads or unloads is in the lists before its client can look there.
            changes = prepared.only_loads or prepared.model not in node.resident
            return await self._carrier.carry(
                request,
                lease,
                target=operation.target,
                body=prepared.body,
                answer=operation.answer,
                streaming=prepared.streaming,
                timeouts=self._timeouts(lease, prepared),
                before_end=(lambda: self._carrier.refresh(node.name)) if changes else None,
                usage_added=prepared.usage_added,
                may_move=lambda: attempts.may_move(node),
            )

        return await attempts.until_answered(attempt)

    def _timeouts(self, lease: Lease, prepared: Prepared) -> RelayTimeouts:
        limits = self._carrier.settings.timeouts_for(prepared.model)
        if not prepared.streaming:
            return RelayTimeouts(limits.connect_seconds, None, None, limits.whole_response_seconds)
        cold = prepared.model not in lease.node.resident
        first_byte = limits.first_byte_seconds + (limits.load_seconds if cold else 0.0)
        return RelayTimeouts(limits.connect_seconds, first_byte, limits.idle_seconds, None)
