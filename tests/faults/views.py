"""What the client of a faulty node sees: an error in its own words, a stream that is visibly broken off, or all of it.

Each does one request and holds the answer against what it should be; that of the server's books is the case's part.
"""

from __future__ import annotations

from faults.bench import Answer, Case
from faults.dialects import Dialect
from faults.fault_node import FaultNode
from faults.playbook import Kind
from faults.steps import Script, Stall, reads, script
from real.wire import End


def refused(
    case: Case,
    dialect: Dialect,
    *scripts: Script,
    status: int = 502,
    code: str = "node_protocol_error",
    outcome: str = "node_error",
    attempts: int = 1,
    kind: Kind = "warm",
) -> str:
    """A request whose answer never begins: the client is told in the words of its API; the message.

    Args:
        case: where it happens.
        dialect: in which it is asked.
        scripts: what the node does, request by request.
        status: of the answer.
        code: of the error, in the ledger.
        outcome: in the ledger.
        attempts: in the ledger.
        kind: of the model.
    """
    model = case.lay(*scripts, kind=kind)
    answer = case.ask(dialect, model, status=status, code=code, outcome=outcome, attempts=attempts)
    return assert_told(dialect, answer, status)


def assert_told(dialect: Dialect, answer: Answer, status: int) -> str:
    """Holds an error against its API's shape, and against what it says of trying again; its message."""
    assert (answer.status, answer.whole, answer.end) == (status, True, "fin"), answer
    assert answer.exchange.header("content-type").startswith("application/json"), answer
    again = answer.exchange.header("x-should-retry")
    if status == 503:
        assert again == "true", answer
        assert 1 <= int(answer.exchange.header("retry-after")) <= 60, answer
    elif status >= 500:
        assert again == "false", answer
    message = dialect.error_message(answer.body)
    assert message, answer
    assert "127.0.0.1" not in message, answer
    return message


def broken_off(
    case: Case,
    dialect: Dialect,
    *scripts: Script,
    sent: int = 2,
    cut: bytes = b"",
    code: str = "node_stream_incomplete",
    outcome: str = "incomplete",
    framed: bool = True,
    kind: Kind = "warm",
) -> str:
    """An answer that fails after some parts: the client has them, and sees that it is not whole; the frame's message.

    Args:
        case: where it happens.
        dialect: in which it is asked.
        scripts: what the node does, request by request.
        sent: how many parts came before.
        cut: the beginning of one that was not complete.
        code: of the error, in the ledger.
        outcome: in the ledger.
        framed: whether a stream can be told of it.
        kind: of the model.
    """
    model = case.lay(*scripts, kind=kind)
    answer = case.ask(dialect, model, code=code, outcome=outcome)
    return assert_broken_off(dialect, answer, sent=sent, cut=cut, framed=framed)


def assert_broken_off(dialect: Dialect, answer: Answer, *, sent: int, cut: bytes = b"", framed: bool = True) -> str:
    """Holds an answer that was broken off against what it should be; the message of its last frame, if it has one."""
    assert (answer.status, answer.whole, answer.end) == (200, False, "fin"), answer
    good = b"".join(dialect.parts[:sent])
    if not dialect.streams or not framed:
        assert answer.body == good + cut, answer
        return ""
    assert dialect.terminal not in answer.body, answer
    assert b"[DONE]" not in answer.body, answer
    if dialect.api == "native" and cut:
        good += cut + b"\n"
    assert answer.body.startswith(good), answer
    message = dialect.frame_message(answer.body[len(good) :], sent)
    assert message, answer
    assert "127.0.0.1" not in message, answer
    return message


def passed(
    case: Case,
    dialect: Dialect,
    *scripts: Script,
    body: bytes | None = None,
    outcome: str = "success",
    kind: Kind = "warm",
) -> Answer:
    """An answer that reaches the client as the node gave it, to its end.

    Args:
        case: where it happens.
        dialect: in which it is asked.
        scripts: what the node does, request by request.
        body: what has to come; by default, a good answer.
        outcome: in the ledger.
        kind: of the model.
    """
    answer = case.ask(dialect, case.lay(*scripts, kind=kind), outcome=outcome)
    assert (answer.status, answer.whole, answer.end) == (200, True, "fin"), answer
    assert answer.body == (dialect.good if body is None else body), answer
    return answer


def own_error(
    case: Case, dialect: Dialect, *scripts: Script, status: int, outcome: str = "node_error", attempts: int = 1
) -> str:
    """An error that the last of the nodes gives by itself, which passes as it is; its message.

    Args:
        case: where it happens.
        dialect: in which it is asked.
        scripts: what the nodes do, request by request.
        status: the node's.
        outcome: in the ledger.
        attempts: in the ledger.
    """
    code = f"node_status_{status}"
    answer = case.ask(dialect, case.lay(*scripts), status=status, code=code, outcome=outcome, attempts=attempts)
    assert (answer.status, answer.whole, answer.end) == (status, True, "fin"), answer
    return dialect.error_message(answer.body)


def redirected(case: Case, dialect: Dialect, elsewhere: FaultNode, status: bytes = b"307 Temporary Redirect") -> None:
    """A redirect of a node, which nobody follows."""
    location = f"Location: {elsewhere.url}{dialect.path}".encode()
    answers = dialect.error(status, "moved", location)
    before = elsewhere.connections
    own_error(case, dialect, answers, status=int(status[:3]))
    case.others_are_served()
    assert elsewhere.connections == before, "a redirect was followed"


def left(case: Case, dialect: Dialect, *, after: int | None, how: End) -> None:
    """A client that leaves: the node is hung up on, though it says nothing more that could find it gone.

    Args:
        case: where it happens.
        dialect: in which it asks.
        after: after how many parts it leaves; None for before the head.
        how: by which of TCP's ways.
    """
    answers = script(dialect.begun(after), Stall()) if after is not None else reads(Stall())
    model = case.lay(answers)
    status = None if after is None else 200
    with case.asking(dialect, model, outcome="client_disconnected", status=status, code=None, counted=499) as client:
        if after is None:
            case.wait_for(lambda: case.seen(model), "the request did not reach the node")
        else:
            client.read_until(dialect.parts[after - 1])
        client.leave(how)
    (seen,) = case.seen(model)
    case.wait_for(seen.over.is_set, "the node's connection is still open")
    assert seen.left_at is not None
    print(f"the node was hung up on after {1000 * (seen.left_at - client.left_at):.0f} ms")  # noqa: T201 - with -s
