"""Connections that wait for their next request, per node.

The one used last goes first, so that a burst's connections grow old and are closed. One timer serves all of them.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ollamamax.relay.connection import NodeConnection


class IdlePool:
    """Idle connections."""

    def __init__(self, clock: IReactorTime, *, max_idle_per_node: int, idle_seconds: float) -> None:
        """Makes an empty pool.

        Args:
            clock: tells and schedules.
            max_idle_per_node: how many connections to a node are kept; further ones are closed.
            idle_seconds: after this long without a request a connection is closed.
        """
        self._clock = clock
        self._max = max_idle_per_node
        self._idle_seconds = idle_seconds
        self._idle: dict[object, list[NodeConnection]] = {}
        self._sweep: IDelayedCall | None = None

    def __len__(self) -> int:
        return sum(len(connections) for connections in self._idle.values())

    def put(self, connection: NodeConnection) -> None:
        """Takes a connection in, or closes it."""
        connections = self._idle.setdefault(connection.key, [])
        if len(connections) >= self._max:
            connection.close()
            if not connections:
                del self._idle[connection.key]
            return
        connection.idle_since = self._clock.seconds()
        connections.append(connection)
        if self._sweep is None:
            self._sweep = self._clock.callLater(self._idle_seconds, self._close_old)

    def take(self, key: object) -> NodeConnection | None:
        """Gives a connection to a node, if there is one."""
        connections = self._idle.get(key)
        while connections:
            connection = connections.pop()
            if not connections:
                del self._idle[key]
            if connection.open:
                return connection
        return None

    def forget(self, connection: NodeConnection) -> None:
        """Drops a connection that is gone."""
        connections = self._idle.get(connection.key, [])
        if connection in connections:
            connections.remove(connection)
            if not connections:
                del self._idle[connection.key]

    def close(self) -> None:
        """Closes every connection."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        everything, self._idle = self._idle, {}
        for connections in everything.values():
            for connection in connections:
                connection.abort()

    def _close_old(self) -> None:
        self._sweep = None
        now = self._clock.seconds()
        oldest: float | None = None
        for key, connections in list(self._idle.items()):
            old = [each for each in connections if each.idle_since + self._idle_seconds <= now]
            young = connections[len(old) :]
            if young:
                self._idle[key] = young
                oldest = young[0].idle_since if oldest is None else min(oldest, young[0].idle_since)
            else:
                del self._idle[key]
            for connection in old:
                connection.close()
        if oldest is not None:
            self._sweep = self._clock.callLater(max(oldest + self._idle_seconds - now, 0.0), self._close_old)
