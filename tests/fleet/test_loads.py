"""Loads: how many there were, and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.fleet.loads import CAUSES, MAX_MODELS, Cause, Found, Loads, wait_for_load

M, N = "m:latest", "n:latest"
LATER = 1000.0

Wait = tuple[float, float]
Deed = Literal["expire", "evict", "evict_slowly", "evict_when_unused", "unload", "restart", "options"]
EXPECTED: dict[Deed, Cause] = {
    "expire": "expired",
    "evict": "evicted",
    "evict_slowly": "evicted",
    "evict_when_unused": "evicted",
    "unload": "other",
    "restart": "other",
    "options": "options",
}


def counted(loads: Loads, waits: Iterable[Wait], found: Found = "absent") -> list[Cause]:
    """The causes of the loads that some waits on one model make."""
    causes = [loads.waited("a", M, began, ended, found=found) for began, ended in waits]
    return [cause for cause in causes if cause is not None]


def most_disjoint(waits: Iterable[Wait]) -> int:
    """How many of some waits can be chosen so that no two of them overlap."""
    count, free = 0, float("-inf")
    for began, ended in sorted(waits, key=lambda wait: wait[1]):
        if began > free:
            count, free = count + 1, ended
    return count


class Story:
    """One model on one node, whose memory is known to the test; it is loaded with 100 s to stay."""

    def __init__(self) -> None:
        self.loads = Loads()
        self.now = 100.0
        self.expires_at = 0.0
        self.causes: list[Cause | None] = []
        self.loads.seen("a", {}, (), self.now)

    def see(self, *, awaited: Iterable[str] = (), **others: float) -> None:
        """A probe that finds the model and others with these times to go; `m=0` for without it."""
        there: dict[str, float | None] = {N: self.now + others["n"]} if "n" in others else {}
        if others.get("m", 1):
            there[M] = self.expires_at
        self.loads.seen("a", there, list(awaited), self.now)

    def happen(self, deed: Deed) -> Found:
        """Something after which the model has to be loaded; where a request that comes then finds it."""
        self.now += 10.0
        self.see()
        self.now += 5.0
        match deed:
            case "options":
                return "resident"
            case "expire":
                self.now = self.expires_at + 5.0
                self.see(m=0)
            case "evict":
                self.see(m=0, n=300)
            case "evict_slowly":
                self.see(m=0, awaited=[N])
            case "evict_when_unused":
                self.now = self.expires_at + 50.0
                self.see()
                self.now += 5.0
                self.see(m=0, awaited=[M, N])
            case "unload":
                self.see(m=0, awaited=[M])
            case "restart":
                self.loads.unreachable("a")
                self.see(m=0, n=300)
        self.now += 5.0
        return "absent"

    def load(self, waiters: int, found: Found, *, probed_first: bool) -> None:
        """The load, for which some requests wait; a probe sees the model before they tell of it, or after."""
        began = self.now
        self.now += 4.0
        self.expires_at = self.now + 100.0
        if probed_first:
            self.see()
        self.causes += [
            self.loads.waited("a", M, began + number / 8, self.now, found=found) for number in range(waiters)
        ]
        self.now += 1.0
        self.see()

    def load_anew(self) -> Cause | None:
        """It is loaded with other options, for which a request waits; a probe within that sees it gone."""
        began = self.now
        self.now += 2.0
        self.see(m=0, awaited=[M])
        self.now = began + 5.0
        return self.loads.waited("a", M, began, self.now, found="resident")


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(get_args(Deed))), st.integers(1, 4), st.booleans()), min_size=1, max_size=12
    )
)
def test_each_load_has_its_one_cause(deeds: list[tuple[Deed, int, bool]]) -> None:
    """Whatever happens in whatever order: one load each with its true cause, whenever a probe sees the model again."""
    story = Story()
    story.load(2, "absent", probed_first=True)
    for deed, waiters, probed_first in deeds:
        story.load(waiters, story.happen(deed), probed_first=probed_first)
    assert [cause for cause in story.causes if cause] == ["first", *(EXPECTED[deed] for deed, _, _ in deeds)]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=1, max_size=8))
def test_never_more_loads_than_waits_that_are_apart(drawn: list[tuple[int, int]]) -> None:
    """However waits overlap and in whatever order they are told, no two loads are counted that may have been one."""
    waits = [(float(began), float(began + length)) for began, length in drawn]
    assert 1 <= len(counted(Loads(), waits)) <= most_disjoint(waits)


@given(st.data())
def test_waits_for_one_load_are_one(data: st.DataObject) -> None:
    """Loads that are apart are counted one by one, however many waited for each and in whatever order they tell."""
    number = data.draw(st.integers(1, 6))
    waits = [
        (10.0 * load + data.draw(st.integers(0, 5)), 10.0 * load + 6.0)
        for load in range(number)
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    assert len(counted(Loads(), data.draw(st.permutations(waits)))) == number


def test_a_late_report_is_no_new_load() -> None:
    """Who tells of a wait that is older than all that are remembered, is not counted."""
    loads = Loads()
    assert len(counted(loads, [(100.0 * n, 100.0 * n + 5) for n in range(1, 10)])) == 9
    assert counted(loads, [(50.0, 55.0), (950.0, 955.0)]) == ["other"]


def test_models_and_nodes_are_apart() -> None:
    """At the same time several models are loaded, and one on several nodes."""
    loads = Loads()
    told = [loads.waited(node, model, 1.0, 2.0, found="absent") for node in "ab" for model in (M, N)]
    assert told == ["first"] * 4


def test_a_model_seen_before_is_not_loaded_for_the_first_time() -> None:
    """Seen by a probe before the request came, or waited for; a probe that sees the load itself does not count."""
    loads = Loads()
    loads.seen("a", {M: None}, (), 1.0)
    loads.seen("a", {}, (), 2.0)
    assert loads.waited("a", M, 3.0, 4.0, found="absent") == "other"
    assert loads.waited("a", N, 3.0, 4.0, found="absent") == "first"
    assert loads.waited("a", N, 5.0, 6.0, found="absent") == "other"
    loads.seen("b", {M: None}, (), 2.0)
    assert loads.waited("b", M, 1.0, 2.0, found="absent") == "first"


def test_a_model_whose_time_came_unseen() -> None:
    """The request was sent by what the last probe had said, and tells that the model's time had come since."""
    story = Story()
    story.load(1, "absent", probed_first=True)
    story.now = story.expires_at + 1.0
    story.load(1, "expired", probed_first=False)
    assert story.causes == ["first", "expired"]


