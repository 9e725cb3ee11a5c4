"""What was measured on a real Ollama 0.33 holds here: each row of that table, on a clock that a test moves."""

from __future__ import annotations

import pytest
from fidelity import advance_until_finished
from simulator.world import LOAD, World, errors, final

from ollamamax.simulator.settings import parsed_model

WARM, PROMPT = 0.002, 0.005


def test_a_cold_start_pays_for_the_load() -> None:
    """The head comes after the load, and `load_duration` tells of it."""
    world = World()
    asked = world.generate()
    world.pass_until(LOAD)
    assert asked.data == b""
    advance_until_finished(world.clock, [asked])
    assert world.accounts()[0].cold
    assert final(asked) == pytest.approx(
        {"total": WARM + LOAD + PROMPT + 1.0, "load": WARM + LOAD, "prompt_eval": PROMPT, "eval": 1.0, "slot": 0.0}
    )


def test_a_warm_start_takes_milliseconds_but_never_nothing() -> None:
    """`load_duration` of a loaded model is between 1 and 4 ms."""
    world = World()
    world.warmed()
    asked = world.generate()
    world.pass_until(12.0)
    assert world.first_byte[asked] == pytest.approx(10.0 + WARM + PROMPT)
    assert 0.001 <= final(asked)["load"] <= 0.004
    assert not world.accounts()[-1].cold


def test_four_requests_on_two_slots() -> None:
    """Two start at once, two wait a whole generation; the wait is told by no duration of its own."""
    world = World(parallel=2)
    world.warmed()
    asked = [world.generate() for _ in range(4)]
    world.pass_until(20.0)
    begun = [world.first_byte[each] - 10.0 for each in asked]
    assert begun == pytest.approx([WARM + PROMPT, WARM + PROMPT, WARM + 2 * PROMPT + 1.0, WARM + 2 * PROMPT + 1.0])
    assert [final(each)["slot"] for each in asked] == pytest.approx([0.0, 0.0, PROMPT + 1.0, PROMPT + 1.0])
    assert [final(each)["load"] for each in asked] == pytest.approx([WARM] * 4)


def test_requests_for_a_loaded_model_wait_without_bound() -> None:
    """Six requests, one slot, a queue of two: none is refused, the sixth waits for five generations."""
    world = World(max_queue=2)
    world.warmed()
    asked = [world.generate("LIMIT 20") for _ in range(6)]
    world.pass_until(20.0)
    assert [each.exchange().status for each in asked] == [200] * 6
    assert final(asked[5])["slot"] == pytest.approx(5 * (0.5 + PROMPT))


def test_requests_for_a_model_to_load_are_bounded() -> None:
    """Six requests, a queue of two: three are served and tell of the whole load, three get 503 at once."""
    world = World(max_queue=2, parallel=3)
    asked = [world.generate("LIMIT 4") for _ in range(6)]
    world.pass_until(0.009)
    assert [bool(each.data) for each in asked] == [False] * 3 + [True] * 3
    world.pass_until(10.0)
    assert [final(each)["load"] for each in asked[:3]] == pytest.approx([WARM + LOAD] * 3)
    busy = "server busy, please try again.  maximum pending requests exceeded"
    assert [(each.exchange().status, errors(each.exchange())) for each in asked[3:]] == [(503, [busy])] * 3


def test_another_context_length_is_a_reload_each_way() -> None:
    """`num_ctx` 2048 after 4096 loads the model again, and so does 4096 after that."""
    world = World()
    world.warmed()
    for size in (2048, 4096):
        asked = world.generate("LIMIT 4", options={"num_ctx": size})
        advance_until_finished(world.clock, [asked])
        assert final(asked)["load"] == pytest.approx(WARM + LOAD)
        assert [entry["context_length"] for entry in world.ps_entries()] == [size]
    again = world.generate("LIMIT 4", options={"num_ctx": 4096})
    advance_until_finished(world.clock, [again])
    assert final(again)["load"] == pytest.approx(WARM)


