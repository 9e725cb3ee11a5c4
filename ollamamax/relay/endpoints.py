"""From a node's address to an endpoint that connects to it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IReactorTCP, IReactorTime, IStreamClientEndpoint

from ollamamax.address import NodeAddress

# The client cancels a connect in its own time; this only has to be later.
_ENDPOINT_TIMEOUT_SECONDS = 3600


def node_endpoints(reactor: IReactorTime) -> Callable[[NodeAddress], IStreamClientEndpoint]:
    """Makes endpoints of addresses, TCP or TLS.

    IP literals are connected to directly: a resolver would send each through a thread of the reactor's pool.

    Args:
        reactor: the reactor that connects; it must provide `IReactorTCP` when the first endpoint is made.
    """

    def endpoint_for(address: NodeAddress) -> IStreamClientEndpoint:
        tcp: IReactorTCP = IReactorTCP(reactor)
        endpoint: IStreamClientEndpoint
        if isIPAddress(address.host):
            endpoint = TCP4ClientEndpoint(tcp, address.host, address.port, timeout=_ENDPOINT_TIMEOUT_SECONDS)
        elif isIPv6Address(address.host):
            endpoint = TCP6ClientEndpoint(tcp, address.host, address.port, timeout=_ENDPOINT_TIMEOUT_SECONDS)
        else:
            endpoint = HostnameEndpoint(tcp, address.host, address.port, timeout=_ENDPOINT_TIMEOUT_SECONDS)
        if address.scheme == "https":
            # Needs pyOpenSSL, which plain HTTP does not.
            from twisted.internet.ssl import optionsForClientTLS

            endpoint = wrapClientTLS(optionsForClientTLS(address.host), endpoint)
        return endpoint

    return endpoint_for