def test_a_model_that_another_one_drove_out_between_dispatch_and_arrival() -> None:
    """It was there at the dispatch, and a probe sees within the wait that another one has come instead."""
    story = Story()
    story.load(1, "absent", probed_first=True)
    began = story.now
    story.now += 2.0
    story.see(m=0, n=300)
    assert story.loads.waited("a", M, began, began + 5.0, found="resident") == "evicted"


def test_a_model_is_not_listed_while_it_is_loaded_anew() -> None:
    """With changed options it leaves and comes back: a probe between sees it gone, and that was no eviction."""
    story = Story()
    story.load(1, "absent", probed_first=True)
    assert story.load_anew() == "options"


@pytest.mark.parametrize("told_of", [False, True])
def test_a_model_that_leaves_before_a_probe_has_seen_it_again(told_of: bool) -> None:
    """Loaded anew, which a probe saw as gone, and driven out at once: by one whose load was told of by then, or not."""
    story = Story()
    story.load(1, "absent", probed_first=True)
    assert story.load_anew() == "options"
    began = story.now + 1.0
    story.now += 4.0
    if told_of:
        assert story.loads.waited("a", N, began, story.now, found="absent") == "first"
    story.see(m=0, n=300)
    assert story.loads.waited("a", M, story.now, story.now + 4.0, found="absent") == "evicted"


def test_what_a_probe_said_after_a_load_holds() -> None:
    """A request that had its model leave at once is told of when that has been seen: it leaves no second time."""
    story = Story()
    began = story.now
    story.now += 5.0
    story.see(m=0)
    assert story.loads.waited("a", M, began, began + 4.0, found="absent") == "first"
    story.see(m=0, n=300)
    assert story.loads.waited("a", M, story.now, story.now + 4.0, found="absent") == "other"