def test_a_reload_waits_for_the_stream_and_others_go_first() -> None:
    """A changed `num_ctx` waits for the running stream; a later request with the old value is served meanwhile."""
    world = World(parallel=2)
    world.warmed()
    stream = world.generate("LIMIT 48")
    world.pass_until(10.3)
    changed = world.generate("LIMIT 4", options={"num_ctx": 2048})
    world.pass_until(10.4)
    later = world.generate("LIMIT 4")
    world.pass_until(20.0)
    assert world.first_byte[later] == pytest.approx(10.4 + WARM + PROMPT)
    assert final(stream)["eval"] == pytest.approx(1.2)
    assert final(changed)["load"] == pytest.approx(WARM + PROMPT + 1.2 - 0.3 + LOAD)


def test_a_second_model_loads_without_delaying_the_first() -> None:
    """Streams and new requests of the loaded model do not feel the other's load."""
    world = World(parallel=2)
    world.warmed()
    stream = world.generate("LIMIT 80")
    other = world.generate("LIMIT 4", model="second")
    world.pass_until(11.0)
    third = world.generate("LIMIT 4")
    world.pass_until(20.0)
    assert (final(stream)["eval"], final(stream)["slot"]) == pytest.approx((2.0, 0.0))
    assert world.first_byte[third] == pytest.approx(11.0 + WARM + PROMPT)
    assert final(other)["load"] == pytest.approx(WARM + LOAD)


def test_with_one_model_at_a_time_the_other_waits_for_the_stream() -> None:
    """The other model's request waits for the stream, then loads; a later one for the first model goes before."""
    slow = parsed_model("slow,load=3")
    world = World((parsed_model("first"), slow), max_loaded_models=1)
    world.warmed()
    stream = world.generate("LIMIT 48")
    world.pass_until(10.1)
    other = world.generate("LIMIT 4", model="slow")
    world.pass_until(10.5)
    later = world.generate("LIMIT 8")
    world.pass_until(30.0)
    assert world.first_byte[stream] < world.first_byte[later] < world.first_byte[other]
    busy = WARM + PROMPT + 1.2 + PROMPT + 0.2
    assert final(other)["load"] == pytest.approx(busy - 0.1 + 3.0)
    assert world.ps() == ["slow:latest"]


def test_a_client_that_leaves_during_the_load_aborts_it() -> None:
    """The next request pays for the whole load again; meanwhile nothing is listed."""
    world = World((parsed_model("slow,load=3"),))
    first = world.generate(model="slow")
    world.pass_until(1.0)
    first.leave()
    assert world.ps() == []
    second = world.generate("LIMIT 4", model="slow")
    advance_until_finished(world.clock, [second])
    assert final(second)["load"] == pytest.approx(WARM + 3.0)
    left = world.accounts()[0]
    assert (left.outcome, left.client_left_at, left.tokens) == ("client_left", 1.0, 0)


def test_a_waiting_request_loads_after_an_aborted_load() -> None:
    """Who waited behind the load that was given up starts one of his own."""
    world = World()
    first, second = world.generate("LIMIT 4"), world.generate("LIMIT 4")
    world.pass_until(1.0)
    first.leave()
    advance_until_finished(world.clock, [second])
    assert final(second)["load"] == pytest.approx(1.0 + LOAD)


def test_a_client_that_leaves_mid_stream_frees_its_slot_at_once() -> None:
    """The next in line starts in the same moment."""
    world = World()
    world.warmed()
    stream, waiting = world.generate("LIMIT 400"), world.generate("LIMIT 4")
    world.pass_until(11.0)
    stream.leave()
    world.pass_until(20.0)
    assert world.first_byte[waiting] == pytest.approx(11.0 + PROMPT)
    left = next(account for account in world.accounts() if account.outcome == "client_left")
    assert (left.client_left_at, left.tokens) == (11.0, 40)


def test_a_short_keep_alive_is_kept() -> None:
    """With `keep_alive: "1s"` the model is gone two seconds later."""
    world = World()
    asked = world.generate("LIMIT 4", keep_alive="1s")
    advance_until_finished(world.clock, [asked])
    assert world.ps() == ["first:latest"]
    world.pass_until(world.clock.seconds() + 2.0)
    assert world.ps() == []


