"""The scheduler's rules beyond those that were measured, as a state machine that is told the time."""

from __future__ import annotations

import math

import pytest

from ollamamax.simulator.models import Model, model_of
from ollamamax.simulator.scheduler import Event, Job, Scheduler
from ollamamax.simulator.settings import THINKER, TINY, parsed_model

A, B, C = (model_of(parsed_model(name), 0.0) for name in "abc")


def job(model: Model, **changes: object) -> Job:
    """A request whose load takes a second."""
    told: dict[str, object] = {"signature": 1, "keep_alive": 10.0, "load_seconds": 1.0, **changes}
    return Job(model, **told)  # type: ignore[arg-type]


def scheduler(**changes: int) -> Scheduler:
    """One without overhead, for two models."""
    return Scheduler(**{"max_queue": 4, "max_loaded": 2, **changes})


def served(target: Scheduler, model: Model, now: float, **changes: object) -> Job:
    """A request that was loaded for, served and is done with a second after it came."""
    one = job(model, **changes)
    target.submit(one, now)
    target.advance(now + 1.0)
    assert one.started_at == now + 1.0
    target.release(one, now + 1.0)
    return one


def names(target: Scheduler, now: float) -> list[str]:
    """What is loaded."""
    return [runner.model.name.model for runner in target.resident(now)]


def test_the_least_recently_used_idle_model_is_evicted() -> None:
    """A third model takes the place of the one that was used longest ago."""
    target = scheduler()
    served(target, A, 0.0, keep_alive=100.0)
    served(target, B, 2.0, keep_alive=50.0)
    again = job(A, keep_alive=100.0)
    target.submit(again, 4.0)
    target.release(again, 5.0)
    served(target, C, 6.0)
    assert set(names(target, 7.0)) == {"a", "c"}


def test_what_is_loaded_longest_is_listed_first() -> None:
    """The list is in the order in which models leave, the last one first; who stays for ever leads."""
    target = scheduler(max_loaded=3)
    served(target, A, 0.0, keep_alive=5.0)
    served(target, B, 1.0, keep_alive=math.inf)
    served(target, C, 2.0, keep_alive=8.0)
    assert names(target, 3.0) == ["b", "c", "a"]
    assert target.next_at() == 6.0


def test_a_model_that_stays_for_ever_sets_no_timer() -> None:
    """With nothing but that in memory nothing is due."""
    target = scheduler()
    served(target, A, 0.0, keep_alive=math.inf)
    assert target.next_at() is None
    assert names(target, 1e9) == ["a"]


def test_keep_alive_zero_unloads_when_the_request_ends() -> None:
    """The model is gone in the moment in which nobody holds it."""
    target = scheduler()
    served(target, A, 0.0, keep_alive=0.0)
    assert names(target, 1.0) == []


def test_an_unload_waits_for_who_is_served() -> None:
    """A model in use goes when its last request ends; an idle or unknown one at once."""
    target = scheduler()
    one = job(A)
    target.submit(one, 0.0)
    target.advance(1.0)
    target.expire(A.weights.digest, 1.5)
    assert names(target, 1.5) == ["a"]
    target.release(one, 2.0)
    assert names(target, 2.0) == []
    target.expire(A.weights.digest, 2.5)


def test_models_of_the_same_weights_share_a_runner() -> None:
    """The second one needs no load, and only the first one's name is listed."""
    target = scheduler()
    tiny, thinker = model_of(TINY, 0.0), model_of(THINKER, 0.0)
    served(target, tiny, 0.0)
    other = job(thinker)
    assert target.submit(other, 2.0) == [(Event.ACQUIRED, other), (Event.STARTED, other)]
    assert names(target, 2.0) == ["tiny"]


def test_a_waiting_request_that_leaves_makes_room() -> None:
    """A place in the queue is free again when who held it leaves, wherever it stood."""
    target = scheduler(max_queue=1)
    first, second, third, fourth = (job(A) for _ in range(4))
    target.submit(first, 0.0)
    target.submit(second, 0.0)
    assert target.submit(third, 0.0) == [(Event.REFUSED, third)]
    target.release(second, 0.5)
    assert target.submit(fourth, 0.5) == []
    target.advance(1.0)
    assert (first.started_at, fourth.acquired_at, second.acquired_at) == (1.0, 1.0, None)


def test_one_that_leaves_before_it_was_looked_at_is_forgotten() -> None:
    """Also in the first milliseconds."""
    target = Scheduler(max_queue=1, max_loaded=1, overhead_seconds=0.002)
    one = job(A)
    target.submit(one, 0.0)
    target.release(one, 0.001)
    assert (target.advance(1.0), target.next_at()) == ([], None)


def test_one_that_waits_for_another_stream_may_leave() -> None:
    """Then the stream's model stays."""
    target = scheduler(max_loaded=1)
    stream, other = job(A), job(B)
    target.submit(stream, 0.0)
    target.advance(1.0)
    target.submit(other, 1.0)
    target.release(other, 1.5)
    target.release(stream, 2.0)
    assert names(target, 2.0) == ["a"]


def test_a_waiting_request_that_leaves_gives_up_its_place_for_a_slot() -> None:
    """The next in line gets the slot."""
    target = scheduler()
    one, two, three = (job(A) for _ in range(3))
    target.submit(one, 0.0)
    target.advance(1.0)
    target.submit(two, 1.0)
    target.submit(three, 1.0)
    target.release(two, 1.2)
    assert target.release(one, 1.5) == [(Event.STARTED, three)]


