"""The prober: what it learns, what it makes of nodes that misbehave, and when it asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import pytest
from twisted.internet.address import IPv4Address
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure

from ollamamax.fleet.dialling import MAX_ANSWER_BYTES

if TYPE_CHECKING:
    from fleet.conftest import Wire, World

    from ollamamax.fleet.nodes import Node

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def _nothing(wire: Wire) -> None:
    """An answer that never comes."""


def test_one_round_learns_version_models_and_residents(world: World) -> None:
    """A node that answers is up, with everything that it said, and the first round ends then."""
    node = world.add("a", version="0.33.0", models=("tiny:latest", "Big:7B"), resident=("tiny:latest",))
    first = world.prober.start()
    assert not first.called
    world.settle()
    assert first.called
    known = world.fleet.nodes["a"]
    assert (known.up, known.error, known.version, known.probed_at) == (True, "", "0.33.0", 1000.0)
    assert list(known.models) == ["tiny:latest", "big:7b"]
    assert list(known.resident) == ["tiny:latest"]
    assert node.paths == ["/api/version", "/api/tags", "/api/ps"]


def test_request_is_plain(world: World) -> None:
    """A probe names the node's own host, asks for no compression and closes its connection."""
    node = world.add("a")
    world.prober.start()
    world.settle()
    head = node.requests[0].lower()
    assert b"\r\nhost: a:11434\r\n" in head
    assert b"\r\nconnection: close\r\n" in head
    assert b"accept-encoding" not in head
    assert b"cookie" not in head


def test_first_round_without_nodes_ends_at_once(world: World) -> None:
    """A fleet that is still empty keeps nobody waiting."""
    assert world.prober.start().called


def _close(wire: Wire) -> None:
    wire.end()


def _announce_much(wire: Wire) -> None:
    wire.send(_HEAD + b"Content-Length: 104857600\r\n\r\n[")


def _break_off(wire: Wire) -> None:
    wire.send(_HEAD + b'Content-Length: 100\r\n\r\n{"version"')
    wire.end()


def _endless_head(wire: Wire) -> None:
    wire.send(b"HTTP/1.1 200 OK\r\n")
    for number in range(2000):
        wire.send(b"X-%d: " % number + b"x" * 10000 + b"\r\n")


