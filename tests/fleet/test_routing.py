"""Which node a request goes to."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.fleet.routing import Candidate, Purpose, Wanted, choose

_INFERENCE = Wanted("tiny:latest", "inference")
_LOAD = Wanted("tiny:latest", "load")
_MANAGEMENT = Wanted("tiny:latest", "management")

_PURPOSES: Sequence[Purpose] = ("inference", "load", "management", "any")
_CANDIDATES = st.lists(
    st.builds(
        Candidate,
        name=st.just(""),
        up=st.booleans(),
        has_model=st.booleans(),
        resident=st.booleans(),
        in_flight=st.integers(0, 3),
        doubtful=st.booleans(),
    ),
    max_size=6,
).map(lambda drawn: [attrs.evolve(candidate, name=f"n{number}") for number, candidate in enumerate(drawn)])
_WANTED = st.builds(
    Wanted,
    model=st.sampled_from(["tiny:latest", "gpt-oss:120b-cloud", None]),
    purpose=st.sampled_from(_PURPOSES),
    avoid=st.frozensets(st.sampled_from(["n0", "n1", "n2"])),
)


def _node(
    name: str,
    *,
    up: bool = True,
    has_model: bool = True,
    resident: bool = False,
    in_flight: int = 0,
    doubtful: bool = False,
) -> Candidate:
    return Candidate(name, up, has_model, resident, in_flight, doubtful)


def test_fewest_in_flight() -> None:
    """The least busy node that is up and has the model."""
    nodes = [
        _node("a", in_flight=2),
        _node("b", in_flight=1),
        _node("c", in_flight=0, up=False),
        _node("d", in_flight=0, has_model=False),
    ]
    assert choose(_INFERENCE, nodes) == "b"


def test_equally_busy() -> None:
    """Of equals the one where the model is resident, then the one configured first."""
    assert choose(_INFERENCE, [_node("a"), _node("b", resident=True), _node("c", resident=True)]) == "b"
    assert choose(_INFERENCE, [_node("a"), _node("b")]) == "a"


def test_a_node_in_doubt_is_asked_last() -> None:
    """However idle it is; where there is no other, it is asked all the same."""
    assert choose(_INFERENCE, [_node("a", doubtful=True), _node("b", in_flight=9)]) == "b"
    assert choose(_INFERENCE, [_node("a", doubtful=True), _node("b", up=False)]) == "a"
    assert choose(_LOAD, [_node("a", doubtful=True), _node("b", in_flight=9)]) == "b"
    assert choose(_LOAD, [_node("a", doubtful=True, resident=True), _node("b")]) == "a"
    assert choose(_MANAGEMENT, [_node("a", doubtful=True), _node("b")]) == "a"


def test_load_goes_where_the_model_is_resident() -> None:
    """An unload must reach the memory that holds the model, however busy that node is."""
    assert choose(_LOAD, [_node("a"), _node("b", resident=True, in_flight=9)]) == "b"
    assert choose(_LOAD, [_node("a", in_flight=1), _node("b")]) == "b"


def test_management() -> None:
    """The first node that has the model, else the first one that is up, busy or not."""
    assert choose(_MANAGEMENT, [_node("a", has_model=False), _node("b", in_flight=5), _node("c")]) == "b"
    nodes = [_node("a", up=False), _node("b", has_model=False, in_flight=5), _node("c", has_model=False)]
    assert choose(_MANAGEMENT, nodes) == "b"
    assert choose(Wanted(None, "management"), nodes) == "b"


def test_any() -> None:
    """Where no model matters the least busy node that is up."""
    nodes = [_node("a", up=False), _node("b", in_flight=1), _node("c", has_model=False)]
    assert choose(Wanted(None, "any"), nodes) == "c"
    assert choose(Wanted("tiny:latest", "any"), nodes) == "c"


def test_cloud_model() -> None:
    """A node that used it before, else any: no node lists a cloud model that it never used."""
    wanted = Wanted("gpt-oss:120b-cloud", "inference")
    assert choose(wanted, [_node("a", has_model=False), _node("b", in_flight=3)]) == "b"
    assert choose(wanted, [_node("a", has_model=False, in_flight=1), _node("b", has_model=False)]) == "b"


def test_avoid() -> None:
    """A second attempt goes elsewhere, or nowhere."""
    wanted = Wanted("tiny:latest", "inference", avoid=frozenset({"a"}))
    assert choose(wanted, [_node("a"), _node("b", in_flight=7)]) == "b"
    assert choose(wanted, [_node("a"), _node("b", up=False)]) is None


@pytest.mark.parametrize("purpose", _PURPOSES)
def test_no_node(purpose: Purpose) -> None:
    """Nothing comes of nothing."""
    assert choose(Wanted("tiny:latest", purpose), []) is None
    assert choose(Wanted("tiny:latest", purpose), [_node("a", up=False)]) is None


@given(_WANTED, _CANDIDATES)
def test_choice_can_serve(wanted: Wanted, candidates: list[Candidate]) -> None:
    """Who is chosen is up, is not avoided, and has the model where one is needed."""
    name = choose(wanted, candidates)
    if name is None:
        return
    chosen = next(candidate for candidate in candidates if candidate.name == name)
    assert chosen.up
    assert name not in wanted.avoid
    if wanted.model == "tiny:latest" and wanted.purpose in {"inference", "load"}:
        assert chosen.has_model


@given(_WANTED, _CANDIDATES)
def test_somebody_is_chosen_where_somebody_can(wanted: Wanted, candidates: list[Candidate]) -> None:
    """A node that is up, has the model and is not avoided leaves no request unserved."""
    able = [
        candidate
        for candidate in candidates
        if candidate.up and candidate.has_model and candidate.name not in wanted.avoid
    ]
    if able:
        assert choose(wanted, candidates) is not None


@given(_CANDIDATES)
def test_nobody_less_busy_is_passed_over(candidates: list[Candidate]) -> None:
    """For inference no other node that could serve has fewer requests, of those that are in doubt or not alike."""
    name = choose(_INFERENCE, candidates)
    if name is not None:
        chosen = next(candidate for candidate in candidates if candidate.name == name)
        rivals = [rival for rival in candidates if rival.up and rival.has_model]
        assert chosen.doubtful == all(rival.doubtful for rival in rivals)
        rivals = [rival for rival in rivals if rival.doubtful == chosen.doubtful]
        assert chosen.in_flight == min(rival.in_flight for rival in rivals)


@given(_WANTED, _CANDIDATES, st.integers(0, 5))
def test_nodes_that_are_down_change_nothing(wanted: Wanted, candidates: list[Candidate], place: int) -> None:
    """A node that is down might as well not be there."""
    down = Candidate("down", up=False, has_model=True, resident=True, in_flight=0)
    assert choose(wanted, [*candidates[:place], down, *candidates[place:]]) == choose(wanted, candidates)