def test_loads_that_take_no_time_need_no_timer() -> None:
    """Everything happens in the call that brought the request."""
    target = scheduler()
    one = job(A, load_seconds=0.0)
    assert target.submit(one, 3.0) == [(Event.ACQUIRED, one), (Event.STARTED, one)]


@pytest.mark.parametrize("everyone", [True, False])
def test_a_crash_takes_the_model_out_once_nobody_is_left(everyone: bool) -> None:
    """Who shared the engine is lost with it where it died, and finishes where it only broke off."""
    target = scheduler()
    dying, neighbour, waiting = (job(A, parallel=2) for _ in range(3))
    for one in (dying, neighbour, waiting):
        target.submit(one, 0.0)
    target.advance(1.0)
    outcomes = target.crash(dying, 1.5, everyone=everyone)
    if everyone:
        assert sorted(str(event) for event, _ in outcomes) == ["Event.LOST", "Event.LOST"]
    else:
        assert outcomes == [(Event.STARTED, waiting)]
        target.release(neighbour, 2.0)
        assert names(target, 2.0) == ["a"]
        target.release(waiting, 2.5)
    assert names(target, 3.0) == []


def test_nothing_is_decided_twice() -> None:
    """Outcomes are told once; a crash of one that has no runner any more changes nothing."""
    target = scheduler()
    one = served(target, A, 0.0)
    assert target.crash(one, 2.0, everyone=True) == []
    assert target.advance(3.0) == []


def test_a_load_is_given_up_with_who_asked_for_it() -> None:
    """Nothing is loaded for nobody; who waits behind it begins anew."""
    target = scheduler()
    first, second = job(A), job(A)
    target.submit(first, 0.0)
    assert target.release(first, 0.5) == []
    assert target.next_at() is None
    assert target.advance(5.0) == []
    target.submit(job(B), 6.0)
    target.submit(second, 6.0)
    assert names(target, 6.5) == []
    target.advance(7.0)
    assert target.advance(8.0) == [(Event.ACQUIRED, second), (Event.STARTED, second)]


def test_only_who_paid_for_a_load_is_cold() -> None:
    """Whoever comes to a model that is there, or waits for another one's load, is not."""
    target = scheduler()
    first, waiting = job(A, parallel=2), job(A, parallel=2)
    target.submit(first, 0.0)
    target.submit(waiting, 0.5)
    target.advance(1.0)
    later = job(A)
    target.submit(later, 1.0)
    assert (first.cold, waiting.cold, later.cold) == (True, False, False)
    assert (first.acquired_at, waiting.acquired_at, later.acquired_at) == (1.0, 1.0, 1.0)


def test_when_a_model_leaves() -> None:
    """A model in use has all of its time before it, an idle one what is left; the last request's wish counts."""
    target = scheduler()
    one = job(A, keep_alive=10.0)
    target.submit(one, 0.0)
    target.advance(1.0)
    (runner,) = target.resident(4.0)
    assert (runner.leaves_at(4.0), runner.expires_at) == (14.0, None)
    target.release(one, 5.0)
    assert (runner.leaves_at(6.0), runner.expires_at, target.next_at()) == (15.0, 15.0, 15.0)
    two = job(A, keep_alive=0.5)
    target.submit(two, 7.0)
    assert runner.leaves_at(7.0) == 7.5
    target.release(two, 8.0)
    assert (names(target, 8.25), target.next_at()) == (["a"], 8.5)
    target.advance(8.5)
    assert names(target, 8.5) == []


def test_an_idle_model_is_evicted_before_a_busy_one() -> None:
    """However long ago the busy one was last asked for; with all busy the oldest is waited for."""
    target = scheduler()
    busy = job(A)
    target.submit(busy, 0.0)
    target.advance(1.0)
    served(target, B, 2.0)
    new = job(C)
    target.submit(new, 4.0)
    target.advance(5.0)
    assert (new.started_at, set(names(target, 5.0))) == (5.0, {"a", "c"})
    last = job(B)
    assert target.submit(last, 6.0) == []
    target.release(new, 7.0)
    target.advance(8.0)
    assert (last.started_at, set(names(target, 8.0))) == (8.0, {"a", "b"})


def test_other_options_need_another_runner() -> None:
    """What is loaded with others is replaced, once nobody uses it; a request that fits still goes first."""
    target = scheduler()
    one, other, fitting = job(A, parallel=2), job(A, signature=2), job(A)
    target.submit(one, 0.0)
    target.advance(1.0)
    assert target.submit(other, 1.0) == []
    assert target.submit(fitting, 1.5) == [(Event.ACQUIRED, fitting), (Event.STARTED, fitting)]
    target.release(one, 2.0)
    assert names(target, 2.0) == ["a"]
    target.release(fitting, 3.0)
    assert names(target, 3.0) == []
    assert target.advance(4.0) == [(Event.ACQUIRED, other), (Event.STARTED, other)]


def test_a_request_is_looked_at_after_its_overhead() -> None:
    """Not earlier, and a timer that floating point makes early is early enough."""
    target = Scheduler(max_queue=1, max_loaded=1, overhead_seconds=0.25)
    one = job(A, load_seconds=1.0)
    target.submit(one, 1.0)
    assert target.next_at() == 1.25
    target.advance(1.2)
    assert target.next_at() == 1.25
    target.advance(1.25 - 1e-10)
    assert target.next_at() == pytest.approx(2.25)
    assert target.advance(2.25) == [(Event.ACQUIRED, one), (Event.STARTED, one)]