@pytest.mark.parametrize(
    ("path", "answer", "error"),
    [
        ("/api/version", b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}", "status_503"),
        ("/api/tags", b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n", "status_404"),
        ("/api/version", b"HTTP/1.1 302 Found\r\nLocation: http://b/\r\nContent-Length: 0\r\n\r\n", "status_302"),
        ("/api/version", b"HTTP/1.1 204 No Content\r\n\r\n", "status_204"),
        ("/api/version", _HEAD + b"Content-Length: 3\r\n\r\n<p>", "bad_answer"),
        ("/api/version", _HEAD + b'Content-Length: 13\r\n\r\n{"version":1}', "bad_answer"),
        ("/api/tags", _HEAD + b"Content-Length: 2\r\n\r\n{}", "bad_answer"),
        ("/api/tags", _HEAD + b'Content-Length: 21\r\n\r\n{"models":["tiny"]}  ', "bad_answer"),
        ("/api/ps", _HEAD + b"Content-Length: 4\r\n\r\nnull", "bad_answer"),
        ("/api/version", b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "bad_answer"),
        ("/api/version", _HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}", "bad_answer"),
        ("/api/version", _HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "closed_early"),
        ("/api/version", _close, "closed_early"),
        ("/api/tags", _break_off, "closed_early"),
        ("/api/tags", _announce_much, "too_large"),
        ("/api/tags", _endless_head, "too_large"),
    ],
)
def test_node_that_misbehaves_is_down(
    world: World, path: str, answer: bytes | Callable[[Wire], None], error: str
) -> None:
    """Whatever a node answers instead of what Ollama answers: it is down, with a word for it, and no exception."""
    node = world.add("a", models=("tiny:latest",))
    node.answers[path] = answer
    first = world.prober.start()
    world.settle()
    world.advance(0)
    known = world.fleet.nodes["a"]
    assert first.called
    assert (known.up, known.error) == (False, error)
    assert "b" not in world.network


def test_connection_refused(world: World) -> None:
    """A node that takes no connections is unreachable, and the others are not concerned."""
    world.add("a").accepts = False
    world.add("b")
    assert not world.prober.start().called
    world.settle()
    assert (world.fleet.nodes["a"].up, world.fleet.nodes["a"].error) == (False, "unreachable")
    assert world.fleet.nodes["b"].up


def test_name_that_resolves_to_a_metadata_address(world: World) -> None:
    """An address that is never dialled is refused at the connect, before a byte was sent."""
    node = world.add("a")
    node.peer = IPv4Address("TCP", "169.254.169.254", 80)
    world.prober.start()
    world.settle()
    assert world.fleet.nodes["a"].error == "address_refused"
    assert node.requests == []


@pytest.mark.parametrize("bytes_of_body", [0, 1])
@pytest.mark.parametrize("path", ["/api/version", "/api/tags", "/api/ps"])
def test_hanging_node_times_out_and_delays_nobody(world: World, path: str, bytes_of_body: int) -> None:
    """A node that says nothing, or begins and stops, is down after the timeout; its connection is closed then."""
    slow = world.add("slow")
    world.add("quick")

    def begin(wire: Wire) -> None:
        if bytes_of_body:
            wire.send(_HEAD + b"Content-Length: 100\r\n\r\n{")

    slow.answers[path] = begin
    first = world.prober.start()
    world.settle()
    assert world.fleet.nodes["quick"].up
    assert not first.called
    world.advance(1.9)
    assert not first.called
    assert not slow.wires[-1].closed
    world.advance(0.2)
    assert first.called
    assert world.fleet.nodes["slow"].error == "timeout"
    assert slow.wires[-1].closed


def test_connect_that_hangs(world: World) -> None:
    """A black hole is a timeout too, and the attempt is given up."""
    node = world.add("a")
    node.accepts = None
    world.prober.start()
    world.advance(2)
    assert world.fleet.nodes["a"].error == "timeout"
    assert node.abandoned_connects == 1


def test_node_that_trickles_is_no_longer_listened_to(world: World) -> None:
    """A byte now and then does not stretch the time that a request may take."""
    node = world.add("a")

    def trickle(wire: Wire) -> None:
        wire.send(_HEAD + b"Content-Length: 100\r\n\r\n")

    node.answers["/api/version"] = trickle
    world.prober.start()
    world.settle()
    for _ in range(4):
        world.advance(0.6)
        node.wires[0].send(b" ")
    assert world.fleet.nodes["a"].error == "timeout"
    assert node.wires[0].closed


@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked\r\n\r\n", b"\r\n"])
def test_answer_of_100_mb_is_cut(world: World, framing: bytes) -> None:
    """However much a node sends, reading ends a little above the largest list that is accepted."""
    node = world.add("a")
    sent = 0

    def flood(wire: Wire) -> None:
        nonlocal sent
        wire.send(_HEAD + framing)
        chunk = b" " * 65536
        data = b"10000\r\n" + chunk + b"\r\n" if b"chunked" in framing else chunk
        while sent < 100_000_000 and not wire.closed:
            wire.send(data)
            sent += len(chunk)

    node.answers["/api/tags"] = flood
    world.prober.start()
    world.settle()
    assert world.fleet.nodes["a"].error == "too_large"
    assert sent <= MAX_ANSWER_BYTES + 65536


def test_dead_peer_does_not_keep_a_closed_connection(world: World) -> None:
    """Where an orderly close has no effect the connection is cut a second later."""
    node = world.add("a")
    node.ignores_goodbye = True
    node.answers["/api/version"] = b"HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\n"
    world.prober.start()
    world.settle()
    assert world.fleet.nodes["a"].error == "status_503"
    assert len(node.open_wires) == 1
    world.advance(1)
    assert node.open_wires == []


def test_body_without_length_ends_with_its_connection(world: World) -> None:
    """A node of the HTTP/1.0 kind is understood."""
    node = world.add("a")

    def old(wire: Wire) -> None:
        wire.send(b'HTTP/1.0 200 OK\r\n\r\n{"version":"0.1.0"}')
        wire.end()

    node.answers["/api/version"] = old
    world.prober.start()
    world.settle()
    assert world.fleet.nodes["a"].version == "0.1.0"


def test_state_changes_are_logged_once(world: World) -> None:
    """A node that flaps is logged at every turn, and not at every probe."""
    node = world.add("a")
    with capturedLogs() as events:
        world.prober.start()
        world.settle()
        for accepts in (True, True, False, False, False, True, True, False):
            node.accepts = accepts
            world.advance(5)
    told = [event["log_level"] for event in events if event.get("node") == "a"]
    assert told == [LogLevel.info, LogLevel.warn, LogLevel.info, LogLevel.warn]


def test_node_that_is_down_from_the_start_is_logged_once(world: World) -> None:
    """The first failure counts as a change of state."""
    world.add("a").accepts = False
    with capturedLogs() as events:
        world.prober.start()
        for _ in range(3):
            world.advance(5)
    assert len([event for event in events if event.get("node") == "a"]) == 1


def test_quiet_rounds_are_not_logged(world: World) -> None:
    """Probes that find what was known leave no trace in the log, neither do their connections."""
    world.add("a")
    world.prober.start()
    world.settle()
    with capturedLogs() as events:
        world.advance(5)
        world.advance(5)
    assert len(world.network["a"].paths) == 9
    assert events == []


def test_interval_has_a_jitter(world: World) -> None:
    """The time between rounds is the interval give or take a tenth."""
    node = world.add("a")
    world.chances[:] = [0.0, 1.0, 0.5]
    world.prober.start()
    world.settle()
    for pause in (4.5, 5.5, 5.0):
        rounds = len(node.paths)
        world.advance(pause - 0.01)
        assert len(node.paths) == rounds
        world.advance(0.01)
        assert len(node.paths) == rounds + 3


def test_probe_now_does_not_wait_for_its_turn(world: World) -> None:
    """What a client did on a node is known when the Deferred fires; the next turn is an interval later."""
    node = world.add("a")
    world.prober.start()
    world.settle()
    world.advance(3)
    node.serve(models=("new:latest",))
    done = world.prober.probe_now("a")
    world.settle()
    assert done.called
    assert world.fleet.has_model("new:latest")
    rounds = len(node.paths)
    world.advance(4.9)
    assert len(node.paths) == rounds
    world.advance(0.1)
    assert len(node.paths) == rounds + 3


def test_probe_now_during_a_round_is_answered_by_the_next_one(world: World) -> None:
    """A round that began before may have missed what was done; those who come meanwhile share one further round."""
    node = world.add("a")
    tags = node.answers["/api/tags"]
    node.answers["/api/ps"] = _nothing
    world.prober.start()
    world.settle()
    first, second = world.prober.probe_now("a"), world.prober.probe_now("a")
    node.serve(models=("new:latest",))
    assert tags != node.answers["/api/tags"]
    world.advance(2)
    assert first.called
    assert second.called
    assert world.fleet.has_model("new:latest")
    assert len(node.paths) == 6


def test_waiting_for_a_probe_can_be_given_up(world: World) -> None:
    """A client that leaves ends its own waiting, not the probe that others wait for."""
    node = world.add("a")
    world.prober.start()
    leaver, stayer = world.prober.probe_now("a"), world.prober.probe_now("a")
    leaver.addErrback(lambda _: None)
    leaver.cancel()
    world.settle()
    assert stayer.called
    assert len(node.paths) == 6


def test_probe_now_of_an_unknown_node(world: World) -> None:
    """A node that has just been removed keeps nobody waiting."""
    world.prober.start()
    assert world.prober.probe_now("gone").called
    world.prober.suspect("gone")


def test_suspicion_brings_the_next_round_forward(world: World) -> None:
    """A failed connection has its node probed at once, but not more than once a second."""
    node = world.add("a")
    world.prober.start()
    world.settle()
    world.advance(2)
    node.accepts = False
    world.prober.suspect("a")
    world.advance(0)
    assert not world.fleet.nodes["a"].up
    node.accepts = True
    for _ in range(50):
        world.prober.suspect("a")
    world.advance(0.99)
    assert not world.fleet.nodes["a"].up
    world.advance(0.01)
    assert world.fleet.nodes["a"].up
    assert len(node.paths) == 6


def test_suspicion_changes_nothing_where_a_round_is_running_or_near(world: World) -> None:
    """A running round will tell; a round that is due sooner is not put off."""
    node = world.add("a")
    world.prober.start()
    world.prober.suspect("a")
    world.settle()
    assert len(node.paths) == 3
    world.advance(4.9)
    world.prober.suspect("a")
    world.advance(0)
    world.prober.suspect("a")
    world.advance(0.1)
    assert len(node.paths) == 6


def test_node_that_comes_later_is_probed_at_once(world: World) -> None:
    """A node added at run time needs no restart."""
    world.prober.start()
    world.add("late")
    world.settle()
    assert world.fleet.nodes["late"].up
    world.advance(5)
    assert len(world.network["late"].paths) == 6


def test_removed_node_is_left_alone(world: World) -> None:
    """A node removed while it is being probed: the connection is closed, waiting ends, nothing is learnt any more."""
    node = world.add("a")
    node.answers["/api/ps"] = _nothing
    first = world.prober.start()
    world.settle()
    waiting = world.prober.probe_now("a")
    gone = world.fleet.remove("a")
    world.settle()
    assert first.called
    assert waiting.called
    assert node.open_wires == []
    assert not gone.up
    world.advance(20)
    assert len(node.paths) == 3


def test_node_replaced_under_its_name_is_probed_anew(world: World) -> None:
    """Another address under the same name is another node."""
    old = world.add("a", models=("old:latest",))
    world.prober.start()
    world.settle()
    world.fleet.remove("a")
    world.add("a", models=("new:latest",))
    world.settle()
    assert list(world.fleet.nodes["a"].models) == ["new:latest"]
    world.advance(5)
    assert len(old.paths) == 3


@pytest.mark.parametrize("gone", ["a", "b"])
@pytest.mark.parametrize("accepts", [False, True])
def test_listener_that_removes_a_node(world: World, gone: str, accepts: bool) -> None:
    """A fallback may go in the very moment in which another node, or it itself, is heard of."""
    world.add("a").accepts = accepts
    world.add("b").accepts = accepts

    def remove(node: Node, appeared: frozenset[str], disappeared: frozenset[str]) -> None:
        if node.name == "a" and node.error != "not_probed" and gone in world.fleet.nodes:
            world.fleet.remove(gone)

    world.fleet.changed.append(remove)
    first = world.prober.start()
    world.settle()
    assert first.called
    assert gone not in world.fleet.nodes
    asked = len(world.network[gone].paths)
    world.advance(20)
    assert len(world.network[gone].paths) == asked


def test_stop_ends_everything(world: World) -> None:
    """Running requests are closed, waiting ends, and no later round or node brings probes back."""
    node = world.add("a")
    node.answers["/api/version"] = _nothing
    first = world.prober.start()
    world.settle()
    assert world.prober.stop().called
    world.settle()
    assert first.called
    assert node.wires[0].closed
    assert world.clock.getDelayedCalls() == []
    world.add("b")
    world.advance(20)
    assert world.network["b"].paths == []
    assert world.fleet.nodes["a"].error == "not_probed"


def test_list_that_did_not_change_is_not_read_again(world: World) -> None:
    """The same bytes give the same objects: reading thousands of models every few seconds is spared."""
    node = world.add("a", models=("tiny:latest",))
    world.prober.start()
    world.settle()
    before = world.fleet.nodes["a"].models
    world.advance(5)
    assert world.fleet.nodes["a"].models is before
    node.serve(models=("tiny:latest", "more:latest"))
    world.advance(5)
    assert len(world.fleet.nodes["a"].models) == 2


def test_defect_in_a_probe_is_logged_and_probing_goes_on(
    world: World, flush_logged_errors: Callable[..., list[Failure]]
) -> None:
    """An error of the gateway's own ends one round, not the looking after a node."""
    node = world.add("a")
    original = world.fleet.nodes["a"].address
    world.fleet.nodes["a"].address = attrs.evolve(original, host="not-ascii-é")
    assert world.prober.start().called
    assert len(flush_logged_errors(UnicodeEncodeError)) == 1
    world.fleet.nodes["a"].address = original
    world.advance(5)
    assert world.fleet.nodes["a"].up
    assert len(node.paths) == 3