def test_a_model_used_beyond_the_moment_shown() -> None:
    """Nobody came and it is gone: its time came, though it was later than the one that was seen."""
    story = Story()
    story.load(1, "absent", probed_first=True)
    story.now = story.expires_at + 50.0
    story.see()
    story.now += 50.0
    story.see(m=0)
    assert story.loads.waited("a", M, story.now, story.now + 2.0, found="absent") == "expired"


def test_a_departure_after_the_load_is_not_its_cause() -> None:
    """Who tells late of a wait is not told why the next load will be needed, and leaves that to the next."""
    story = Story()
    story.happen("unload")
    began = story.now
    story.now += 5.0
    story.see()
    story.now += 1.0
    story.see(m=0, n=300)
    assert story.loads.waited("a", M, began, began + 4.0, found="absent") == "other"
    assert story.loads.waited("a", M, story.now, story.now + 4.0, found="absent") == "evicted"


def test_a_departure_after_a_load_that_no_probe_saw_is_not_its_cause() -> None:
    """The model was there at the end of a load that was told of, and so it left after all that had ended by then."""
    story = Story()
    story.load(1, "absent", probed_first=True)
    began = story.now
    assert story.loads.waited("a", M, began + 10.0, began + 14.0, found="resident") == "options"
    story.now += 20.0
    story.see(m=0, n=300)
    assert story.loads.waited("a", M, began + 2.0, began + 6.0, found="resident") == "options"
    assert story.loads.waited("a", M, story.now, story.now + 4.0, found="absent") == "evicted"


def test_a_clock_that_is_ahead_a_little() -> None:
    """A model that is gone a moment before its time by this clock has left by the node's own."""
    story = Story()
    story.load(1, "absent", probed_first=True)
    story.now = story.expires_at - 0.5
    story.see(m=0, n=300)
    assert story.loads.waited("a", M, story.now, story.now + 2.0, found="absent") == "expired"


def test_a_node_that_is_gone_is_forgotten() -> None:
    """Its successor of the same name loads its models for the first time."""
    loads = Loads()
    assert counted(loads, [(1.0, 2.0), (3.0, 4.0)]) == ["first", "other"]
    loads.forget("a")
    loads.forget("a")
    assert counted(loads, [(5.0, 6.0)]) == ["first"]


def test_a_node_that_lists_names_without_end() -> None:
    """So many models are remembered and no more, those in memory before those that have left it."""
    loads = Loads()
    for number in range(3 * MAX_MODELS):
        loads.seen("a", {M: LATER, f"x{number}:latest": LATER}, (), float(number))
    (memory,) = loads._nodes.values()
    assert len(memory.models) == MAX_MODELS
    assert memory.models[M].first_seen == 0.0
    loads.seen("a", {f"y{number}:latest": LATER for number in range(2 * MAX_MODELS)}, (), 5000.0)
    assert len(memory.models) == MAX_MODELS


@pytest.mark.parametrize(
    ("answered", "load_seconds", "found", "expected"),
    [
        (12.0, 1.5, "resident", 1.5),
        (12.0, 1.5, "absent", 1.5),
        (None, 1.5, "absent", 1.5),
        (12.0, 0.004, "absent", None),
        (12.0, 0.0, "resident", None),
        (12.0, None, "absent", 2.0),
        (12.0, None, "expired", 2.0),
        (12.0, None, "resident", None),
        (None, None, "absent", None),
        (10.1, None, "absent", None),
    ],
)
def test_who_waited_for_a_load(
    answered: float | None, load_seconds: float | None, found: Found, expected: float | None
) -> None:
    """By what the node says; where it says nothing, until the first byte of an answer of a model that was not there."""
    assert wait_for_load(10.0, answered, load_seconds, found, least=0.1) == expected


def test_the_causes_are_a_closed_set() -> None:
    """These and no others, as dashboards know them."""
    assert CAUSES == ("first", "expired", "evicted", "options", "other")