@pytest.mark.parametrize(
    ("body", "echoed"),
    [
        (b'{"model":"absent","prompt":"x LIMIT 2","MODEL":"first"}', "first"),
        (b'{"MODEL":"absent","prompt":"x LIMIT 2","model":"first"}', "first"),
        (b'{"model":"FIRST","prompt":"x LIMIT 2"}', "FIRST"),
    ],
)
def test_the_last_of_doubled_keys_wins_and_names_are_echoed_as_sent(body: bytes, echoed: str) -> None:
    """Whatever their case, the last key counts; the answer repeats the name as the client spelt it."""
    world = World()
    asked = world.ask("/api/generate", body)
    advance_until_finished(world.clock, [asked])
    documents = asked.exchange().documents
    assert {document["model"] for document in documents if isinstance(document, dict)} == {echoed}


@pytest.mark.parametrize("word", ["CUT", "DIE"])
def test_an_engine_that_dies_ends_the_stream_cleanly_with_an_error_line(word: str) -> None:
    """Six tokens, a line with the error, the end of the chunks; the next request has to load again."""
    world = World()
    world.warmed()
    asked = world.generate(f"{word} LIMIT 12")
    advance_until_finished(world.clock, [asked])
    exchange = asked.exchange()
    lost = "an error was encountered while running the model: unexpected EOF"
    assert (exchange.status, exchange.end, len(exchange.documents), errors(exchange)) == (200, "fin", 7, [lost])
    assert (world.accounts()[-1].outcome, world.accounts()[-1].tokens) == ("failed", 6)
    again = world.generate("LIMIT 4")
    advance_until_finished(world.clock, [again])
    assert final(again)["load"] == pytest.approx(WARM + LOAD)


@pytest.mark.parametrize(("word", "lost"), [("CUT", False), ("DIE", True)])
def test_a_dying_engine_takes_its_other_requests_along(word: str, lost: bool) -> None:
    """Where only a connection broke the neighbours go on, where the engine died they are lost."""
    world = World(parallel=2)
    world.warmed()
    neighbour, waiting = world.generate("LIMIT 40"), None
    dying = world.generate(f"{word} LIMIT 12")
    waiting = world.generate("LIMIT 4", stream=False)
    advance_until_finished(world.clock, [neighbour, dying, waiting])
    assert bool(errors(neighbour.exchange())) is lost
    assert waiting.exchange().status == (500 if lost else 200)


@pytest.mark.parametrize("stream", [True, False])
def test_an_engine_that_refuses_is_told_before_the_head(stream: bool) -> None:
    """500 in the engine's words: chunked where a stream was asked for, whole where not."""
    world = World()
    asked = world.generate("HTTP500", stream=stream)
    advance_until_finished(world.clock, [asked])
    exchange = asked.exchange()
    assert (exchange.status, exchange.framing) == (500, "chunked" if stream else "length")
    assert "engine says no" in str(errors(exchange))


def test_management_errors_are_chunked_and_failed_pulls_are_successes() -> None:
    """A bad `from` is 400 without charset and in a chunk; a pull that fails is 200 with an error line."""
    world = World()
    bad = world.ask("/api/create", {"model": "x", "from": "../../etc"}).exchange()
    assert (bad.status, bad.framing, bad.header("content-type")) == (400, "chunked", "application/json")
    failed = world.ask("/api/pull", {"model": "nowhere.example/x/y"}).exchange()
    assert (failed.status, failed.end, len(failed.parts)) == (200, "fin", 2)
    assert "no such host" in str(errors(failed))


def test_a_pull_reports_every_60_ms() -> None:
    """One line each 60 ms with digest, total and completed, then the three closing ones."""
    world = World((), registry=(parsed_model("far,size=1000000"),), pull_bytes_per_second=1e6)
    asked = world.ask("/api/pull", {"model": "far"})
    times, seen = [], 0
    while not asked.finished:
        world.clock.advance(world.clock.getDelayedCalls()[0].getTime() - world.clock.seconds())
        if len(asked.data) > seen:
            seen = len(asked.data)
            times.append(round(world.clock.seconds(), 3))
    assert times[:3] == [0.06, 0.12, 0.18]
    documents = [each for each in asked.exchange().documents if isinstance(each, dict)]
    progress = [each["completed"] for each in documents if "completed" in each]
    assert progress == sorted(progress)
    assert {each["total"] for each in documents if "completed" in each} == {1_000_000}
    closing = ["verifying sha256 digest", "writing manifest", "success"]
    assert [each["status"] for each in documents[-3:]] == closing
    tags = world.ask("/api/tags", method="GET").exchange().documents
    assert "far:latest" in str(tags)
